"""Head-Sync Stabilizer: head points and poses adjusted in two stages (Eq. 7, then Eq. 8), then the steady pose of
every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.spatial.transform import Rotation

from ..workspace.poses import bridge_poses, rotation_log
from .adam_adjustment import adam_bundle_adjust
from .bundle_adjustment import (
    FocalPrior,
    Prior,
    bundle_adjust,
    refine_points,
    refine_poses,
    residuals_px,
    spread_frames,
)
from .face_geometry import LEFT_PUPIL, PUPIL_DISTANCE_M, RIGHT_PUPIL, RIGID, RIGID_WEIGHTS
from .head_motion_tracker import LANDMARK_SIGMA, SHAPE_SIGMA_M, HeadMotion, in_head_frame, neutral_face
from .head_points_tracker import HeadPoints
from .pose_smoothing import steady_path
from .skin_slide import LANDMARKS_SHARE, SLIDE, brow_raise, slide_share

LEAST_STRAY, MOST_STRAY = 0.003, 0.012
"""How far a point's track strays from the rigid head, in distances between the pupils: it is not trusted to stray
less, and beyond this it is not of the skull."""

TOGETHER = 0.15
"""Weight of landmarks in the adjustment, beside head points: the landmarks of a frame err together (an open mouth
turns the whole face by degrees), but over the clip they hold the head's shape."""

SKIN_STRAY = 1.5
"""Skin strays from the skull by more than its tracks show, for all of it strays alike; hair and ears do not."""

OUTER_SIGMA_M = 0.02
"""How far hair and ears may be from where the face's surface, run on, has them."""

HANDED_ON = 256
"""Head points that are written, the steadiest: for Blender, the report, and who else wants to see them."""

SHAPE_FREEDOM, TOLD_BY_TURN_DEG, LEAST_FREEDOM = 100, 6.0, 60
"""Points as independent as MediaPipe's face is of the subject's own, in a clip whose head turns by 6 degrees (root mean
square). A relief that is deeper as a whole looks like smaller turns (the bas-relief ambiguity); what tells them apart
is how a turned face foreshortens, and that grows with the square of the turn: its weight with the fourth power.
Without this, two real clips with little turn got faces twice as deep as human ones."""

CUT_JUMP, CUT_SCALE, CUT_RATIO = 0.05, 0.06, 8.0
"""A cut moves the face by this many distances between the pupils, or changes its size (logarithm) or its roll (radians)
by this much, and by this many times what the frames about it do (real heads, moving their fastest, reach 6; cuts in
real clips 13 to 67)."""

ADJUSTED_FRAMES = 150
"""Frames that stand for the clip in the joint adjustment."""


@dataclass(frozen=True)
class SteadyMotion:
    """What `stabilize` found, in the canonical head frame (docs/animation.md), metres and pixels.

    motion: poses, the face's landmarks, focal length. points_head_m: (K, 3), the best of the head points that proved
    to be the skull's; points_px: (N, K, 2) float32; seen: (N, K) bool. reprojection_px: (N), root mean square over
    those of these points that a frame sees. surface_head_m: (M, 3), what the face's surface runs through.
    """

    motion: HeadMotion
    points_head_m: np.ndarray
    points_px: np.ndarray
    seen: np.ndarray
    reprojection_px: np.ndarray
    surface_head_m: np.ndarray


@dataclass
class _Sights:
    """All points, the rigid landmarks first, as N frames see them: P points.

    points_px: (N, P, 2). seen: (N, P) bool. slide_px: (N, P), how far the skin may have slid. points: (P, 3).
    stray_px: (P), how far each strays from the rigid head at rest. kept: (P) bool, of the skull. prior: of the points.
    """

    points_px: np.ndarray
    seen: np.ndarray
    slide_px: np.ndarray
    points: np.ndarray
    stray_px: np.ndarray
    kept: np.ndarray
    prior: Prior

    @property
    def weights(self) -> np.ndarray:
        """Inverse standard deviation (N, P) of each observation, 1/px."""
        return np.where(self.seen & self.kept, 1 / np.sqrt(self.stray_px**2 + self.slide_px**2), 0.0)

    @property
    def at_rest(self) -> np.ndarray:
        """Observations (N, P) that the brows do not disturb."""
        return self.seen & (self.slide_px < 0.5 * self.stray_px)


