"""Depth of a head is where its face was tracked, with the relief of what is rendered."""

from __future__ import annotations

import numpy as np
import pytest

from backend.delivery.face_depth import at_the_face
from backend.renderer.head import Moment
from backend.workspace.camera import Camera
from backend.workspace.face_mesh import FaceMesh

CAMERA = Camera(200, 200, 400.0, (100.0, 100.0))
SIDE = 15


@pytest.fixture
def face():
    """A bent sheet 12 cm wide that faces the camera, whose corner a shape opens."""
    x, y = (axis.ravel() for axis in np.meshgrid(*[np.linspace(-0.06, 0.06, SIDE)] * 2))
    cell = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (part.ravel() for part in (cell[:-1, :-1], cell[:-1, 1:], cell[1:, :-1], cell[1:, 1:]))
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    shapes = np.zeros((52, SIDE * SIDE, 3))
    shapes[0, :, 1] = 0.02
    return FaceMesh(np.stack([x, y, 4 * x**2 - 0.09], 1), triangles, shapes)


@pytest.fixture
def now():
    pose = np.eye(4)
    pose[2, 3] = 1.0
    return Moment(CAMERA, pose, np.zeros(52, np.float32))


def true_depth():
    """(200, 200) of the sheet, continued beyond its sides."""
    across = (np.arange(200) + 0.5 - 100) / 400 * 0.92
    return np.broadcast_to(1.0 - 0.09 + 4 * across**2, (200, 200)).astype(np.float32)


@pytest.mark.parametrize("apart_m", [-0.02, 0.015])
def test_a_surface_before_or_behind_the_face_is_moved_to_it(face, now, apart_m):
    inside = np.s_[60:140, 80:120]
    wrong = true_depth() + np.float32(apart_m)
    wrong[100:104, 96:104] -= np.float32(0.004)  # a nose
    found = at_the_face(wrong, face, now)
    assert np.abs(found - true_depth())[inside].max() < 0.006
    assert np.median(np.abs(found - true_depth())[inside]) < 0.001
    relief_m = found[90, 100] - found[102, 100]
    np.testing.assert_allclose(relief_m, 0.004, atol=0.0015)


def test_what_has_no_depth_stays_without(face, now):
    wrong = true_depth() - np.float32(0.02)
    wrong[:, :90] = 0
    found = at_the_face(wrong, face, now)
    assert not found[:, :90].any() and (found[:, 90:] > 0.8).all()


def test_a_head_seen_from_behind_keeps_its_depth(face, now):
    pose = np.diag([-1.0, 1.0, -1.0, 1.0])
    pose[2, 3] = 1.0
    wrong = np.full((200, 200), 0.9, np.float32)
    np.testing.assert_array_equal(at_the_face(wrong, face, Moment(CAMERA, pose, now.blendshapes)), wrong)
