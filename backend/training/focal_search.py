"""Choosing the focal length by short trainings: landmarks hardly constrain it, the frames' pixels do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..protocol import Stage

if TYPE_CHECKING:
    from .field_trainer import FieldTrainer

STEPS = 500
"""Of each short training."""
MIN_GAIN_DB = 0.3
"""By which another focal length must beat the tracked one, which the tracker fitted to all of the clip."""


def choose_focal(trainer: FieldTrainer) -> None:
    """Try the preset's focal lengths and set the best.

    Depths follow the focal length, so the head keeps its position and size in the image.
    """
    if not trainer.preset.focal_factors:
        return
    focal_px, poses = trainer.tracking.camera.focal_px, trainer.poses.copy()
    factors = (1.0, *trainer.preset.focal_factors)
    psnr: dict[float, float] = {}
    for number, factor in enumerate(factors):
        _set(trainer, focal_px, poses, factor)
        trainer.begin()
        for step in range(STEPS):
            trainer.train_step()
            done = number * STEPS + step + 1
            trainer.reporter.progress(Stage.FOCAL_LENGTH, done, len(factors) * STEPS, "steps")
        trainer.evaluate(0.0)
        psnr[factor] = trainer.psnr
    best = max(psnr, key=lambda factor: psnr[factor])
    if psnr[best] < psnr[1.0] + MIN_GAIN_DB:
        best = 1.0
    _set(trainer, focal_px, poses, best)
    tried = ", ".join(f"{focal_px * factor:.0f} px: {value:.2f} dB" for factor, value in psnr.items())
    trainer.reporter.info(f"Focal length {focal_px * best:.0f} px gives the best images ({tried}).")


def _set(trainer: FieldTrainer, focal_px: float, poses: np.ndarray, factor: float) -> None:
    """The tracked focal length and poses, both scaled by `factor`, at step 0."""
    trainer.step = 0
    trainer.poses = poses.copy()
    trainer.poses[:, 2, 3] *= factor
    trainer.set_focal(focal_px * factor)