def stabilize(
    motion: HeadMotion,
    landmarks_px: np.ndarray,
    head_points: HeadPoints,
    cuts: np.ndarray,
    principal: np.ndarray,
    focal_prior: FocalPrior | None = None,
    method: str = "sparse",
    steady: bool = True,
    on_step: Callable[[float], None] = lambda done: None,
) -> SteadyMotion:
    """Steady poses from the landmarks' poses and the tracked head points.

    The points' tracks are exact to a fifth of a pixel, but skin slides over the skull by more; so each point's stray is
    measured and weighs it, what the brows move counts less while they are raised, and the path of the head is taken
    as the most probable one (`steady_path`).

    Args:
        cuts: (N) bool, frames that begin a new shot.
        focal_prior: given, the focal length is estimated with the rest; else it is held.
        method: `sparse`: some frames by `bundle_adjust`, then each frame on its own; `adam`: all by `adam_bundle_adjust`,
            which holds the focal length.
        steady: False leaves each frame's pose as the adjustment has it.
        on_step: called with the done part, 0 to 1; may raise to stop.
    """
    known, focal, poses = motion.known, motion.focal.px, motion.poses
    fixed = len(RIGID)
    pupil_px = focal * PUPIL_DISTANCE_M / float(np.median(poses[known, 2, 3]))
    sights = _gather(motion, landmarks_px, head_points, principal, pupil_px)
    skin = np.where(head_points.on_face, SKIN_STRAY, 1.0)
    some = np.union1d(spread_frames(known, ADJUSTED_FRAMES), head_points.reference)
    for turn in range(2):
        weights = sights.weights
        px, prior = sights.points_px, sights.prior
        if method == "adam":
            bundle = adam_bundle_adjust(
                px,
                weights,
                sights.points,
                poses,
                focal,
                principal,
                prior,
                on_step=partial(_tell_part, on_step, 0.45 * turn, 0.4),
            )
            sights.points, poses = bundle.points, bundle.poses
        else:
            points = sights.points
            if turn == 0:
                points = refine_points(px[some], weights[some], points, poses[some], focal, principal, prior)
                on_step(0.1)
            bundle = bundle_adjust(px[some], weights[some], points, poses[some], focal, principal, prior, focal_prior)
            sights.points, focal = bundle.points, bundle.focal
            on_step(0.35 + 0.4 * turn)
            poses = poses.copy()
            poses[some] = bundle.poses
            poses[known] = refine_poses(px[known], weights[known], sights.points, poses[known], focal, principal)
        error = residuals_px(sights.points_px, sights.points, poses, focal, principal)[:, fixed:]
        rest, seen = sights.at_rest[:, fixed:], sights.seen[:, fixed:]
        stray = _stray_px(error, np.where(rest.sum(0) > 20, rest, seen))
        sights.kept[fixed:] &= stray < MOST_STRAY * pupil_px
        sights.stray_px[fixed:] = np.maximum(stray, LEAST_STRAY * pupil_px) * skin
        on_step(0.45 + 0.4 * turn)

    if steady:
        told = (sights.weights[:, fixed:] ** 2).sum(1)
        usual = float(np.median(told[known])) or 1.0
        poses = steady_path(poses, known, cuts, np.clip(told / usual, 0.05, 1.0))
    else:
        poses = bridge_poses(poses, known)
    face = neutral_face(landmarks_px, known, poses, focal, principal, motion.face, sights.points[:fixed])
    result, to_head = in_head_frame(poses, face, motion.focal.moved_to(focal), known)
    on_step(1.0)
    best = fixed + _best_points(sights.stray_px[fixed:], sights.seen[:, fixed:], sights.kept[fixed:])
    skin_points = fixed + np.flatnonzero(sights.kept[fixed:] & head_points.on_face & (seen.sum(0) > 20))
    return SteadyMotion(
        result,
        to_head(sights.points[best]),
        sights.points_px[:, best],
        sights.seen[:, best],
        _reprojection_px(sights, best, poses, focal, principal, known),
        to_head(sights.points[np.concatenate([np.arange(fixed), skin_points])]),
    )


def _tell_part(on_step: Callable[[float], None], begun: float, share: float, done: float) -> None:
    on_step(begun + share * done)


