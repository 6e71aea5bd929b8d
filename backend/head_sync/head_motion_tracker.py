"""Head motion tracker (Eq. 5 and 6): focal length, face shape and a pose for every frame, from landmarks alone.

The paper fits a morphable model. Here the prior is the subject's face from MediaPipe's relative depth, averaged over the
clip and estimated together with the poses, so no model file is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..workspace.landmarks import LEFT_PUPIL, RIGHT_PUPIL, RIGID, RIGID_WEIGHTS
from ..workspace.poses import bridge_poses, make_poses, similarity
from ..workspace.shapes import Float
from .bundle_adjustment import Bundle, Prior, bundle_adjust, refine_points, refine_poses, spread_frames
from .face_geometry import PUPIL_DISTANCE_M, head_frame
from .face_model import FaceModel
from .shapes import Depths, Face, Frames, Marks, Pixels, Points, Poses, Principal, Weights

FOCAL_PER_SIDE = 2.3
"""Typical focal length over the side of an image that shows head and shoulders."""

FOCAL_PRIOR_SPREAD = 0.3
"""Relative standard deviation of that."""

FOCAL_CANDIDATES = np.geomspace(0.5, 2.0, 7)
"""Multiples of the expected focal length that the search of Eq. 5 tries."""

INDEPENDENT_FRAMES = 20
"""Effective number of independent observations of the search's landmarks. The network sees faces nearly without
perspective, which biases the search: on a rendered head it was wrong by 25 % when every frame counted."""

LANDMARK_SIGMA = 0.012
"""Standard deviation of a landmark, in distances between the pupils (1.2 px where they are 100 px apart)."""

SHAPE_SIGMA_M = 0.004
"""Standard deviation of MediaPipe's depth."""

BUNDLE_FRAMES = 240
SEARCH_FRAMES = 80


@dataclass(frozen=True)
class FocalChoice:
    """A focal length, pixels, with the interval that holds it with a chance of about two thirds."""

    px: float
    low_px: float
    high_px: float


@dataclass(frozen=True)
class HeadMotion:
    """Poses and the face in the canonical head frame, metres; bridged where not `known`."""

    poses: Poses
    face: Face
    focal: FocalChoice
    known: Frames
    fps: float = 25.0
    """Frames a second."""


def expected_focal_px(size: int, crop_size: float, source_size: tuple[int, int]) -> float:
    """Focal length to expect, in pixels of the working frame.

    A portrait clip has about 2.3 times its side. A small face in a wide image was recorded with a focal length of at
    least about the image's width.

    Args:
        size: side of the working frame, pixels. crop_size: its side in the source, source pixels.
        source_size: width and height of the source, pixels.
    """
    return max(FOCAL_PER_SIDE * crop_size, float(max(source_size))) * size / crop_size


def track_head_motion(
    landmarks_px: Marks,
    depth: Depths,
    detected: Frames,
    principal: Principal,
    expected_focal: float,
    model: FaceModel | None = None,
) -> HeadMotion:
    """Focal length, face shape and poses from landmarks and their relative depth.

    Args:
        expected_focal: pixels, see `expected_focal_px`.
        model: a morphable model as the source of the face's relief, in place of MediaPipe.
    """
    points_px = landmarks_px[:, RIGID].astype(np.float64)
    pupils = np.linalg.norm(landmarks_px[detected][:, LEFT_PUPIL] - landmarks_px[detected][:, RIGHT_PUPIL], axis=1)
    weights = np.where(detected[:, None], RIGID_WEIGHTS / (LANDMARK_SIGMA * np.median(pupils)), 0.0)
    shape = average_shape(landmarks_px, depth, detected)
    sigma = np.full(len(RIGID), SHAPE_SIGMA_M)
    if model is not None:
        fitted = model.fit(shape)
        shape, sigma = fitted.face, np.maximum(fitted.sigma_m[RIGID], SHAPE_SIGMA_M)
    prior = Prior(shape[RIGID], 1.0 / sigma)

    some = spread_frames(detected, SEARCH_FRAMES)
    focal = search_focal(
        landmarks_px[some], depth[some], points_px[some], weights[some], shape, prior, principal, expected_focal
    )

    poses = np.tile(np.eye(4), (len(detected), 1, 1))
    poses[detected] = weak_perspective_poses(shape, landmarks_px[detected], depth[detected], focal.px, principal)
    some = spread_frames(detected, BUNDLE_FRAMES)
    bundle = _bundle(points_px[some], weights[some], prior, poses[some], focal.px, principal)
    poses[detected] = refine_poses(
        points_px[detected], weights[detected], bundle.points, poses[detected], focal.px, principal
    )
    face = neutral_face(landmarks_px, detected, poses, focal.px, principal, shape, bundle.points)
    return in_head_frame(bridge_poses(poses, detected), face, focal, detected)[0]


def search_focal(
    landmarks_px: Marks,
    depth: Depths,
    points_px: Pixels,
    weights: Weights,
    shape: Face,
    prior: Prior,
    principal: Principal,
    expected: float,
) -> FocalChoice:
    """Eq. 5: the focal length with which poses and shape, estimated for it, explain the landmarks best.

    The landmarks of a frame have correlated errors, so they count as few observations; where they do not decide the
    expectation does.
    """
    candidates = expected * FOCAL_CANDIDATES
    error = []
    for focal in candidates:
        poses = weak_perspective_poses(shape, landmarks_px, depth, focal, principal)
        bundle = _bundle(points_px, weights, prior, poses, focal, principal, iterations=8)
        error.append(bundle.cost / max(1, np.count_nonzero(weights)))
    independent = INDEPENDENT_FRAMES
    prior_cost = (np.log(candidates / expected) / FOCAL_PRIOR_SPREAD) ** 2 / 2
    return choose_focal(candidates, 0.5 * independent * np.log(np.array(error)) + prior_cost)


