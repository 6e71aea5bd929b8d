"""Landmarks and head points meet in one convention: the first pixel's centre is (0.5, 0.5).

Frames are rendered without OpenCV: dots on a flat face, each pixel shaded at its own centre. So the true place of every
dot is known to a fraction of a pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.head_sync.head_motion_tracker import FocalChoice, HeadMotion
from backend.head_sync.head_points_tracker import track_head_points
from backend.head_sync.stabilizer import stabilize
from backend.head_sync.stage import principal_px
from backend.workspace.landmarks import LEFT_BROW, LEFT_EYE, LOWER_FACE, RIGHT_BROW, RIGHT_EYE, RIGID, UPPER_FACE
from backend.workspace.poses import project
from backend.workspace.subject import Crop, Subject
from tests.backend.made_up_head import FOCAL, SIZE, MadeUp

DEPTH_M = -0.085
"""Plane of the flat face in the head frame."""

STEP_M = 0.012
"""Between two dots: twelve pixels and more, so that the nearest dot is never in doubt."""

FRAMES = 24


def dots_m() -> np.ndarray:
    """Centres (K, 3) of dots on a jittered grid that covers the face."""
    columns, rows = np.meshgrid(np.arange(-8, 9) * STEP_M, np.arange(-13, 8) * STEP_M)
    jitter = np.random.default_rng(2).uniform(-0.2, 0.2, (2, columns.size)) * STEP_M
    return np.stack([columns.ravel() + jitter[0], rows.ravel() + jitter[1], np.full(columns.size, DEPTH_M)], 1)


def flat_face(face: np.ndarray) -> np.ndarray:
    """A made-up face (478, 3) laid flat, with outlines that enclose what they are named after."""
    face = face.copy()
    face[:, 2] = DEPTH_M
    turn = np.linspace(0, 2 * np.pi, len(UPPER_FACE), endpoint=False) - np.pi / 2
    face[UPPER_FACE, :2] = np.stack([0.065 * np.cos(turn), 0.055 * np.sin(turn) - 0.055], 1)
    below = LOWER_FACE[~np.isin(LOWER_FACE, UPPER_FACE)]
    turn = np.linspace(0, np.pi, len(below))
    face[below, :2] = np.stack([0.06 * np.cos(turn), 0.06 * np.sin(turn)], 1)
    for side, parts in ((-1, (RIGHT_EYE, RIGHT_BROW)), (1, (LEFT_EYE, LEFT_BROW))):
        for part in parts:
            turn = np.linspace(0, 2 * np.pi, len(part))
            face[part, :2] = np.stack([side * (0.0315 + 0.004 * np.cos(turn)), 0.004 * np.sin(turn) - 0.045], 1)
    return face


def render(pose: np.ndarray, focal: float, principal: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: dark dots on a bright plane, shaded at pixel centres n + 0.5."""
    columns, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    rays = (
        np.stack([(columns - principal[0]) / focal, (rows - principal[1]) / focal, np.ones(shape)], -1) @ pose[:3, :3]
    )
    camera = -pose[:3, 3] @ pose[:3, :3]
    on_plane = camera + rays * ((DEPTH_M - camera[2]) / rays[..., 2])[..., None]
    image = np.full(shape, 205.0)
    for index, dot in enumerate(dots_m()):
        at = (pose[:3, :3] @ dot + pose[:3, 3])[:2] / (pose[:3, :3] @ dot + pose[:3, 3])[2] * focal + principal
        left, top = np.maximum(at.astype(int) - 14, 0)
        part = (slice(top, top + 29), slice(left, left + 29))
        distance2 = ((on_plane[part][..., :2] - dot[:2]) ** 2).sum(-1)
        image[part] -= (90 + 60 * (index % 2)) * np.exp(-0.5 * distance2 / 0.0016**2)
    return np.clip(image, 0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module", params=["as it is", "cut out and halved"])
def tracked(request, made_up: MadeUp):
    """True motion and landmarks, and the head points of rendered frames; directly, or of a source twice as large that
    the working frame is cut from and scaled down."""
    # The head comes nearer, so that an offset in pixels is no shift of the scene.
    poses = made_up.poses[: 4 * FRAMES : 4].copy()
    poses[:, 2, 3] += np.linspace(0.15, -0.15, FRAMES)
    face = flat_face(made_up.face)
    if request.param == "as it is":
        subject = Subject(source_size=(SIZE, SIZE), size=SIZE, crop=Crop(0, 0, SIZE))
    else:
        subject = Subject(source_size=(2 * SIZE + 86, 2 * SIZE + 44), size=SIZE, crop=Crop(50, 10, 2 * SIZE))
    scale, principal = subject.crop.size / SIZE, principal_px(subject)
    images = []
    for pose in poses:
        source = render(pose, FOCAL * scale, np.array(subject.source_size) / 2, subject.source_size[::-1])
        x, y, side = int(subject.crop.x), int(subject.crop.y), int(subject.crop.size)
        images.append(cv2.resize(source[y : y + side, x : x + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    motion = HeadMotion(poses, face, FocalChoice(FOCAL, FOCAL, FOCAL), np.ones(FRAMES, bool))
    landmarks_px = project(poses, face, FOCAL, principal).astype(np.float32)
    points = track_head_points(images.__getitem__, landmarks_px, motion, principal)
    return motion, landmarks_px, points, principal


def test_head_points_lie_on_the_dots_and_not_half_a_pixel_beside_them(tracked):
    motion, _, points, principal = tracked
    dots = project(motion.poses, dots_m(), FOCAL, principal)
    offsets = []
    for frame in range(FRAMES):
        found = points.points_px[frame, points.seen[frame]].astype(np.float64)
        offset = found[:, None] - dots[frame]
        nearest = np.linalg.norm(offset, axis=-1).argmin(1)
        offsets.append(offset[np.arange(len(found)), nearest])
    offsets = np.concatenate([offset[np.linalg.norm(offset, axis=1) < 2.5] for offset in offsets])
    assert len(offsets) > 1000
    np.testing.assert_allclose(np.median(offsets, axis=0), 0, atol=0.1)


def test_adjusted_head_points_and_landmarks_agree_on_where_the_head_is(tracked):
    motion, landmarks_px, points, principal = tracked
    steady = stabilize(motion, landmarks_px, points, np.zeros(FRAMES, bool), principal)
    poses, focal = steady.motion.poses, steady.motion.focal.px
    by_landmarks = project(poses, steady.motion.face[RIGID], focal, principal) - landmarks_px[:, RIGID]
    dots = project(motion.poses, dots_m(), FOCAL, principal)
    put = project(poses, steady.points_head_m, focal, principal)
    offset = put[:, :, None] - dots[:, None]
    nearest = np.linalg.norm(offset, axis=-1).argmin(-1)
    by_points = np.take_along_axis(offset, nearest[..., None, None], 2)[:, :, 0]
    between = np.median(by_points[np.linalg.norm(by_points, axis=-1) < 2.5], axis=0) - np.median(by_landmarks, (0, 1))
    np.testing.assert_allclose(between, 0, atol=0.1)
