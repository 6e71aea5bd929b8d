"""The most probable path of a head, against a made-up one with known noise."""

from __future__ import annotations

import numpy as np
import pytest

from backend.evaluation.tracking.measures import rotation_jitter_deg
from backend.head_sync.pose_smoothing import smooth_poses
from backend.workspace.poses import bridge_poses, rotation_log, step_poses
from tests.backend.made_up_head import make_motion

FRAMES = 250
NOD = slice(100, 112)


@pytest.fixture
def truth() -> np.ndarray:
    """A swaying head that nods once by 8 degrees within half a second."""
    poses = make_motion(FRAMES)
    nod = np.zeros((FRAMES, 6))
    time = np.linspace(0, 1, NOD.stop - NOD.start)
    nod[NOD, 0] = np.radians(8) * np.sin(np.pi * time) ** 2
    return step_poses(poses, nod)


@pytest.fixture
def measured(truth) -> np.ndarray:
    """The same with errors of 0.15 degrees in the turn, and 0.3 mm and 2 mm in place and depth."""
    rng = np.random.default_rng(3)
    return step_poses(truth, rng.normal(size=(FRAMES, 6)) * [0.0026, 0.0026, 0.0026, 3e-4, 3e-4, 2e-3])


def pitch_deg(poses: np.ndarray) -> np.ndarray:
    return np.degrees(rotation_log(poses[:, :3, :3])[:, 0])


def error_deg(poses: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.degrees(np.linalg.norm(rotation_log(poses[:, :3, :3].transpose(0, 2, 1) @ truth[:, :3, :3]), axis=1))


EVERY = np.ones(FRAMES, bool)
NOWHERE = np.zeros(FRAMES, bool)


def test_shake_goes_and_a_nod_stays(truth, measured):
    steady = smooth_poses(measured, EVERY, NOWHERE)
    assert rotation_jitter_deg(measured) > 3 * rotation_jitter_deg(truth)
    assert rotation_jitter_deg(steady) < 1.3 * rotation_jitter_deg(truth)
    assert error_deg(steady, truth).mean() < 0.6 * error_deg(measured, truth).mean()
    true_nod = np.ptp(pitch_deg(truth)[NOD])
    assert np.ptp(pitch_deg(steady)[NOD]) > 0.95 * true_nod


def test_nothing_lags(truth, measured):
    own = np.diff(pitch_deg(smooth_poses(measured, EVERY, NOWHERE)))[1:-1]
    true = np.diff(pitch_deg(truth))
    agreement = [own @ true[1 + lag : len(true) - 1 + lag] for lag in (-1, 0, 1)]
    assert np.argmax(agreement) == 1
    # The top of a parabola through the three is where they agree best.
    before, here, after = agreement
    assert abs(0.5 * (before - after) / (before - 2 * here + after)) < 0.1


def test_a_path_without_noise_stays(truth):
    steady = smooth_poses(truth, EVERY, NOWHERE)
    assert error_deg(steady, truth).max() < 0.05


def test_nothing_is_smoothed_across_a_cut(truth, measured):
    jump = np.zeros((FRAMES, 6))
    jump[60:, 1] = np.radians(20)
    cuts = NOWHERE.copy()
    cuts[60] = True
    jumped, true = step_poses(measured, jump), step_poses(truth, jump)
    beside = slice(58, 62)
    error = error_deg(smooth_poses(jumped, EVERY, cuts), true)[beside]
    assert error.max() < 0.3
    assert error.max() < error_deg(smooth_poses(jumped, EVERY, NOWHERE), true)[beside].max()


def test_short_gaps_follow_the_motion_and_long_ones_are_bridged(truth, measured):
    known = EVERY.copy()
    known[30:34] = known[180:220] = False
    spoilt = step_poses(measured, np.where(known, 0, 0.5)[:, None] * np.ones(6))
    steady = smooth_poses(spoilt, known, NOWHERE)
    assert error_deg(steady, truth)[30:34].max() < 0.6
    np.testing.assert_allclose(steady[180:220], bridge_poses(steady, known)[180:220])


def test_a_frame_of_little_trust_is_led_by_its_neighbours(truth, measured):
    astray = measured.copy()
    astray[140] = step_poses(astray[140:141], np.array([[0.05, 0, 0, 0, 0, 0]]))[0]
    trust = np.ones(FRAMES)
    trust[140] = 0.001
    assert error_deg(smooth_poses(astray, EVERY, NOWHERE, trust), truth)[140] < 0.3
    assert error_deg(smooth_poses(astray, EVERY, NOWHERE), truth)[140] > 0.5


def test_pieces_of_a_few_frames_stay_as_they_are(measured):
    few = measured[:6]
    np.testing.assert_array_equal(smooth_poses(few, EVERY[:6], NOWHERE[:6]), few)
