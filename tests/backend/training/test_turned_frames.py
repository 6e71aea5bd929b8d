"""Images of the clip seen from elsewhere, against a ball whose every view is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import Delaunay

from backend.training.gaussians.turned_frames import surface_of, turned_image
from backend.workspace.camera import Camera
from backend.workspace.face_mesh import FaceMesh
from backend.workspace.poses import turned

CAMERA = Camera(128, 128, 300.0, (64.0, 64.0))
RADIUS_M = 0.09


def pose() -> np.ndarray:
    place = np.eye(4)
    place[:3, 3] = 0, 0, 0.6
    return place


def ball(head_to_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A patterned ball about the head's origin: premultiplied, and the depth along the optical axis; 0 beside it."""
    y, x = np.mgrid[0:128, 0:128] + 0.5
    rays = np.stack([(x - 64) / 300, (y - 64) / 300, np.ones_like(x)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    centre = head_to_camera[:3, 3]
    along = rays @ centre
    inside = along**2 - centre @ centre + RADIUS_M**2
    distance = along - np.sqrt(np.maximum(inside, 0))
    points = (rays * distance[..., None] - centre) @ head_to_camera[:3, :3]
    colour = 0.5 + 0.4 * np.sin(points / 0.012)
    alpha = np.clip(inside / 1e-3 + 0.5, 0, 1)[..., None]
    return np.concatenate([colour * alpha, alpha], -1).astype(np.float32), np.where(
        inside > 0, distance * rays[..., 2], 0
    )


def face() -> FaceMesh:
    """The front of the ball as a mesh that no shape moves."""
    angle, ring = np.meshgrid(np.linspace(0, 2 * np.pi, 24, endpoint=False), np.linspace(0.005, 0.055, 9))
    x, y = (ring * np.cos(angle)).ravel(), (ring * np.sin(angle)).ravel()
    vertices = np.stack([x, y, -np.sqrt(RADIUS_M**2 - x**2 - y**2)], -1)
    return FaceMesh(vertices, Delaunay(vertices[:, :2]).simplices.astype(np.int64), np.zeros((52, *vertices.shape)))


@pytest.mark.parametrize(("yaw_deg", "pitch_deg"), [(12, 0), (-12, 0), (0, 10), (8, -8)])
def test_a_turned_image_is_what_the_camera_would_see(yaw_deg, pitch_deg):
    image, depth_m = ball(pose())
    surface = surface_of(depth_m * CAMERA.ray_lengths(), image[..., 3], CAMERA, pose(), face(), np.zeros(52))
    other = turned(pose(), yaw_deg, pitch_deg)
    found, outside = turned_image(image, surface, CAMERA, pose(), other)
    expected, there = ball(other)
    y, x = np.mgrid[0:128, 0:128] - 63.5
    middle = np.hypot(x, y) < 25
    assert not outside[middle].any() and (there[middle] > 0).all()
    error = np.abs(found - expected)[middle].mean()
    assert error < 0.3 * np.abs(image - expected)[middle].mean(), "a head that is not turned is further away"
    assert error < 0.06


def test_the_surface_is_the_tracked_face_where_the_field_lies_before_it():
    image, depth_m = ball(pose())
    early = np.where(depth_m > 0, depth_m - 0.014, 0) * CAMERA.ray_lengths()
    surface = surface_of(early, image[..., 3], CAMERA, pose(), face(), np.zeros(52))
    y, x = np.mgrid[0:128, 0:128] - 63.5
    on_face, beside = np.hypot(x, y) < 18, (np.hypot(x, y) > 30) & (np.hypot(x, y) < 38)
    np.testing.assert_allclose(surface.front_m[on_face], depth_m[on_face], atol=0.0015)
    assert abs(float(np.median((surface.front_m - depth_m)[beside]))) < 0.008, "what is beside it is moved along"


def test_a_step_in_depth_stretches_and_does_not_tear():
    """A cheek and an ear 5 cm behind it: turned, no hole between them."""
    x = np.mgrid[0:128, 0:128][1]
    depth_m = np.where(x < 50, 0.65, 0.60)
    depth_m[:, :30] = 0
    image = np.zeros((128, 128, 4), np.float32)
    image[:, 30:110] = 1
    nowhere = FaceMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((52, 0, 3)))
    surface = surface_of(depth_m * CAMERA.ray_lengths(), image[..., 3], CAMERA, pose(), nowhere, np.zeros(52))
    assert np.isfinite(surface.front_m).all() and surface.front_m.min() > 0.5
    for yaw_deg in (-15, 15):
        found, _ = turned_image(image, surface, CAMERA, pose(), turned(pose(), yaw_deg, 0))
        row = found[64, :, 3] > 0.9
        first, last = np.flatnonzero(row)[[0, -1]]
        assert row[first : last + 1].all() and last - first > 60


def test_a_head_that_is_not_turned_stays_whole_whatever_its_surface():
    """Between strands at several depths the surface is neither sheet's: it belongs to the nearer one."""
    depths = np.random.default_rng(0).uniform(0.58, 0.66, (22, 22))
    depth_m = np.kron(depths, np.ones((6, 6)))[:128, :128]
    image = np.zeros((128, 128, 4), np.float32)
    image[20:100, 30:110] = 0.5
    image[20:100, 30:110, 3] = 1
    nowhere = FaceMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((52, 0, 3)))
    surface = surface_of(depth_m * CAMERA.ray_lengths(), image[..., 3], CAMERA, pose(), nowhere, np.zeros(52))
    assert (surface.lifted > 0).any() and (surface.lifted == 0).any()
    found, _ = turned_image(image, surface, CAMERA, pose(), pose())
    assert np.abs(found - image).max() < 0.1
