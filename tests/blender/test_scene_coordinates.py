"""Frames of OpenCV and Blender: exact both ways, upright, and turning as a neck turns."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def coordinates(import_part):
    return import_part("synctalk_blender.scene.coordinates")


def rotation(axis: int, degrees: float) -> np.ndarray:
    """(4, 4) about x, y or z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(4)
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


@pytest.fixture
def pose() -> np.ndarray:
    matrix = rotation(1, 25) @ rotation(0, -10) @ rotation(2, 7)
    matrix[:3, 3] = 0.05, -0.02, 1.3
    return matrix


def test_a_pose_comes_back_from_the_world(coordinates, pose):
    camera = coordinates.camera_to_world()
    world = coordinates.head_to_world(pose)
    np.testing.assert_allclose(coordinates.head_to_camera(world, camera), pose, atol=1e-12)


def test_a_camera_that_the_artist_moved_sees_the_head_from_there(coordinates, pose):
    camera = coordinates.camera_to_world()
    world = coordinates.head_to_world(pose)
    moved = rotation(2, 40) @ camera
    moved[:3, 3] += 0.3, -0.2, 0.1
    seen = coordinates.head_to_camera(world, moved)
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    point = np.array([0.01, -0.05, -0.08, 1.0])
    in_world = world @ np.append(coordinates.points_to_blender(point[:3]), 1.0)
    np.testing.assert_allclose(seen @ point, flip @ np.linalg.inv(moved) @ in_world, atol=1e-12)


def test_the_camera_is_level_and_looks_along_y(coordinates):
    camera = coordinates.camera_to_world()
    np.testing.assert_allclose(camera[:3, :3] @ [0, 0, -1], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(camera[:3, :3] @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_a_face_that_looks_into_the_lens_stands_upright_and_faces_the_front_view(coordinates):
    frontal = np.eye(4)
    frontal[2, 3] = 1.0
    world = coordinates.head_to_world(frontal)
    np.testing.assert_allclose(world[:3, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(world[:3, 3], [0, 1, coordinates.CAMERA_HEIGHT_M], atol=1e-12)
    nose, crown = np.array([0, 0, -0.1]), np.array([0, -0.1, 0])
    np.testing.assert_allclose(coordinates.points_to_blender(nose), [0, -0.1, 0], atol=1e-12)
    np.testing.assert_allclose(coordinates.points_to_blender(crown), [0, 0, 0.1], atol=1e-12)


def test_a_scaled_head_is_a_nearer_one(coordinates, pose):
    camera, world = coordinates.camera_to_world(), coordinates.head_to_world(pose)
    twice = coordinates.head_to_camera(world @ np.diag([2.0, 2.0, 2.0, 1.0]), camera)
    np.testing.assert_allclose(twice[:3, :3], pose[:3, :3], atol=1e-12)
    np.testing.assert_allclose(twice[:3, 3], pose[:3, 3] / 2, atol=1e-12)


def test_the_camera_s_own_scale_means_nothing(coordinates, pose):
    camera, world = coordinates.camera_to_world(), coordinates.head_to_world(pose)
    seen = coordinates.head_to_camera(world, camera @ np.diag([3.0, 3.0, 3.0, 1.0]))
    np.testing.assert_allclose(seen, pose, atol=1e-12)


def test_an_uneven_scale_still_gives_a_rotation(coordinates, pose):
    world = coordinates.head_to_world(pose) @ np.diag([1.0, 1.3, 0.8, 1.0])
    seen = coordinates.head_to_camera(world, coordinates.camera_to_world())[:3, :3]
    np.testing.assert_allclose(seen @ seen.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(seen) == pytest.approx(1.0)


def test_euler_angles_do_not_jump(coordinates):
    turn = np.stack([rotation(2, degrees)[:3, :3] for degrees in range(0, 720, 10)])
    angles = coordinates.euler_xyz(turn)
    np.testing.assert_allclose(np.diff(angles[:, 2]), np.radians(10), atol=1e-9)
    np.testing.assert_allclose(angles[:, :2], 0, atol=1e-9)
