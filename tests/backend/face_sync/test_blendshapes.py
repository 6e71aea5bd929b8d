import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import lsq_linear

from backend.face_sync import blendshapes
from backend.face_sync.nonnegative import bounded_least_squares
from backend.workspace.landmarks import HALVES

from .conftest import index, project, turning_view

FRAMES = 240
MOVED = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthPucker", "browInnerUp", "browDownLeft", "browDownRight")


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    rng = np.random.default_rng(3)
    coefficients = np.zeros((FRAMES, 52))
    for name in MOVED:
        curve = gaussian_filter1d(rng.normal(size=FRAMES), 4)
        coefficients[:, index(name)] = np.clip(0.5 * curve / np.abs(curve).max(), 0, 1)
    for start in range(20, FRAMES - 10, 50):
        coefficients[start : start + 3, [index("eyeBlinkLeft"), index("eyeBlinkRight")]] = 1.0
    return coefficients


def _capture(truth, face, shapes, scores=None, valid=None, noise_px=0.3):
    view = turning_view(len(truth))
    landmarks = project(face, shapes, truth, view, noise_px)
    valid = np.ones(len(truth), bool) if valid is None else valid
    return blendshapes.capture(landmarks, view, face, shapes, valid, scores)


def test_coefficients_are_recovered_from_landmarks_alone(truth, face, shapes):
    found = _capture(truth, face, shapes)
    for name in (*MOVED, "eyeBlinkLeft", "eyeBlinkRight"):
        k = index(name)
        assert np.corrcoef(found[:, k], truth[:, k])[0, 1] > 0.9, name
        assert np.abs(found[:, k] - truth[:, k]).mean() < 0.05, name
    assert found.min() >= 0
    assert found.max() <= 1


def test_gaze_is_recovered(face, shapes):
    truth = np.zeros((80, 52))
    sweep = np.sin(np.arange(80) / 8)
    truth[:, index("eyeLookOutLeft")] = truth[:, index("eyeLookInRight")] = np.clip(sweep, 0, 1) * 0.6
    truth[:, index("eyeLookInLeft")] = truth[:, index("eyeLookOutRight")] = np.clip(-sweep, 0, 1) * 0.6
    found = _capture(truth, face, shapes)
    for name in ("eyeLookOutLeft", "eyeLookInLeft", "eyeLookOutRight", "eyeLookInRight"):
        assert np.corrcoef(found[:, index(name)], truth[:, index(name)])[0, 1] > 0.93, name


def test_a_blink_of_three_frames_keeps_its_depth(truth, face, shapes):
    found = _capture(truth, face, shapes)[:, index("eyeBlinkLeft")]
    for start in range(20, FRAMES - 10, 50):
        assert found[start : start + 3].max() > 0.9
        assert found[start - 4 : start - 1].max() < 0.15


@pytest.mark.parametrize("depth", [0.5, 0.75, 1.0])
@pytest.mark.parametrize("phase", np.linspace(-0.5, 0.5, 9))
def test_smoothing_keeps_nine_tenths_of_a_blink_of_three_frames_wherever_it_falls_between_frames(depth, phase):
    rng = np.random.default_rng(int(100 * (depth + phase + 1)))
    frames = np.arange(40)
    # Down and up again within three frames: a raised cosine three frames wide, seen at another moment of each frame.
    distance = np.clip(np.abs(frames - 20 - phase) / 1.5, 0, 1)
    blink = depth * (0.5 + 0.5 * np.cos(np.pi * distance))
    for _ in range(20):
        seen = np.clip(blink + rng.normal(0, 0.02, len(frames)), 0, 1)[:, None]
        smooth = blendshapes.steadied(seen)
        assert smooth.max() >= 0.9 * seen.max()
        assert smooth[:15].max() < 0.08


