"""The methods that `bench head-sync` compares, each from landmarks to poses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from ...head_sync.bundle_adjustment import Prior, refine_points, residuals_px
from ...head_sync.head_motion_tracker import (
    SHAPE_SIGMA_M,
    HeadMotion,
    average_shape,
    neutral_face,
    track_head_motion,
    weak_perspective_poses,
)
from ...head_sync.head_points_tracker import HeadPoints, track_head_points
from ...head_sync.landmarks import TASK_FILE
from ...head_sync.stabilizer import stabilize
from ...models import find
from ...workspace.landmarks import RIGID
from ...workspace.poses import make_poses, to_camera
from .clip import Clip, Cost


@dataclass
class Row:
    """Result of a method: poses (N, 4, 4), the camera that it assumes, a surface (M, 3) to warp by."""

    method: str
    poses: np.ndarray
    focal: float
    principal: np.ndarray
    surface: np.ndarray
    reprojection_px: float
    seconds: float
    memory_mb: float


def by_all_methods(clip: Clip, keypoints: str = "corners") -> Iterator[Row]:
    """MediaPipe's own matrix (where its file is), per-frame PnP, our tracker alone, and with either adjustment."""
    marks, principal = clip.landmarks, clip.principal
    known = marks.detected
    model = find(TASK_FILE)
    if model is not None:
        yield _by_mediapipe(clip, model)
    yield _by_pnp(clip)
    with Cost() as tracking, threadpool_limits(1, "blas"):
        motion = track_head_motion(marks.points_px, marks.depth, known, principal, clip.expected_focal)
    error = residuals_px(marks.points_px[:, RIGID], motion.face[RIGID], motion.poses, motion.focal.px, principal)
    reprojection = float(np.median(np.sqrt((error[known] ** 2).mean(1))))
    surface = motion.face[RIGID]
    yield Row("tracker alone", motion.poses, motion.focal.px, principal, surface, reprojection, *tracking.figures)
    with Cost() as finding, threadpool_limits(1, "blas"):
        points = track_head_points(clip.grey, marks.points_px, motion, principal, keypoints)
    for name, options in (
        ("+ bundle adjustment (Adam)", {"method": "adam", "smooth": False}),
        ("+ bundle adjustment, path", {}),
    ):
        yield _stabilized(clip, motion, points, name, options, tracking, finding)


def _stabilized(
    clip: Clip, motion: HeadMotion, points: HeadPoints, name: str, options: dict[str, Any], *before: Cost
) -> Row:
    with Cost() as adjusting, threadpool_limits(1, "blas"):
        result = stabilize(motion, clip.landmarks.points_px, points, clip.cuts, clip.principal, **options)
    return Row(
        name,
        result.motion.poses,
        result.motion.focal.px,
        clip.principal,
        result.surface_head_m,
        float(np.median(result.reprojection_px[motion.known])),
        sum(cost.seconds for cost in (*before, adjusting)),
        max(cost.memory_mb for cost in (*before, adjusting)),
    )


def _by_mediapipe(clip: Clip, model: Path) -> Row:
    """The Face Landmarker's own matrix, each image alone: a camera of 63 degrees of view, in its documentation's
    axes (x right, y up, z to the viewer; centimetres)."""
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    wanted = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
        running_mode=vision.RunningMode.IMAGE,
        output_facial_transformation_matrixes=True,
    )
    matrices = np.tile(np.eye(4), (clip.frames, 1, 1))
    with Cost() as cost, vision.FaceLandmarker.create_from_options(wanted) as landmarker:
        for frame in range(clip.frames):
            image = Image(image_format=ImageFormat.SRGB, data=clip.workspace.read_frame(frame))
            found = landmarker.detect(image).facial_transformation_matrixes
            matrices[frame] = found[0] if found else matrices[max(frame - 1, 0)]
    turned = np.diag([1.0, -1.0, -1.0])
    scale = np.cbrt(np.linalg.det(matrices[:, :3, :3]))[:, None, None]
    poses = make_poses(turned @ (matrices[:, :3, :3] / scale) @ turned, matrices[:, :3, 3] @ turned / 100)
    focal = clip.size / 2 / float(np.tan(np.radians(31.5)))
    return _of_landmarks("MediaPipe's matrix", clip, poses, focal, np.full(2, clip.size / 2), cost)


def _by_pnp(clip: Clip) -> Row:
    """Each frame's landmarks against the clip's average face, by OpenCV's iterative PnP, with the expected focal
    length."""
    marks, known = clip.landmarks, clip.landmarks.detected
    focal, principal = clip.expected_focal, clip.principal
    camera = np.array([[focal, 0, principal[0]], [0, focal, principal[1]], [0, 0, 1]])
    with Cost() as cost:
        shape = average_shape(marks.points_px, marks.depth, known)
        poses = np.tile(np.eye(4), (clip.frames, 1, 1))
        first = weak_perspective_poses(shape, marks.points_px[known], marks.depth[known], focal, principal)
        for frame, guess in zip(np.flatnonzero(known), first, strict=True):
            turn, place = cv2.Rodrigues(guess[:3, :3])[0], guess[:3, 3:].copy()
            seen = marks.points_px[frame, RIGID].astype(np.float64)
            cv2.solvePnP(shape[RIGID], seen, camera, None, turn, place, True, cv2.SOLVEPNP_ITERATIVE)
            poses[frame, :3, :3], poses[frame, :3, 3] = cv2.Rodrigues(turn)[0], place[:, 0]
    return _of_landmarks("per-frame PnP", clip, poses, focal, principal, cost)


def _of_landmarks(method: str, clip: Clip, poses: np.ndarray, focal: float, principal: np.ndarray, cost: Cost) -> Row:
    """A method's row with the face that its own poses triangulate from the landmarks."""
    marks, known = clip.landmarks, clip.landmarks.detected
    shape = average_shape(marks.points_px, marks.depth, known)
    seen = marks.points_px[known][:, RIGID].astype(np.float64)
    # The average face in the method's own head frame, by the median over frames.
    own = weak_perspective_poses(shape, marks.points_px[known], marks.depth[known], focal, principal)
    factor = float(np.median(poses[known, 2, 3] / own[:, 2, 3]))
    placed = to_camera(own, shape) * factor
    face = np.median((placed - poses[known, None, :3, 3]) @ poses[known, :3, :3], axis=0)
    weights = np.full(seen.shape[:2], min(1.0, np.sqrt(30 / len(seen))))
    prior = Prior(face[RIGID], np.full(len(RIGID), 1 / (factor * SHAPE_SIGMA_M)))
    rigid = refine_points(seen, weights, face[RIGID], poses[known], focal, principal, prior)
    face = neutral_face(marks.points_px, known, poses, focal, principal, shape, rigid)
    error = residuals_px(seen, face[RIGID], poses[known], focal, principal)
    reprojection = float(np.median(np.sqrt((error**2).mean(1))))
    return Row(method, poses, focal, principal, face[RIGID], reprojection, *cost.figures)


def cost_of_tracking(clip: Clip) -> dict[str, Any]:
    """Seconds of tracking and adjustment after the landmarks, and the process's peak of memory."""
    marks = clip.landmarks
    with Cost() as cost, threadpool_limits(1, "blas"):
        motion = track_head_motion(marks.points_px, marks.depth, marks.detected, clip.principal, clip.expected_focal)
        points = track_head_points(clip.grey, marks.points_px, motion, clip.principal)
        stabilize(motion, marks.points_px, points, clip.cuts, clip.principal)
    return {"frames": clip.frames, "seconds": cost.seconds, "memory_mb": cost.memory_mb}