def choose_focal(candidates: Float[np.ndarray, " c"], score: Float[np.ndarray, " c"]) -> FocalChoice:
    """Mean and spread, in the logarithm, of the focal length from negative log likelihoods (`score`) of candidates."""
    log_focal = np.linspace(np.log(candidates[0]), np.log(candidates[-1]), 401)
    smooth = np.interp(log_focal, np.log(candidates), score)
    chance = np.exp(smooth.min() - smooth)
    chance /= chance.sum()
    mean = float((chance * log_focal).sum())
    spread = float(np.sqrt((chance * (log_focal - mean) ** 2).sum()))
    return FocalChoice(float(np.exp(mean)), float(np.exp(mean - spread)), float(np.exp(mean + spread)))


def average_shape(landmarks_px: Marks, depth: Depths, detected: Frames, frames: int = 300) -> Face:
    """Median of the landmarks with their relative depth, in metres and centred.

    Each frame has its own scale and rotation; all are aligned by similarities of the rigid landmarks.
    """
    some = spread_frames(detected, frames)
    faces = np.concatenate([landmarks_px[some], depth[some, :, None]], -1).astype(np.float64)
    middle = faces[len(faces) // 2]
    shape = middle - middle[RIGID].mean(0)
    for _ in range(5):
        scale, rotation, shift = similarity(faces[:, RIGID], shape[RIGID])
        aligned = scale[:, None, None] * faces @ rotation.transpose(0, 2, 1) + shift[:, None]
        shape = np.median(aligned, axis=0)
        shape -= shape[RIGID].mean(0)
    scale, rotation, _ = head_frame(shape)  # upright, so every subject's search starts the same way
    shape = scale * shape @ rotation.T
    return shape - shape[RIGID].mean(0)


def weak_perspective_poses(
    shape: Face, landmarks_px: Marks, depth: Depths, focal: float, principal: Principal
) -> Poses:
    """First poses for one focal length: distance from the face's size, rotation from its depth."""
    faces = np.concatenate([landmarks_px[:, RIGID], depth[:, RIGID, None]], -1).astype(np.float64)
    scale, rotation, shift = similarity(np.broadcast_to(shape[RIGID], faces.shape), faces)
    distance = focal / scale
    position = np.concatenate([(shift[:, :2] - principal) / scale[:, None], distance[:, None]], 1)
    return make_poses(rotation, position)


def neutral_face(
    landmarks_px: Marks,
    detected: Frames,
    poses: Poses,
    focal: float,
    principal: Principal,
    shape: Face,
    rigid_points: Points,
) -> Face:
    """The subject's face at rest, in the poses' frame: triangulated from frames with a shut mouth and open eyes.

    Args:
        shape: `average_shape`, the prior. rigid_points: of the landmarks `RIGID`, kept as they are.
    """
    calm = spread_frames(resting_frames(landmarks_px, detected), BUNDLE_FRAMES)
    scale, rotation, shift = similarity(shape[RIGID], rigid_points)
    start = scale * shape @ rotation.T + shift
    weights = np.full(
        (len(calm), len(shape)), 1.0 / (LANDMARK_SIGMA * focal * PUPIL_DISTANCE_M / np.median(poses[calm, 2, 3]))
    )
    # Frames are not independent: their number must not outweigh the prior on depth.
    weights *= np.sqrt(min(1.0, 30 / len(calm)))
    prior = Prior(start, np.full(len(shape), 1.0 / SHAPE_SIGMA_M))
    face = refine_points(landmarks_px[calm].astype(np.float64), weights, start, poses[calm], focal, principal, prior)
    face[RIGID] = rigid_points
    return face


def resting_frames(landmarks_px: Marks, detected: Frames) -> Frames:
    """Frames with the mouth as shut as in the calmest quarter, and open eyes."""

    def opening(upper: int, lower: int) -> np.ndarray:
        return np.linalg.norm(landmarks_px[:, upper] - landmarks_px[:, lower], axis=-1)

    mouth, eyes = opening(13, 14), opening(159, 145) + opening(386, 374)
    resting = detected & (mouth <= np.quantile(mouth[detected], 0.25)) & (eyes >= np.quantile(eyes[detected], 0.3))
    return resting if resting.any() else detected


def _bundle(
    points_px: Pixels,
    weights: Weights,
    prior: Prior,
    poses: Poses,
    focal: float,
    principal: Principal,
    iterations: int = 15,
) -> Bundle:
    poses = refine_poses(points_px, weights, prior.mean, poses, focal, principal)
    # The landmarks of a frame have correlated errors: as independent ones they would bend the shape to their common
    # error.
    weights = weights * min(1.0, np.sqrt(30 / len(poses)))
    return bundle_adjust(points_px, weights, prior.mean, poses, focal, principal, prior, iterations=iterations)


def in_head_frame(
    poses: Poses, face: Face, focal: FocalChoice, known: Frames
) -> tuple[HeadMotion, Callable[[np.ndarray], np.ndarray]]:
    """Poses and face in the canonical head frame, with 63 mm between the pupils.

    Returns:
        the motion, and the same transformation for other points (K, 3).
    """
    scale, rotation, shift = head_frame(face)
    moved = poses.copy()
    moved[:, :3, :3] = poses[:, :3, :3] @ rotation.T
    moved[:, :3, 3] = scale * poses[:, :3, 3] - (moved[:, :3, :3] @ shift)

    def to_head(points: np.ndarray) -> np.ndarray:
        return scale * points @ rotation.T + shift

    return HeadMotion(moved, to_head(face), focal, known), to_head
