"""Distance of landmarks to a person's neutral face."""

from __future__ import annotations

import numpy as np

from backend.evaluation.face_shape import shape_distance
from backend.workspace.camera import Camera
from backend.workspace.landmarks import LEFT, LIPS, RIGHT
from backend.workspace.poses import make_poses, project, rotation_exp
from tests.backend.made_up_head import make_face

CAMERA = Camera(512, 512, 900.0, (256.0, 256.0))


def seen(face: np.ndarray, poses: np.ndarray) -> np.ndarray:
    return project(poses, face, CAMERA.focal_px, np.array(CAMERA.principal_px))


def make_turns(count: int = 5) -> np.ndarray:
    return make_poses(
        rotation_exp(np.linspace(-0.2, 0.2, count)[:, None] * [0.5, 1, 0.3]), np.tile([0.01, 0, 0.8], (count, 1))
    )


def test_place_size_and_tilt_in_the_image_do_not_count():
    face, poses = make_face(), make_turns()
    tilt = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    assert np.allclose(shape_distance(1.3 * seen(face, poses) @ tilt + 40, poses, CAMERA, face), 0, atol=1e-9)


def test_another_face_is_as_far_as_it_differs():
    face, poses = make_face(), make_turns()
    wide = face * [1.05, 1, 1]
    one, two = (
        shape_distance(seen(face * [1 + share, 1, 1], poses), poses, CAMERA, face).mean() for share in (0.05, 0.1)
    )
    assert one > 0.01 and np.isclose(two / one, 2, rtol=0.1)
    open_mouth = face.copy()
    open_mouth[list(LIPS), 1] += 0.01
    eyes_m = np.linalg.norm(face[LEFT.eye_corners[1]] - face[RIGHT.eye_corners[1]])
    expected = 0.01 / eyes_m * np.sqrt(len(LIPS) / 468)
    assert np.isclose(shape_distance(seen(open_mouth, poses), poses, CAMERA, face).mean(), expected, rtol=0.15)
    assert shape_distance(seen(wide, poses), poses, CAMERA, wide).max() < 1e-9


def test_a_frame_without_a_face_has_none():
    face, poses = make_face(), make_turns(2)
    points = seen(face, poses)
    points[1] = np.nan
    assert np.array_equal(np.isnan(shape_distance(points, poses, CAMERA, face)), [False, True])
