"""A capture on this person's range: pure functions on arrays."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from backend.capture.face_capture import FaceCapture
from backend.capture.person import PersonRange, as_motions, as_shapes
from backend.capture.retarget import Fit, resampled, retargeted_poses, retargeted_shapes
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.poses import make_poses, mean_rotation, rotation_exp, rotation_log

JAW, SMILE, BLINK, BROW = (
    BLENDSHAPE_NAMES.index(name) for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft", "browInnerUp")
)
SMILE_RIGHT = BLENDSHAPE_NAMES.index("mouthSmileRight")
LOOK_UP, LOOK_DOWN = (BLENDSHAPE_NAMES.index(f"eyeLook{way}Left") for way in ("Up", "Down"))
RATE = Fraction(25)


def wave(count: int, low: float, high: float, seconds: float = 1.1) -> np.ndarray:
    return low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / 25 / seconds))


def person_shapes(count: int = 250, **waves: tuple[float, float]) -> np.ndarray:
    shapes = np.zeros((count, 52))
    for name, (low, high) in waves.items():
        shapes[:, BLENDSHAPE_NAMES.index(name)] = wave(count, low, high)
    return shapes


def capture_of(shapes: np.ndarray, rate: Fraction = RATE, **parts) -> FaceCapture:
    times_s = np.arange(len(shapes)) / float(rate)
    return FaceCapture(times_s, shapes, np.ones(52, bool), rate, **parts)


def retarget(
    shapes: np.ndarray, own: np.ndarray, fit: Fit | None = None, beneath: np.ndarray | None = None
) -> np.ndarray:
    beneath = np.full((len(shapes), 52), 0.33) if beneath is None else beneath
    return retargeted_shapes(capture_of(shapes), PersonRange.of(own), beneath, RATE, fit or Fit())


def test_opposite_shapes_are_one_motion_and_come_back():
    shapes = np.random.default_rng(0).uniform(0, 1, (20, 52))
    assert np.allclose(as_shapes(as_motions(shapes)), shapes)


def test_a_person_drives_themselves_unchanged():
    rng = np.random.default_rng(3)
    own = np.clip(
        0.2 + 0.15 * np.cumsum(rng.normal(0, 0.1, (300, 52)), 0), 0, 0.14
    )  # rests below what is taken for meant
    assert np.allclose(retarget(own, own), own, atol=2e-7)


def test_neutral_is_the_subjects_and_the_range_too():
    driven = retarget(person_shapes(jawOpen=(0.1, 0.3)), person_shapes(jawOpen=(0.02, 0.36)))[:, JAW]
    assert driven.min() == pytest.approx(0.02, abs=0.02) and driven.max() == pytest.approx(0.36, abs=0.02)
    assert np.corrcoef(driven, wave(250, 0, 1))[0, 1] > 0.999


def test_an_expression_that_is_held_is_no_neutral():
    held = person_shapes(jawOpen=(0, 0.3), mouthSmileLeft=(0.5, 0.6), mouthSmileRight=(0.5, 0.6))
    own = person_shapes(jawOpen=(0, 0.3), mouthSmileLeft=(0, 0.7), mouthSmileRight=(0, 0.7))
    assert retarget(held, own)[:, SMILE].min() > 0.3


def test_brows_that_are_always_up_are_that_persons_rest():
    source, own = person_shapes(browOuterUpLeft=(0.5, 0.9)), person_shapes(browDownLeft=(0.1, 0.3))
    driven = as_motions(retarget(source, own))[:, BLENDSHAPE_NAMES.index("browOuterUpLeft")]
    assert np.median(driven) == pytest.approx(-0.2, abs=0.02) and driven.max() < 0


def test_brows_rise_and_fall_by_ranges_of_their_own():
    """Of a speaker whose brows are up most of the time, low brows are but the middle of another's range."""
    raised, frowning = person_shapes(), person_shapes()
    up = BLENDSHAPE_NAMES.index("browOuterUpLeft")
    raised[:, up] = np.where(np.arange(250) % 10, wave(250, 0.5, 0.8), wave(250, -0.1, 0.2))
    frowning[:, BLENDSHAPE_NAMES.index("browDownLeft")] = wave(250, 0.1, 0.3)
    driven = as_motions(retarget(raised, frowning))[:, up]
    assert driven.min() > -0.34 and np.median(driven) == pytest.approx(-0.2, abs=0.03)


