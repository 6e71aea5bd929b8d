"""The landmark tracker against a made-up face."""

from __future__ import annotations

import numpy as np
import pytest

from backend.evaluation.tracking.measures import pose_error
from backend.head_sync.cuts import find_cuts
from backend.head_sync.head_motion_tracker import choose_focal, expected_focal_px, track_head_motion
from backend.workspace.landmarks import LEFT_PUPIL, RIGHT_PUPIL
from tests.backend.made_up_head import FOCAL, PRINCIPAL, MadeUp


def noisy(made_up: MadeUp, outliers: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(2)
    landmarks = made_up.landmarks_px + rng.normal(0, 0.5, made_up.landmarks_px.shape)
    wrong = rng.random(landmarks.shape[:2]) < outliers
    landmarks[wrong] += rng.normal(0, 25, (wrong.sum(), 2))
    return landmarks.astype(np.float32)


def test_pose_and_head_frame_are_recovered_from_noisy_landmarks(made_up):
    detected = np.ones(len(made_up.poses), bool)
    motion = track_head_motion(noisy(made_up, 0.05), made_up.depth, detected, PRINCIPAL, FOCAL)
    error = pose_error(motion.poses, made_up.poses)
    assert error.turn_deg.mean() < 0.3
    assert error.place_percent.mean() < 0.5
    assert motion.focal.low_px < FOCAL < motion.focal.high_px
    pupils = motion.face[[RIGHT_PUPIL, LEFT_PUPIL]]
    np.testing.assert_allclose(pupils.mean(0), [0, -0.045, -0.085], atol=1e-6)
    assert np.linalg.norm(pupils[1] - pupils[0]) == pytest.approx(0.063)
    # One rigid alignment is not needed either: the frame is the face's own.
    turned = np.degrees(
        np.arccos(np.clip((np.einsum("nij,nij->n", motion.poses[:, :3, :3], made_up.poses[:, :3, :3]) - 1) / 2, -1, 1))
    )
    assert np.median(turned) < 2


def test_frames_without_a_face_are_bridged_and_flagged(made_up):
    landmarks, depth = noisy(made_up), made_up.depth.copy()
    detected = np.ones(len(landmarks), bool)
    detected[60:70] = False
    landmarks[60:70] = 0
    depth[60:70] = 0
    motion = track_head_motion(landmarks, depth, detected, PRINCIPAL, FOCAL)
    np.testing.assert_array_equal(motion.known, detected)
    assert np.isfinite(motion.poses).all()
    assert pose_error(motion.poses, made_up.poses).turn_deg[60:70].max() < 4


def test_the_expected_focal_length_is_the_camera_s_not_the_crop_s():
    assert expected_focal_px(512, 512, (512, 512)) == pytest.approx(2.3 * 512)
    assert expected_focal_px(512, 400, (1920, 1080)) == pytest.approx(1920 * 512 / 400)
    assert expected_focal_px(256, 512, (512, 512)) == pytest.approx(2.3 * 256)


def test_an_unconstrained_focal_length_is_reported_as_uncertain():
    candidates = np.geomspace(500, 2000, 7)
    flat = choose_focal(candidates, np.zeros(7))
    sharp = choose_focal(candidates, 50 * np.log(candidates / 1000) ** 2)
    assert flat.high_px / flat.low_px > 1.5 * sharp.high_px / sharp.low_px
    assert sharp.px == pytest.approx(1000, rel=0.03)


def test_cuts_are_found_and_fast_heads_are_not_cuts(made_up):
    rng = np.random.default_rng(0)
    landmarks = made_up.landmarks_px + rng.normal(0, 0.3, made_up.landmarks_px.shape)
    detected = np.ones(len(landmarks), bool)
    assert not find_cuts(landmarks, detected).any()
    landmarks[80:] += [25.0, 10.0]
    np.testing.assert_array_equal(np.flatnonzero(find_cuts(landmarks, detected)), [80])


def test_a_punch_in_about_the_face_is_a_cut(made_up):
    rng = np.random.default_rng(0)
    landmarks = made_up.landmarks_px + rng.normal(0, 0.3, made_up.landmarks_px.shape)
    middle = landmarks[80].mean(0)
    landmarks[80:] = middle + 1.25 * (landmarks[80:] - middle)
    np.testing.assert_array_equal(np.flatnonzero(find_cuts(landmarks, np.ones(len(landmarks), bool))), [80])
