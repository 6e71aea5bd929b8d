"""Landmarks and head points as one set of observations, with their standard deviations and the prior of the shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..workspace.landmarks import RIGID, RIGID_WEIGHTS
from ..workspace.poses import rotation_log
from ..workspace.shapes import Bool, Float
from .bundle_adjustment import Prior, residuals_px
from .face_geometry import PUPIL_DISTANCE_M
from .head_motion_tracker import LANDMARK_SIGMA, SHAPE_SIGMA_M, HeadMotion
from .head_points_tracker import WINDOW, HeadPoints
from .shapes import Marks, PerPoint, Pixels, Points, Poses, Principal, Weights
from .skin_slide import LANDMARKS_SHARE, SLIDE, brow_raise, slide_share

MIN_SIGMA, MAX_SIGMA = 0.003, 0.012
"""Standard deviation of a head point from the rigid head, in distances between the pupils: none is trusted more, and a
point beyond the second is not of the skull."""

LANDMARK_WEIGHT = 0.15
"""Of landmarks beside head points: the landmarks of a frame have correlated errors (an open mouth turns the face by
degrees), but over the clip they hold the head's shape."""

SKIN_SIGMA_SCALE = 1.5
"""Skin slides over the skull by more than its residuals show, because all of it slides together; hair and ears do
not."""

OUTER_SIGMA_M = 0.02
"""Prior of hair and ears about the extrapolated surface of the face."""

SHAPE_PRIOR_POINTS, REFERENCE_ROTATION_RMS_DEG, MIN_SHAPE_PRIOR_POINTS = 100, 6.0, 60
"""Effective number of independent points of the shape prior in a clip whose head turns by 6 degrees (root mean square),
and at least. A deeper relief looks like smaller rotations (the bas-relief ambiguity); foreshortening of a turned face
separates them and grows with the square of the rotation, so the prior's weight falls with the fourth power. With a
constant weight two real clips with little rotation got faces twice as deep as human ones."""


@dataclass
class Observations:
    """All points, the rigid landmarks first, as seen in N frames.

    Attributes:
        slide_px: standard deviation of sliding skin.
        crowding: by how much the others that a frame sees around a point take from its information (`crowding`).
        points: estimate in the head frame, metres.
        sigma_px: standard deviation of each point from the rigid head at rest.
        kept: points of the skull.
    """

    points_px: Pixels
    seen: Bool[np.ndarray, "n p"]
    slide_px: Weights
    crowding: Weights
    points: Points
    sigma_px: PerPoint
    kept: Bool[np.ndarray, " p"]
    prior: Prior

    @property
    def weights(self) -> Weights:
        """Inverse standard deviation of each observation, 1/px."""
        variance = (self.sigma_px**2 + self.slide_px**2) * self.crowding
        return np.where(self.seen & self.kept, 1 / np.sqrt(variance), 0.0)

    @property
    def at_rest(self) -> Bool[np.ndarray, "n p"]:
        """Observations that the brows do not disturb."""
        return self.seen & (self.slide_px < 0.5 * self.sigma_px)

    def update_sigma(self, poses: Poses, focal: float, principal: Principal, pupil_px: float) -> None:
        """Measure the head points' standard deviations, at rest, and drop those that are not of the skull."""
        head = slice(len(RIGID), None)
        residual = residuals_px(self.points_px, self.points, poses, focal, principal)[:, head]
        rest, seen = self.at_rest[:, head], self.seen[:, head]
        sigma = robust_sigma(residual, np.where(rest.sum(0) > 20, rest, seen))
        self.kept[head] &= sigma < MAX_SIGMA * pupil_px
        self.sigma_px[head] = np.maximum(sigma, MIN_SIGMA * pupil_px)


