"""Head-Sync Stabilizer: head points and poses adjusted in two stages (Eq. 7, then Eq. 8), then the steady pose of
every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .bundle_adjustment import (
    FocalPrior,
    Prior,
    bundle_adjust,
    refine_motion,
    refine_points,
    refine_poses,
    residuals_px,
    spread_frames,
)
from .face_geometry import LEFT_PUPIL, PUPIL_DISTANCE_M, RIGHT_PUPIL, RIGID, RIGID_WEIGHTS
from .geometry import bridge_poses
from .head_motion_tracker import LANDMARK_SIGMA, SHAPE_SIGMA_M, HeadMotion, in_head_frame, neutral_face
from .head_points_tracker import HeadPoints

FLOW_SIGMA = 0.002
"""Standard deviation of a head point's place by optical flow, in distances between the pupils (0.2 px where they are
100 px apart); measured as the high-frequency part of tracks."""

LEAST_STRAY, MOST_STRAY = 0.003, 0.012
"""How far a point's track strays from the rigid head: it is not trusted to stray less, and beyond this it is not of
the skull."""

TOGETHER = 0.5
"""Weight of landmarks in the adjustment, beside head points: the landmarks of a frame err together, but over the clip they
hold the head's shape, which sliding skin would bend."""

LANDMARKS_BESIDE_STEPS = 0.15
"""Their weight in the last step, where the shape is known and only their shake would be added."""

OUTER_SIGMA_M = 0.02
"""How far hair and ears may be from where the face's surface, run on, has them."""

HANDED_ON = 256
"""Head points that are written, the steadiest: for Blender, the report, and who else wants to see them."""

SHAPE_FREEDOM = 20
"""Points as independent as MediaPipe's face is of the subject's own: its relief is too deep or too flat as a whole,
and a thousand points held to it one by one would hold the head's turns to a wrong measure (the bas-relief
ambiguity)."""

CUT_JUMP, CUT_RATIO = 0.05, 8.0
"""A cut moves the face by this many distances between the pupils, and by this many times what the frames about it do
(real heads, moving their fastest, reach 6; cuts in real clips 13 to 67)."""

BESIDE_STEPS = 0.5
"""Weight of where a track is beside how it moves, in the last step: high enough that small errors of steps do not add
up."""

ADJUSTED_FRAMES = 200
"""Frames that stand for the clip in the joint adjustment."""


@dataclass(frozen=True)
class SteadyMotion:
    """What `stabilize` found, in the canonical head frame (docs/animation.md), metres and pixels.

    motion: poses, the face's landmarks, focal length. points_head_m: (K, 3), the best of the head points that proved
    to be the skull's; points_px: (N, K, 2) float32; seen: (N, K) bool. reprojection_px: (N), root mean square over
    the points a frame sees.
    """

    motion: HeadMotion
    points_head_m: np.ndarray
    points_px: np.ndarray
    seen: np.ndarray
    reprojection_px: np.ndarray


