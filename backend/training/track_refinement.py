"""Refining the poses of all frames against the field, and the focal length from all of them together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from ..protocol import Stage
from ..renderer.field.renderer import FieldRenderer
from .dataset import read_frame
from .pose_refinement import Refined, focal_step, refine_pose
from .regions import eye_regions, lip_region

if TYPE_CHECKING:
    from .field_trainer import FieldTrainer

MAX_TIME_SHARE, TRIAL_FRAMES = 0.25, 12
"""Refinement is skipped where, measured on its first frames, it would take more than this share of the training
time."""
FOCAL_SIGMA = 0.1
"""Expected relative error of the tracked focal length, and the largest correction."""


def refine_track(trainer: FieldTrainer) -> bool:
    """Align every valid frame, the test frames too (a pose is a measurement, not trained), then correct the focal length;
    depths follow it. False, with the track unchanged, where that would take too long."""
    renderer = FieldRenderer(trainer.field, trainer.kernel)
    face = trainer.tracking.face_head_m
    regions = (lip_region(face), *eye_regions(face))
    held = {frame.index: frame for frame in trainer.pool.held}
    frames, poses = np.flatnonzero(trainer.tracking.valid), trainer.poses.copy()
    refined: list[Refined] = []
    began = time.monotonic()
    for done, index in enumerate(frames.tolist(), 1):
        frame = held.get(index) or read_frame(trainer.workspace, trainer.tracking, index, trainer.pool.size)
        found = refine_pose(
            renderer, trainer.camera, poses[index], trainer.conditions[index], frame, regions, trainer.rng
        )
        poses[index] = found.pose
        refined.append(found)
        needed_s = (time.monotonic() - began) / done * len(frames)
        if done == TRIAL_FRAMES and trainer.limit_steps is None and needed_s > MAX_TIME_SHARE * trainer.limit_s:
            trainer.reporter.info("Poses are not refined: the training is too short for it.")
            return False
        trainer.reporter.progress(Stage.POSES, done, len(frames))
    change = float(np.exp(np.clip(focal_step(refined, FOCAL_SIGMA), -FOCAL_SIGMA, FOCAL_SIGMA)))
    poses[frames, 2, 3] *= change
    trainer.poses = poses
    focal_px = trainer.tracking.camera.focal_px * change
    trainer.set_focal(focal_px)
    trainer.reporter.info(f"Poses refined; focal length {focal_px:.0f} px ({change - 1:+.1%}).")
    return True
