"""Head-Sync Stabilizer: head points and poses adjusted in two stages (Eq. 7, then Eq. 8), then smoothed poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..workspace.landmarks import RIGID
from ..workspace.poses import bridge_poses
from ..workspace.shapes import Bool, Float
from .adam_adjustment import adam_bundle_adjust
from .bundle_adjustment import bundle_adjust, refine_points, refine_poses, residuals_px, spread_frames
from .face_geometry import PUPIL_DISTANCE_M
from .head_motion_tracker import HeadMotion, in_head_frame, neutral_face
from .head_points_tracker import HeadPoints
from .observations import Observations, gather_observations, skin_scale
from .pose_smoothing import smooth_poses
from .shapes import Frames, Marks, PerFrame, Poses, Principal

MAX_EXPORTED_POINTS = 256
"""Head points that are written, the most exact ones: for Blender and the report."""

ADJUSTED_FRAMES = 150
"""Frames that represent the clip in the joint adjustment."""

ROUNDS = 2
"""Adjustments; after each the standard deviations of the points are measured again."""


@dataclass(frozen=True)
class StabilizedMotion:
    """Result of `stabilize`, in the canonical head frame (docs/animation.md), metres and pixels.

    Attributes:
        points_head_m: the best head points of the skull.
        reprojection_px: root mean square over those of these points that a frame sees.
        surface_head_m: points of the face's surface.
    """

    motion: HeadMotion
    points_head_m: Float[np.ndarray, "k 3"]
    points_px: Float[np.ndarray, "n k 2"]
    seen: Bool[np.ndarray, "n k"]
    reprojection_px: PerFrame
    surface_head_m: Float[np.ndarray, "m 3"]


def stabilize(
    motion: HeadMotion,
    landmarks_px: Marks,
    head_points: HeadPoints,
    cuts: Frames,
    principal: Principal,
    method: str = "sparse",
    smooth: bool = True,
    on_step: Callable[[float], None] = lambda done: None,
) -> StabilizedMotion:
    """Stable poses from the landmarks' poses and the tracked head points.

    Tracks are exact to a fifth of a pixel, but skin slides over the skull by more. So each point is weighted by its
    measured standard deviation, points near the brows count less while those are raised, and the poses are smoothed.

    Args:
        cuts: frames that begin a new shot.
        method: `sparse`: some frames by `bundle_adjust`, then each frame alone; `adam`: all by `adam_bundle_adjust`.
        smooth: False keeps each frame's adjusted pose.
        on_step: called with the part done, 0 to 1; may raise to stop.
    """
    known, focal, poses = motion.known, motion.focal.px, motion.poses
    fixed = len(RIGID)
    pupil_px = focal * PUPIL_DISTANCE_M / float(np.median(poses[known, 2, 3]))
    observations = gather_observations(motion, landmarks_px, head_points, principal, pupil_px)
    sampled = np.union1d(spread_frames(known, ADJUSTED_FRAMES), head_points.reference)
    for turn in range(ROUNDS):

        def on_part(done: float, begun: float = 0.45 * turn) -> None:
            on_step(begun + 0.4 * done)

        if method == "adam":
            poses = _adjust_by_adam(observations, poses, focal, principal, on_part)
        else:
            poses = _adjust_sparse(observations, poses, known, sampled, focal, principal, turn, on_part)
        observations.update_sigma(poses, focal, principal, pupil_px)
        observations.sigma_px[fixed:] *= skin_scale(head_points.on_face)
        on_step(0.45 * (turn + 1))

    if smooth:
        information = (observations.weights[:, fixed:] ** 2).sum(1)
        usual = float(np.median(information[known])) or 1.0
        poses = smooth_poses(poses, known, cuts, np.clip(information / usual, 0.05, 1.0), motion.fps)
    else:
        poses = bridge_poses(poses, known)
    face = neutral_face(landmarks_px, known, poses, focal, principal, motion.face, observations.points[:fixed])
    result, to_head = in_head_frame(poses, face, motion.focal, known)
    on_step(1.0)
    best = _best_points(observations)
    often_seen = observations.seen[:, fixed:].sum(0) > 20
    skin = fixed + np.flatnonzero(observations.kept[fixed:] & head_points.on_face & often_seen)
    return StabilizedMotion(
        result,
        to_head(observations.points[best]),
        observations.points_px[:, best],
        observations.seen[:, best],
        _reprojection_px(observations, best, poses, focal, principal, known),
        to_head(observations.points[np.concatenate([np.arange(fixed), skin])]),
    )


def _adjust_by_adam(
    observations: Observations, poses: Poses, focal: float, principal: Principal, on_step: Callable[[float], None]
) -> Poses:
    """Adjust points and poses of all frames; the points are updated in place."""
    points_px, weights, prior = observations.points_px, observations.weights, observations.prior
    points = observations.points
    bundle = adam_bundle_adjust(points_px, weights, points, poses, focal, principal, prior, on_step=on_step)
    observations.points = bundle.points
    return bundle.poses


def _adjust_sparse(
    observations: Observations,
    poses: Poses,
    known: Frames,
    sampled: np.ndarray,
    focal: float,
    principal: Principal,
    turn: int,
    on_step: Callable[[float], None],
) -> Poses:
    """Adjust points and poses of the `sampled` frames, then the other poses; the points are updated in place."""
    points_px, weights = observations.points_px, observations.weights
    points, prior = observations.points, observations.prior
    px, weight = points_px[sampled], weights[sampled]
    if turn == 0:
        points = refine_points(px, weight, points, poses[sampled], focal, principal, prior)
        on_step(0.25)
    bundle = bundle_adjust(px, weight, points, poses[sampled], focal, principal, prior)
    on_step(0.85)
    observations.points = bundle.points
    poses = poses.copy()
    poses[sampled] = bundle.poses
    poses[known] = refine_poses(points_px[known], weights[known], bundle.points, poses[known], focal, principal)
    return poses


def _reprojection_px(
    observations: Observations, best: np.ndarray, poses: Poses, focal: float, principal: Principal, known: Frames
) -> PerFrame:
    """Root mean square of the reprojection error over those of the `best` points (indices) that a frame sees; over
    landmarks where it sees none; 0 without a face."""
    error = residuals_px(observations.points_px, observations.points, poses, focal, principal)
    used = np.zeros(error.shape, bool)
    used[:, best] = observations.seen[:, best]
    used[:, : len(RIGID)] = known[:, None] & ~used.any(1, keepdims=True)
    return np.sqrt((error**2 * used).sum(1) / np.maximum(used.sum(1), 1))


def _best_points(observations: Observations) -> np.ndarray:
    """Indices, in order, of at most `MAX_EXPORTED_POINTS` kept head points: small deviation, often seen."""
    fixed = len(RIGID)
    kept, seen = observations.kept[fixed:], observations.seen[:, fixed:]
    worth = np.where(kept, seen.sum(0) / observations.sigma_px[fixed:], -1.0)
    return fixed + np.sort(np.argsort(-worth, kind="stable")[: min(MAX_EXPORTED_POINTS, int(kept.sum()))])