def test_a_lopsided_smile_stays_lopsided():
    source = person_shapes(jawOpen=(0, 0.3), mouthSmileLeft=(0, 0.4), mouthSmileRight=(0, 0.1))
    own = person_shapes(jawOpen=(0, 0.3), mouthSmileLeft=(0, 0.3), mouthSmileRight=(0, 0.3))
    driven = retarget(source, own)
    assert driven[:, SMILE].max() > 2 * driven[:, SMILE_RIGHT].max()


def test_nothing_moves_further_than_the_head_has_seen():
    driven = retarget(
        person_shapes(jawOpen=(0, 0.9), browInnerUp=(0, 0.8)), person_shapes(jawOpen=(0, 0.2)), Fit(strength=3)
    )
    assert driven[:, JAW].max() < 0.2 + 0.1 * 0.2 + 0.021 and driven[:, BROW].max() < 0.021


def test_gaze_keeps_its_angle_and_loses_the_phones_place():
    """A phone held low: the eyes look down all the while. The clip's own gaze is level."""
    source = person_shapes(eyeLookDownLeft=(0.2, 0.4))
    level = person_shapes()
    level[:, LOOK_UP], level[:, LOOK_DOWN] = (np.maximum(way * wave(250, -0.3, 0.3), 0) for way in (1, -1))
    driven = retarget(source, level)
    assert driven[:, LOOK_UP].max() == pytest.approx(0.1, abs=0.02)
    assert driven[:, LOOK_DOWN].max() == pytest.approx(0.1, abs=0.02)


def test_only_what_is_taken_is_driven():
    source = person_shapes(jawOpen=(0, 0.3), browInnerUp=(0, 0.3), eyeBlinkLeft=(0, 0.6))
    driven = retarget(source, source, Fit(take=("brows",)))
    assert (driven[:, [JAW, BLINK]] == np.float32(0.33)).all() and np.ptp(driven[:, BROW]) > 0.2


def test_a_part_of_zeros_was_not_captured():
    """Speech software writes eyes of zeros: the footage's own blink on."""
    driven = retarget(person_shapes(jawOpen=(0, 0.3)), person_shapes(jawOpen=(0, 0.3)))
    assert (driven[:, BLINK] == np.float32(0.33)).all()


def test_a_shape_that_the_file_lacks_rests():
    source = person_shapes(jawOpen=(0, 0.3))
    present = np.ones(52, bool)
    present[SMILE] = False
    capture = replace(capture_of(source), present=present)
    own = person_shapes(jawOpen=(0, 0.3), mouthSmileLeft=(0.1, 0.4))
    driven = retargeted_shapes(capture, PersonRange.of(own), np.full((250, 52), 0.33), RATE, Fit())
    assert np.allclose(driven[:, SMILE], 0.1, atol=0.02)


def test_strength_and_gains_scale_about_the_rest():
    source = own = person_shapes(jawOpen=(0.05, 0.15), eyeBlinkLeft=(0, 0.3))
    half = retarget(source, own, Fit(strength=0.5))[:, JAW]
    assert half.max() == pytest.approx(0.1, abs=0.01) and half.min() == pytest.approx(0.05, abs=0.01)
    gains = retarget(source, own, Fit(gains={"eyes": 0.5, "jawOpen": 0.0}))
    assert np.ptp(gains[:, JAW]) < 1e-6 and gains[:, BLINK].max() == pytest.approx(0.15, abs=0.01)


def test_as_is_takes_the_files_values():
    source = person_shapes(jawOpen=(-0.1, 1.3), browInnerUp=(0.4, 0.9))
    driven = retarget(source, person_shapes(jawOpen=(0, 0.1)), Fit(as_is=True))
    assert np.allclose(driven, np.clip(source, 0, 1) + np.where(np.ptp(driven, 0) == 0, driven - source, 0), atol=1e-6)
    assert driven[:, JAW].max() == 1 and np.allclose(driven[:, BROW], source[:, BROW], atol=1e-6)


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60)])
def test_frames_lie_at_their_own_times(rate):
    """A line stays a line at any rate of either side, also over a gap of dropped samples."""
    times_s = np.delete(np.arange(180) / 60, np.r_[50:58])
    capture = FaceCapture(times_s, np.zeros((172, 52)), np.ones(52, bool), Fraction(60))
    at_s = np.arange(int(2.9 * rate)) / float(rate)
    found = resampled(capture, 2 * times_s[:, None] + 1, len(at_s), rate)[:, 0]
    inside = at_s > 0.03
    assert np.allclose(found[inside], 2 * at_s[inside] + 1, atol=1e-9)