def test_noisy_blinks_of_three_frames_keep_nine_tenths_of_their_depth_through_the_complete_capture(face, shapes):
    count, period = 12, 30
    truth = np.zeros((count * period, 52))
    both = [index("eyeBlinkLeft"), index("eyeBlinkRight")]
    peaks = []
    for k in range(count):
        frames = np.arange(k * period, (k + 1) * period)
        distance = np.clip(np.abs(frames - frames[15] - (k / count - 0.5)) / 1.5, 0, 1)
        truth[np.ix_(frames, both)] = (0.9 * (0.5 + 0.5 * np.cos(np.pi * distance)))[:, None]
        peaks.append(truth[frames, both[0]].max())
    found = _capture(truth, face, shapes, noise_px=0.4)[:, both].reshape(count, period, 2)
    assert (found.max(1) >= 0.9 * np.array(peaks)[:, None]).all()


def test_landmarks_overrule_scores_that_are_too_coarse(truth, face, shapes):
    coarse = truth.copy()
    coarse[:, index("jawOpen")] *= 0.2
    found = _capture(truth, face, shapes, scores=coarse)
    k = index("jawOpen")
    assert found[:, k].max() > 0.8 * truth[:, k].max()


def test_resting_values_of_scores_are_no_expression():
    scores = np.full((100, 52), 0.4)
    scores[50:60, index("browDownLeft")] = 0.9
    moved = blendshapes.about_neutral(scores)
    assert moved[0].max() < 1e-9
    assert moved[55, index("browDownLeft")] == pytest.approx(0.5)


def test_frames_without_a_face_are_filled_from_their_neighbours(truth, face, shapes):
    valid = np.ones(FRAMES, bool)
    valid[100:110] = False
    view = turning_view(FRAMES)
    landmarks = project(face, shapes, truth, view)
    landmarks[100:110] = 0
    found = blendshapes.capture(landmarks, view, face, shapes, valid)
    assert np.isfinite(found).all()
    low, high = found[[99, 110]].min(0), found[[99, 110]].max(0)
    assert (found[104] >= low - 0.05).all()
    assert (found[104] <= high + 0.05).all()


def test_no_valid_frame_gives_a_neutral_face(face, shapes):
    found = blendshapes.capture(np.zeros((5, 478, 2)), turning_view(5), face, shapes, np.zeros(5, bool))
    assert (found == 0).all()


def test_brows_that_rise_as_one_are_no_frown(face, shapes):
    """As trackers see them: the complete brow goes up, and a fifth of that apart."""
    count = 30
    view = turning_view(count)
    raised = face.copy()
    for half, side in ((HALVES[0], 1), (HALVES[1], -1)):
        raised[[*half.brow_upper, *half.brow_lower]] += [side * 0.001, -0.005, 0]
    landmarks = project(raised, shapes, np.zeros((count, 52)), view, 0.2)
    found = blendshapes.capture(landmarks, view, face, shapes, np.ones(count, bool)).mean(0)
    for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
        assert found[index(name)] > 0.4, name
    for name in ("browDownLeft", "browDownRight"):
        assert found[index(name)] < 0.05, name


def test_a_widened_mouth_smiles_rather_than_stretches(face, shapes):
    count = 30
    truth = np.zeros((count, 52))
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        truth[:, index(name)] = 0.4
    found = _capture(truth, face, shapes).mean(0)
    assert found[index("mouthSmileLeft")] > 0.3
    assert found[index("mouthStretchLeft")] < 0.05


def test_jitter_is_removed_and_steps_are_kept():
    rng = np.random.default_rng(0)
    still = 0.3 + 0.02 * rng.normal(size=(200, 1))
    assert blendshapes.steadied(still).std() < 0.75 * still.std()
    step = np.zeros((40, 1))
    step[20:] = 1
    assert np.abs(blendshapes.steadied(step) - step).max() < 0.01


def test_bounded_least_squares_agrees_with_scipy():
    rng = np.random.default_rng(1)
    design, target = rng.normal(size=(6, 40, 12)), rng.normal(size=(6, 40))
    normal = design.transpose(0, 2, 1) @ design
    right = np.einsum("nij,ni->nj", design, target)
    lower, upper = np.zeros(12), np.full(12, 0.1)
    upper[-1], lower[-1] = np.inf, -np.inf
    found = bounded_least_squares(normal, right, lower, upper)
    for k in range(6):
        assert np.allclose(found[k], lsq_linear(design[k], target[k], (lower, upper), tol=1e-12).x, atol=1e-4)