def _gather(
    motion: HeadMotion, landmarks_px: np.ndarray, head_points: HeadPoints, principal: np.ndarray, pupil_px: float
) -> _Sights:
    """Landmarks and head points as one set, with what is known of them before the adjustment."""
    known, focal, poses = motion.known, motion.focal.px, motion.poses
    fixed, tracked = len(RIGID), head_points.seen.shape[1]
    points = np.concatenate([motion.face[RIGID], head_points.points_head_m])
    seen = np.concatenate([np.repeat(known[:, None], fixed, 1), head_points.seen], 1)
    share = slide_share(points, motion.face)
    share[:fixed] = np.maximum(share[:fixed], LANDMARKS_SHARE)
    raised_px = np.abs(brow_raise(landmarks_px, known, poses, motion.face, focal, principal)) * focal / poses[:, 2, 3]
    off = np.concatenate([np.full(fixed, SHAPE_SIGMA_M), np.where(head_points.on_face, SHAPE_SIGMA_M, OUTER_SIGMA_M)])
    stray = np.where(head_points.on_face, SKIN_STRAY, 1.0) * 2 * LEAST_STRAY
    kept = seen[known].sum(0) >= min(8, known.sum())
    kept[fixed:] &= head_points.on_face | ~_stand_still(head_points, points[fixed:], poses, focal, principal)
    return _Sights(
        np.concatenate([landmarks_px[:, RIGID], head_points.points_px], 1),
        seen,
        (SLIDE * raised_px[:, None] * share).astype(np.float32),
        points,
        pupil_px * np.concatenate([LANDMARK_SIGMA / (RIGID_WEIGHTS * TOGETHER), stray]),
        kept,
        Prior(points, 1 / (off * max(1.0, np.sqrt((fixed + tracked) / _shape_freedom(poses[known]))))),
    )


def _shape_freedom(poses: np.ndarray) -> float:
    """How many independent points the expected shape is worth beside what poses (N, 4, 4) tell of it by turning."""
    turns = rotation_log(poses[:, :3, :3] @ Rotation.from_matrix(poses[:, :3, :3]).mean().as_matrix().T)[:, :2]
    turn_deg = float(np.degrees(np.sqrt((turns**2).sum(1).mean())))
    return max(LEAST_FREEDOM, SHAPE_FREEDOM * (TOLD_BY_TURN_DEG / max(turn_deg, 1.0)) ** 4)


def _reprojection_px(
    sights: _Sights, best: np.ndarray, poses: np.ndarray, focal: float, principal: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Root mean square (N) of the reprojection error over those of the `best` points (K, indices) that a frame sees;
    by landmarks where it sees none; 0 where there is no face."""
    error = residuals_px(sights.points_px, sights.points, poses, focal, principal)
    judged = np.zeros(error.shape, bool)
    judged[:, best] = sights.seen[:, best]
    judged[:, : len(RIGID)] = known[:, None] & ~judged.any(1, keepdims=True)
    return np.sqrt((error**2 * judged).sum(1) / np.maximum(judged.sum(1), 1))


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
    face = landmarks_px[:, RIGID].astype(np.float64)
    across = landmarks_px[detected][:, LEFT_PUPIL] - landmarks_px[detected][:, RIGHT_PUPIL]
    shift = np.median(np.linalg.norm(np.diff(face, axis=0), axis=-1), axis=1)
    shift /= np.median(np.linalg.norm(across, axis=-1))
    # As complex numbers about their mean, one face is the next times one number: size, and roll.
    spread = (face - face.mean(1, keepdims=True)) @ np.array([1, 1j])
    times = (spread[:-1].conj() * spread[1:]).sum(1) / np.maximum((np.abs(spread[:-1]) ** 2).sum(1), 1e-9)
    zoom = np.abs(np.log(np.where(times == 0, 1, times)))
    both = detected[1:] & detected[:-1]
    cuts = np.zeros(len(detected), bool)
    cuts[1:] = _stands_out(np.where(both, shift, 0), CUT_JUMP) | _stands_out(np.where(both, zoom, 0), CUT_SCALE)
    return cuts


def _stands_out(change: np.ndarray, least: float) -> np.ndarray:
    """Changes (N) that are large and many times those about them."""
    # The third largest of eight neighbours: a second cut close by does not hide the first.
    padded = np.pad(change, 4, mode="edge")
    around = np.stack([padded[4 + shift : 4 + shift + len(change)] for shift in (-4, -3, -2, -1, 1, 2, 3, 4)])
    return change > np.maximum(least, CUT_RATIO * np.sort(around, axis=0)[5])


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


def _stray_px(error: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Standard deviation (P) along one axis of how far each point strays, robustly, from distances (N, P)."""
    typical = [np.median(column[ok]) if ok.any() else np.inf for column, ok in zip(error.T, seen.T, strict=True)]
    return np.array(typical) / 1.1774  # the median distance of a two-dimensional normal error of unit deviation
