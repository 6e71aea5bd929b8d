"""Normals, motion and neighbours of a depth image: known for planes and spheres."""

from __future__ import annotations

import numpy as np
import pytest

from backend.renderer import surface
from backend.renderer.head import Moment
from backend.workspace.camera import Camera
from backend.workspace.poses import rotation_exp

CAMERA = Camera(160, 120, 300.0, (85.0, 55.0))
NO_SHAPES = np.zeros(52, np.float32)


def plane(normal, distance_m):
    """(120, 160) depth of the plane of points P with normal · P = -distance_m."""
    x, y = CAMERA.ray_slopes()
    return (-distance_m / (normal[0] * x + normal[1] * y + normal[2])).astype(np.float32)


def sphere(centre, radius_m):
    """Depth of a sphere, and its normals; 0 beside it."""
    rays = surface.points_m(np.ones((120, 160)), CAMERA)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    half = rays @ centre
    root = half**2 - centre @ centre + radius_m**2
    hit = root > 0
    points = rays * (half - np.sqrt(np.where(hit, root, 0)))[..., None]
    return np.where(hit, points[..., 2], 0).astype(np.float32), (points - centre) / radius_m, hit


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.6, -0.2), (-0.3, 0.8)])
def test_a_plane_has_its_normal_up_to_its_edge(tilt):
    normal = np.array([*tilt, -1.0]) / np.linalg.norm([*tilt, 1.0])
    z_m = plane(normal, 0.8)
    z_m[:, :20] = 0
    found = surface.normals(z_m, CAMERA)
    assert not found[:, :20].any()
    np.testing.assert_allclose(found[:, 20:], np.broadcast_to(normal, (120, 140, 3)), atol=2e-3)


def test_a_spheres_normals_are_its_own_also_with_noise():
    z_m, truth, hit = sphere(np.array([0.02, 0.0, 1.0]), 0.1)
    noise = np.random.default_rng(0).normal(0, 0.001, z_m.shape).astype(np.float32)
    found = surface.normals(np.where(hit, z_m + noise, 0), CAMERA)
    inner = hit & (truth[..., 2] < -0.5)
    degrees = np.degrees(np.arccos(np.clip((found * truth).sum(-1), -1, 1)))[inner]
    assert np.median(degrees) < 15 and np.median(np.degrees(np.arccos(-found[inner][:, 2]))) > 20
    clean = surface.normals(z_m, CAMERA)
    assert np.degrees(np.arccos(np.clip((clean * truth).sum(-1), -1, 1)))[inner].max() < 12


def test_nothing_has_no_normal():
    assert not surface.normals(np.zeros((120, 160), np.float32), CAMERA).any()


def test_a_rigid_head_moves_as_its_points_are_projected():
    z_m, _, hit = sphere(np.array([0.0, 0.0, 1.0]), 0.1)
    pose, after = np.eye(4), np.eye(4)
    pose[2, 3] = 1.0
    after[:3, :3], after[:3, 3] = rotation_exp(np.array([0.0, 0.2, 0.1])), (0.01, -0.02, 1.1)
    zoomed = Camera(160, 120, 330.0, (80.0, 60.0))
    found = surface.rigid_motion(z_m, Moment(CAMERA, pose, NO_SHAPES), Moment(zoomed, after, NO_SHAPES))
    at = np.argwhere(hit)[::97]
    points = surface.points_m(z_m, CAMERA)[at[:, 0], at[:, 1]] - [0, 0, 1.0]
    there, _ = zoomed.project(after, points)
    np.testing.assert_allclose(found[at[:, 0], at[:, 1]], there - (at[:, ::-1] + 0.5), atol=1e-3)
    assert not found[~hit].any()


def test_the_nearest_known_pixel_is_found():
    known = np.zeros((20, 30), bool)
    known[3, 4] = known[15, 25] = True
    rows, columns = surface.nearest(known)
    assert (rows[3, 4], columns[3, 4]) == (3, 4)
    assert (rows[0, 0], columns[0, 0]) == (3, 4) and (rows[19, 29], columns[19, 29]) == (15, 25)
    for all_or_none in (np.zeros((4, 5), bool), np.ones((4, 5), bool)):
        rows, columns = surface.nearest(all_or_none)
        np.testing.assert_array_equal(np.stack([rows, columns]), np.indices((4, 5)))