def test_the_same_rate_changes_nothing():
    values = np.random.default_rng(0).uniform(0, 1, (90, 4))
    assert np.allclose(resampled(capture_of(np.zeros((90, 52))), values, 90, RATE), values, atol=1e-12)


def test_what_flickers_faster_than_frames_does_not_beat_in_them():
    flicker = np.tile([0.0, 1.0], 60)[:, None]
    found = resampled(capture_of(np.zeros((120, 52)), Fraction(60)), flicker, 24, Fraction(12))
    assert np.allclose(found[1:-1], 0.5, atol=0.15)


def test_before_and_after_the_capture_it_is_held():
    capture = replace(capture_of(np.zeros((25, 52))), times_s=0.4 + np.arange(25) / 25)
    found = resampled(capture, np.arange(25.0)[:, None], 50, RATE)[:, 0]
    assert (found[:11] == 0).all() and np.allclose(found[10:35], np.arange(25)) and (found[35:] == 24).all()


# -- the head ----------------------------------------------------------------------------------------------------------


def turns(degrees: np.ndarray) -> np.ndarray:
    return rotation_exp(np.radians(degrees)[:, None] * np.array([0, 1.0, 0]))


def yaw_of(poses: np.ndarray) -> np.ndarray:
    return np.degrees(rotation_log(poses[:, :3, :3]))[:, 1]


def test_the_head_turns_about_the_footages_pose_within_its_range():
    count = 250
    clip = make_poses(turns(wave(count, -4, 4)), np.tile([0, 0, 0.8], (count, 1)))
    beneath = np.repeat(clip[:1], count, 0)
    small = capture_of(person_shapes(jawOpen=(0, 0.3)), head_turn=turns(30 + wave(count, -3, 3)))
    taken = Fit(take=("head",))
    driven = yaw_of(retargeted_poses(small, clip, beneath, RATE, taken)) - yaw_of(beneath)
    assert driven.max() == pytest.approx(3, abs=0.1) and driven.min() == pytest.approx(-3, abs=0.1)
    large = replace(small, head_turn=turns(wave(count, -90, 90)))
    middle = yaw_of(mean_rotation(clip[:, :3, :3])[None].repeat(2, 0).reshape(2, 3, 3)[:, :3, :3])[0]
    total = yaw_of(retargeted_poses(large, clip, beneath, RATE, taken)) - middle
    assert 11.5 < total.max() <= 12.01 and -12.01 <= total.min() < -11.5
    assert np.array_equal(retargeted_poses(large, clip, beneath, RATE, Fit()), beneath), "only when it is to be taken"


def test_a_calm_person_turns_by_half_of_what_a_lively_one_does():
    count = 250
    clip = make_poses(turns(wave(count, -1, 1)), np.tile([0, 0, 0.8], (count, 1)))
    beneath = np.repeat(clip[:1], count, 0)
    lively = capture_of(person_shapes(jawOpen=(0, 0.3)), head_turn=turns(wave(count, -8, 8)))
    own = Fit(take=("head",)), Fit(take=("head",), gains={"head": 2.0})
    half, full = (yaw_of(retargeted_poses(lively, clip, beneath, RATE, fit)) - yaw_of(beneath) for fit in own)
    assert half.max() == pytest.approx(4, abs=0.1) and full.max() == pytest.approx(8, abs=0.1)


def test_the_head_moves_by_two_centimetres_at_most():
    count = 250
    clip = make_poses(turns(np.zeros(count)), np.tile([0, 0, 0.8], (count, 1)))
    shift = np.stack([wave(count, -0.3, 0.3), np.zeros(count), wave(count, -0.005, 0.005)], 1)
    capture = capture_of(person_shapes(jawOpen=(0, 0.3)), head_shift_m=shift)
    moved = retargeted_poses(capture, clip, clip, RATE, Fit(take=("head",)))[:, :3, 3] - [0, 0, 0.8]
    assert 0.019 < np.abs(moved[:, 0]).max() <= 0.02 and np.ptp(moved[:, 2]) == pytest.approx(0.01, rel=0.05)
