"""Rotations, bridging and the canonical head frame."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.spatial.transform import Rotation

from backend.evaluation.tracking.measures import rotation_jitter_deg
from backend.head_sync.face_geometry import head_frame
from backend.workspace.landmarks import LEFT_PUPIL, RIGHT_PUPIL
from backend.workspace.poses import bridge_poses, make_poses, project, rotation_exp, similarity
from tests.backend.made_up_head import make_face, make_motion


def test_rotation_exp_agrees_with_scipy_down_to_no_turn_at_all():
    vectors = np.array([[0.3, -0.2, 0.9], [1e-9, 0, 0], [0, 0, 0], [0, 3.0, 0]])
    np.testing.assert_allclose(rotation_exp(vectors), Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)


def test_shapes_in_signatures_are_checked():
    with pytest.raises(TypeCheckError, match="points"):
        project(np.zeros((2, 4, 4)), np.zeros((5, 2)), 500.0, np.zeros(2))
    with pytest.raises(TypeCheckError):
        make_poses(np.zeros((2, 3, 3)), np.zeros((3, 3)))


def test_similarity_undoes_a_known_one():
    rng = np.random.default_rng(0)
    source, rotation = rng.normal(size=(20, 3)), Rotation.from_rotvec([0.4, -1, 0.2]).as_matrix()
    scale, turn, shift = similarity(source, 2.5 * source @ rotation.T + [1, 2, 3])
    np.testing.assert_allclose([scale, *shift], [2.5, 1, 2, 3], atol=1e-9)
    np.testing.assert_allclose(turn, rotation, atol=1e-9)


def test_gaps_are_bridged_evenly_and_ends_held():
    turn = Rotation.from_euler("y", np.array([[0], [0], [0], [40], [0]]), degrees=True).as_matrix()
    place = np.array([[0, 0, 9], [0, 0, 1], [7, 7, 7], [0, 0, 2], [9, 9, 9.0]])
    bridged = bridge_poses(make_poses(turn, place), np.array([False, True, False, True, False]))
    np.testing.assert_allclose(Rotation.from_matrix(bridged[2, :3, :3]).as_euler("yxz", degrees=True)[0], 20)
    np.testing.assert_allclose(bridged[:, 2, 3], [1, 1, 1.5, 2, 2])


def test_an_even_turn_is_no_jitter():
    turn = Rotation.from_euler("y", 2.0 * np.arange(20)[:, None], degrees=True).as_matrix()
    assert rotation_jitter_deg(make_poses(turn, np.zeros((20, 3)))) < 1e-9


def test_head_frame_is_the_face_s_own_whatever_the_face_is_given_in():
    face = make_face()
    tilted = 3.7 * face @ Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix().T + [5, 6, 7]
    scale, rotation, shift = head_frame(tilted)
    found = scale * tilted @ rotation.T + shift
    np.testing.assert_allclose(found, face, atol=1e-9)
    np.testing.assert_allclose(found[[RIGHT_PUPIL, LEFT_PUPIL]], [[-0.0315, -0.045, -0.085], [0.0315, -0.045, -0.085]])


def test_jitter_leaves_out_what_is_not_valid():
    poses = make_motion(30)
    calm = rotation_jitter_deg(poses)
    poses[10, :3, :3] = Rotation.from_euler("x", 50, degrees=True).as_matrix()
    assert rotation_jitter_deg(poses, np.arange(30) != 10) < 2 * calm
