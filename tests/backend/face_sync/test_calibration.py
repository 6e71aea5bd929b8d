import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from backend.face_sync import blendshapes, calibration
from backend.face_sync.blendshapes import View
from backend.workspace.landmarks import HALVES, LEFT, RIGHT

from .conftest import index, project, turning_view

FRAMES = 150
EVERY = np.ones(FRAMES, bool)
BROWS = [i for half in HALVES for i in (*half.brow_upper, *half.brow_lower)]


def _height_m(face):
    return np.mean([calibration._brow_height(half, face[:, 1]) for half in HALVES])


def _raised(face, by_m):
    lifted = face.copy()
    lifted[BROWS, 1] -= by_m
    return lifted


def _at_rest(face, shapes):
    return project(face, shapes, np.zeros((FRAMES, 52)), turning_view(FRAMES))


def test_offsets_along_the_head_are_found_under_every_pose(face, shapes):
    moved = face.copy()
    moved[50] += [0.002, -0.003, 0]
    found = calibration.offsets_m(face, _at_rest(moved, shapes), turning_view(FRAMES))
    assert np.allclose(found[:, 50], [0.002, -0.003], atol=5e-6)  # perspective: depth changes by a turned shift
    assert np.abs(np.delete(found, 50, axis=1)).max() < 1e-6


def test_a_subject_who_never_moves_the_brows_has_them_at_rest(face, shapes):
    low = _raised(face, -0.006)
    found = calibration.neutral_face(face, _at_rest(low, shapes), turning_view(FRAMES), EVERY)
    assert _height_m(found) == pytest.approx(_height_m(low), abs=2e-4)


def test_brows_raised_for_most_of_the_time_are_raised(face, shapes):
    truth = np.zeros((FRAMES, 52))
    up = [index(name) for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")]
    truth[: 2 * FRAMES // 3, up] = 0.8
    view = turning_view(FRAMES)
    seen = project(face, shapes, truth, view)
    mean_face = face + np.einsum("k,kij->ij", truth.mean(0), shapes)
    neutral = calibration.neutral_face(mean_face, seen, view, EVERY)
    found = blendshapes.capture(seen, view, neutral, shapes, EVERY)[:, up].mean(1)
    assert found[: FRAMES // 2].mean() > 0.6
    assert found[-FRAMES // 4 :].mean() < 0.1


def test_gaze_that_stays_on_the_camera_is_gaze(face, shapes):
    """Triangulated over frames whose eyes make up for the head's turns, the irises lie too deep."""
    view = turning_view(FRAMES)
    yaw = np.arctan2(view.head_to_camera[:, 0, 2], view.head_to_camera[:, 2, 2])
    truth = np.zeros((FRAMES, 52))
    share = yaw / np.radians(28)
    for name, sign in (("OutLeft", 1), ("InRight", 1), ("InLeft", -1), ("OutRight", -1)):
        truth[:, index("eyeLook" + name)] = np.clip(sign * share, 0, 1)
    anatomical = face.copy()
    for half in HALVES:
        iris, corners = list(half.iris), list(half.eye_corners)
        anatomical[iris, 2] = face[corners, 2].mean() - calibration.IRIS_BEFORE_CORNERS_M
    seen = project(anatomical, shapes, truth, view, noise_px=0.2)
    deep = anatomical.copy()
    for half in HALVES:
        deep[list(half.iris), 2] += 0.009
    neutral = calibration.neutral_face(deep, seen, view, EVERY)
    found = blendshapes.capture(seen, view, neutral, shapes, EVERY)
    for name in ("eyeLookOutLeft", "eyeLookInRight", "eyeLookInLeft", "eyeLookOutRight"):
        assert np.corrcoef(found[:, index(name)], truth[:, index(name)])[0, 1] > 0.9, name


def test_a_mouth_at_ease_is_found_between_pursed_and_spread_ones(face, shapes):
    truth = np.zeros((FRAMES, 52))
    curve = gaussian_filter1d(np.random.default_rng(2).normal(size=FRAMES), 3)
    truth[:, index("mouthPucker")] = np.clip(0.2 * curve / curve.std(), 0, 1)
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        truth[:, index(name)] = np.clip(-0.2 * curve / curve.std(), 0, 1)
    view = turning_view(FRAMES)
    pursed = face + 0.3 * shapes[index("mouthPucker")]
    neutral = calibration.neutral_face(pursed, project(face, shapes, truth, view), view, EVERY)

    def width(points):
        return points[LEFT.mouth_corner, 0] - points[RIGHT.mouth_corner, 0]

    assert abs(width(neutral) - width(face)) < 0.4 * abs(width(pursed) - width(face))


def test_a_calibrated_face_stays_as_it_is(face, shapes):
    view, seen = turning_view(FRAMES), _at_rest(_raised(face, 0.003), shapes)
    once = calibration.neutral_face(face, seen, view, EVERY)
    twice = calibration.neutral_face(once, seen, view, EVERY)
    assert np.abs(twice - once).max() < 3e-4
    assert np.abs(once - face).max() > 0.002


def test_without_a_valid_frame_the_face_is_kept(face):
    view = View(turning_view(3).head_to_camera, 1100.0, np.array([256.0, 256.0]))
    assert (calibration.neutral_face(face, np.zeros((3, 478, 2)), view, np.zeros(3, bool)) == face).all()
