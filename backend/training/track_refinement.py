"""Aligning the poses of many frames with a trained head, and the focal length from all of them together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..protocol import Stage
from ..renderer.field.renderer import FieldRenderer
from ..renderer.head import HeadRenderer
from .dataset import read_frame
from .pose_refinement import Refined, focal_step, refine_pose
from .regions import eye_regions, lip_region

if TYPE_CHECKING:
    from .field_trainer import FieldTrainer

Measured = TypeVar("Measured")

MAX_TIME_SHARE, TRIAL_FRAMES = 0.25, 12
"""Refinement is skipped where, measured on its first frames, it would take more than this share of the training
time."""
FOCAL_SIGMA = 0.1
"""Expected relative error of the tracked focal length, and the largest correction."""


@dataclass(frozen=True)
class Aligned:
    """Frames after alignment.

    Attributes:
        poses: (F, 4, 4) of all frames of the clip; those that were not asked for are unchanged.
        focal_change: what the frames together say about the focal length, a factor; depths do not follow it yet.
    """

    poses: np.ndarray
    focal_change: float


def align_frames(
    trainer: FieldTrainer,
    renderers: Sequence[HeadRenderer],
    poses: np.ndarray,
    frames: np.ndarray,
    limit_s: float | None,
    iterations: int = 2,
) -> Aligned | None:
    """Align frames with the head as `renderers` draw it, one thread each; test frames may be among them (a pose is a
    measurement, not trained). None where that would take too long.

    Args:
        poses: (F, 4, 4) of all frames of the clip.
        frames: indices of those to align.
        limit_s: of the training, of which this may take `MAX_TIME_SHARE`; no limit where it is None.
    """
    face = trainer.tracking.face_head_m
    regions = (lip_region(face), *eye_regions(face))
    held = {frame.index: frame for frame in trainer.pool.held}
    seed = int(trainer.rng.integers(1 << 31))

    def align(renderer: HeadRenderer, index: int) -> Refined:
        frame = held.get(index) or read_frame(trainer.workspace, trainer.tracking, index, trainer.pool.size)
        rng = np.random.default_rng([seed, index])
        values = trainer.conditions[index]
        return refine_pose(renderer, trainer.camera, poses[index], values, frame, regions, rng, iterations=iterations)

    began = time.monotonic()
    refined: list[Refined] = []
    with ThreadPoolExecutor(len(renderers)) as pool:
        for first in range(0, len(frames), TRIAL_FRAMES):
            refined += each_frame(pool, align, renderers, frames[first : first + TRIAL_FRAMES].tolist())
            needed_s = (time.monotonic() - began) / len(refined) * len(frames)
            if first == 0 and limit_s is not None and needed_s > MAX_TIME_SHARE * limit_s:
                trainer.reporter.info("Poses are not refined: the training is too short for it.")
                return None
            trainer.reporter.progress(Stage.POSES, len(refined), len(frames))
    result = poses.copy()
    result[frames] = [found.pose for found in refined]
    return Aligned(result, float(np.exp(np.clip(focal_step(refined, FOCAL_SIGMA), -FOCAL_SIGMA, FOCAL_SIGMA))))


def each_frame(
    pool: ThreadPoolExecutor,
    measure: Callable[[HeadRenderer, int], Measured],
    renderers: Sequence[HeadRenderer],
    frames: list[int],
) -> list[Measured]:
    """Measure frames, each thread with a renderer of its own; in the order of the frames."""

    def share(thread: int) -> list[Measured]:
        return [measure(renderers[thread], index) for index in frames[thread :: len(renderers)]]

    shares = list(pool.map(share, range(len(renderers))))
    return [shares[place % len(renderers)][place // len(renderers)] for place in range(len(frames))]


def refine_track(trainer: FieldTrainer) -> bool:
    """Align every valid frame with the field, then correct the focal length; depths follow it. False, with the track
    unchanged, where that would take too long."""
    limit_s = trainer.limit_s if trainer.limit_steps is None else None
    frames = np.flatnonzero(trainer.tracking.valid)
    aligned = align_frames(trainer, [FieldRenderer(trainer.field, trainer.kernel)], trainer.poses, frames, limit_s)
    if aligned is None:
        return False
    trainer.poses = with_focal(trainer, aligned)
    return True


def with_focal(trainer: FieldTrainer, aligned: Aligned) -> np.ndarray:
    """Correct the trainer's focal length, and return the poses with the depths that go with it."""
    poses, change = aligned.poses.copy(), aligned.focal_change
    poses[trainer.tracking.valid, 2, 3] *= change
    focal_px = trainer.tracking.camera.focal_px * change
    trainer.set_focal(focal_px)
    trainer.reporter.info(f"Poses refined; focal length {focal_px:.0f} px ({change - 1:+.1%}).")
    return poses