def stabilize(
    motion: HeadMotion,
    landmarks_px: np.ndarray,
    head_points: HeadPoints,
    cuts: np.ndarray,
    principal: np.ndarray,
    focal_prior: FocalPrior | None = None,
    on_step: Callable[[float], None] = lambda done: None,
) -> SteadyMotion:
    """Steady poses from the landmarks' poses and the tracked head points.

    The points' tracks are exact to a fifth of a pixel, but skin slides over the skull by more; so each point's stray is
    measured and weighs it, and the last step lets the tracks' changes from frame to frame speak (`refine_motion`).

    Args:
        cuts: (N) bool, frames that begin a new shot.
        focal_prior: given, the focal length is estimated with the rest; else it is held.
        on_step: called with the done part, 0 to 1; may raise to stop.
    """
    known, focal, poses = motion.known, motion.focal.px, motion.poses
    pupil_px = focal * PUPIL_DISTANCE_M / float(np.median(poses[known, 2, 3]))
    fixed, tracked = len(RIGID), head_points.seen.shape[1]
    points_px = np.concatenate([landmarks_px[:, RIGID], head_points.points_px], 1)
    seen = np.concatenate([np.repeat(known[:, None], fixed, 1), head_points.seen], 1)
    points = np.concatenate([motion.face[RIGID], head_points.points_head_m])
    sigma = pupil_px * np.concatenate([LANDMARK_SIGMA / (RIGID_WEIGHTS * TOGETHER), np.full(tracked, 2 * LEAST_STRAY)])
    off = np.concatenate([np.full(fixed, SHAPE_SIGMA_M), np.where(head_points.on_face, SHAPE_SIGMA_M, OUTER_SIGMA_M)])
    prior = Prior(points, 1 / (off * max(1.0, np.sqrt(len(points) / SHAPE_FREEDOM))))
    kept = seen[known].sum(0) >= min(8, known.sum())
    kept[fixed:] &= head_points.on_face | ~_stand_still(head_points, points[fixed:], poses, focal, principal)
    some = np.union1d(spread_frames(known, ADJUSTED_FRAMES), head_points.reference)

    for turn in range(2):
        weights = np.where(seen & kept, 1 / sigma, 0.0)
        if turn == 0:
            points = refine_points(points_px[some], weights[some], points, poses[some], focal, principal, prior)
            on_step(0.1)
        bundle = bundle_adjust(
            points_px[some], weights[some], points, poses[some], focal, principal, prior, focal_prior
        )
        points, focal = bundle.points, bundle.focal
        on_step(0.35 + 0.4 * turn)
        poses = poses.copy()
        poses[some] = bundle.poses
        poses[known] = refine_poses(points_px[known], weights[known], points, poses[known], focal, principal)
        stray = _stray_px(residuals_px(points_px, points, poses, focal, principal), seen)[fixed:]
        kept[fixed:] &= stray < MOST_STRAY * pupil_px
        sigma[fixed:] = np.maximum(stray, LEAST_STRAY * pupil_px)
        on_step(0.45 + 0.4 * turn)

    poses = bridge_poses(poses, known)
    weights = np.where(seen & kept, 1 / sigma, 0.0)
    weights[:, :fixed] *= LANDMARKS_BESIDE_STEPS / TOGETHER
    weights[:, fixed:] *= BESIDE_STEPS
    steps = (seen[1:] & seen[:-1] & kept & ~cuts[1:, None]) / (FLOW_SIGMA * pupil_px)
    steps[:, :fixed] = 0
    poses = refine_motion(points_px, weights, steps, points, poses, focal, principal)
    face = neutral_face(landmarks_px, known, poses, focal, principal, motion.face, points[:fixed])
    steady, to_head = in_head_frame(poses, face, motion.focal.moved_to(focal), known)
    on_step(1.0)
    error = residuals_px(points_px, points, poses, focal, principal)
    judged = seen & kept & (np.arange(len(kept)) >= fixed)
    judged[:, :fixed] |= known[:, None] & ~judged.any(1, keepdims=True)  # by landmarks where no head point is seen
    best = fixed + _best_points(sigma[fixed:], seen[:, fixed:], kept[fixed:])
    return SteadyMotion(
        steady, to_head(points[best]), points_px[:, best], seen[:, best], _root_mean_square(error, judged)
    )


def _best_points(stray_px: np.ndarray, seen: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Indices, in order, of at most `HANDED_ON` `kept` points (K): those that stray least for how often they are
    seen."""
    worth = np.where(kept, seen.sum(0) / stray_px, -1.0)
    return np.sort(np.argsort(-worth, kind="stable")[: min(HANDED_ON, int(kept.sum()))])


def find_cuts(landmarks_px: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """Frames (N) bool that begin a new shot: the face jumps from one frame to the next and is calm before and after.

    Args:
        landmarks_px: (N, 478, 2). detected: (N).
    """
    jump = np.zeros(len(detected))
    moved = np.linalg.norm(np.diff(landmarks_px[:, RIGID].astype(np.float64), axis=0), axis=-1)
    jump[1:] = np.where(detected[1:] & detected[:-1], np.median(moved, axis=1), 0)
    across = landmarks_px[detected][:, LEFT_PUPIL] - landmarks_px[detected][:, RIGHT_PUPIL]
    jump /= np.median(np.linalg.norm(across, axis=-1))
    # The third largest of eight neighbours: a second cut close by does not hide the first.
    padded = np.pad(jump, 4, mode="edge")
    around = np.stack([padded[4 + shift : 4 + shift + len(jump)] for shift in (-4, -3, -2, -1, 1, 2, 3, 4)])
    return jump > np.maximum(CUT_JUMP, CUT_RATIO * np.sort(around, axis=0)[5])


def _stand_still(
    head_points: HeadPoints, points: np.ndarray, poses: np.ndarray, focal: float, principal: np.ndarray
) -> np.ndarray:
    """Points (K) bool that belong to the background: better told by standing still than by moving with the head."""
    seen, points_px = head_points.seen, head_points.points_px
    with_head = _stray_px(residuals_px(points_px, points, poses, focal, principal), seen)
    home = np.zeros(points_px.shape[1:])
    for index in np.flatnonzero(seen.any(0)):
        home[index] = np.median(points_px[seen[:, index], index], axis=0)
    return _stray_px(np.linalg.norm(points_px - home, axis=-1), seen) < with_head


def _root_mean_square(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Over the columns (N, P) of each row `where` (N, P); 0 where there is none."""
    return np.sqrt((values**2 * where).sum(1) / np.maximum(where.sum(1), 1))


def _stray_px(error: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Standard deviation (P) along one axis of how far each point strays, robustly, from distances (N, P)."""
    typical = [np.median(column[ok]) if ok.any() else np.inf for column, ok in zip(error.T, seen.T, strict=True)]
    return np.array(typical) / 1.1774  # the median distance of a two-dimensional normal error of unit deviation