def gather_observations(
    motion: HeadMotion, landmarks_px: Marks, head_points: HeadPoints, principal: Principal, pupil_px: float
) -> Observations:
    """Landmarks and head points before the adjustment."""
    known, focal, poses, on_face = motion.known, motion.focal.px, motion.poses, head_points.on_face
    fixed, tracked = len(RIGID), head_points.seen.shape[1]
    points = np.concatenate([motion.face[RIGID], head_points.points_head_m])
    seen = np.concatenate([np.repeat(known[:, None], fixed, 1), head_points.seen], 1)
    share = slide_share(points, motion.face)
    share[:fixed] = np.maximum(share[:fixed], LANDMARKS_SHARE)
    raised_m = brow_raise(landmarks_px, known, poses, motion.face, focal, principal, motion.fps)
    raised_px = np.abs(raised_m) * focal / poses[:, 2, 3]
    shape_sigma = np.concatenate([np.full(fixed, SHAPE_SIGMA_M), np.where(on_face, SHAPE_SIGMA_M, OUTER_SIGMA_M)])
    shape_sigma *= max(1.0, np.sqrt((fixed + tracked) / shape_prior_points(poses[known])))
    sigma = np.concatenate([LANDMARK_SIGMA / (RIGID_WEIGHTS * LANDMARK_WEIGHT), skin_scale(on_face) * 2 * MIN_SIGMA])
    kept = seen[known].sum(0) >= min(8, known.sum())
    kept[fixed:] &= on_face | ~_static(head_points, points[fixed:], poses, focal, principal)
    return Observations(
        np.concatenate([landmarks_px[:, RIGID], head_points.points_px], 1),
        seen,
        (SLIDE * raised_px[:, None] * share).astype(np.float32),
        np.concatenate(
            [np.ones((len(known), fixed), np.float32), crowding(head_points.points_head_m, head_points.seen)], 1
        ),
        points,
        pupil_px * sigma,
        kept,
        Prior(points, 1 / shape_sigma),
    )


def crowding(points_head_m: Points, seen: Bool[np.ndarray, "n k"]) -> Weights:
    """How many head points share the information of each: those whose patches overlap with its own err together.

    A highlight that travels over the nose moves all thirty patches on it, and they would outvote the rest of the head. In
    the mean over all observations its inverse is 1, so landmarks and the prior keep their say.
    """
    apart = np.linalg.norm(points_head_m[:, None] - points_head_m, axis=-1) / (0.5 * WINDOW * PUPIL_DISTANCE_M)
    sharing = np.maximum(seen.astype(np.float32) @ np.exp(-0.5 * apart**2).astype(np.float32), 1.0)
    return sharing * np.float32((1 / sharing[seen]).mean() if seen.any() else 1.0)


def skin_scale(on_face: Bool[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Factor of the measured standard deviation of head points."""
    return np.where(on_face, SKIN_SIGMA_SCALE, 1.0)


def shape_prior_points(poses: Poses) -> float:
    """Effective number of independent points of the shape prior, given the rotations of the head."""
    rotation = poses[:, :3, :3]
    turns = rotation_log(rotation @ Rotation.from_matrix(rotation).mean().as_matrix().T)[:, :2]
    rms_deg = float(np.degrees(np.sqrt((turns**2).sum(1).mean())))
    return max(MIN_SHAPE_PRIOR_POINTS, SHAPE_PRIOR_POINTS * (REFERENCE_ROTATION_RMS_DEG / max(rms_deg, 1.0)) ** 4)


def _static(
    head_points: HeadPoints, points: Float[np.ndarray, "k 3"], poses: Poses, focal: float, principal: Principal
) -> Bool[np.ndarray, " k"]:
    """Points of the background: a fixed place explains them better than motion with the head."""
    seen, points_px = head_points.seen, head_points.points_px
    with_head = robust_sigma(residuals_px(points_px, points, poses, focal, principal), seen)
    home = np.zeros(points_px.shape[1:])
    for index in np.flatnonzero(seen.any(0)):
        home[index] = np.median(points_px[seen[:, index], index], axis=0)
    return robust_sigma(np.linalg.norm(points_px - home, axis=-1), seen) < with_head


def robust_sigma(distance: Weights, seen: Bool[np.ndarray, "n p"]) -> PerPoint:
    """Standard deviation along one axis of each point, from its median distance."""
    typical = [np.median(column[ok]) if ok.any() else np.inf for column, ok in zip(distance.T, seen.T, strict=True)]
    return np.array(typical, np.float64) / 1.1774  # median distance of a two-dimensional normal error of unit deviation
