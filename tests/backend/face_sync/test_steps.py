"""Speech works in steps of 40 ms: frames of any rate get what belongs to their time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.face_sync.steps import STEP_RATE, all_at_steps, at_frames, at_steps, steps_before, steps_over
from backend.workspace.frame_rate import STANDARD, as_text

RATES = pytest.mark.parametrize("rate", STANDARD, ids=as_text)
FRAMES = 18000
"""Ten minutes of the slower rates."""


def motion(time_s: np.ndarray) -> np.ndarray:
    """(N, 2): as fast as lips move, 4 and 6 times a second."""
    return np.stack([np.sin(2 * np.pi * 4 * time_s), np.cos(2 * np.pi * 6 * time_s + 1)], 1)


def test_at_25_frames_a_second_rows_are_the_steps_themselves():
    rows = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    assert STEP_RATE == 25 and steps_over(400, Fraction(25)) == steps_before(400, Fraction(25)) == 400
    np.testing.assert_array_equal(at_frames(rows, 400, Fraction(25)), rows)
    np.testing.assert_array_equal(at_frames(rows, 400, Fraction(25), 2)[:398], rows[2:])
    np.testing.assert_array_equal(at_steps(rows, 400, Fraction(25)), rows)
    known = np.random.default_rng(1).random(400) > 0.5
    np.testing.assert_array_equal(all_at_steps(known, 400, Fraction(25)), known)


@RATES
def test_every_frame_gets_the_motion_of_its_own_time_to_the_end_of_ten_minutes(rate):
    steps = motion(np.arange(steps_over(FRAMES, rate)) / 25)
    wanted = motion(np.arange(FRAMES) / float(rate))
    error = np.abs(at_frames(steps, FRAMES, rate) - wanted)[10:-10]
    assert error.max() < 0.025, "of an amplitude of 1"
    assert error[-300:].max() < 1.5 * error[:300].max() + 1e-9, "it does not grow"


@RATES
def test_every_step_gets_the_motion_of_the_frames_around_it(rate):
    frames = motion(np.arange(FRAMES) / float(rate))
    steps = steps_before(FRAMES, rate)
    wanted = motion(np.arange(steps) / 25)
    assert (steps - 1) / 25 < FRAMES / rate <= (steps + 1) / 25
    inside = np.arange(steps) / 25 <= (FRAMES - 1) / float(rate)
    assert np.abs(at_steps(frames, steps, rate) - wanted)[inside].max() < 0.35


def test_a_step_counts_only_where_the_frames_on_both_sides_do():
    known = np.ones(60, bool)
    known[31] = False
    assert np.flatnonzero(~all_at_steps(known, steps_before(60, Fraction(30)), Fraction(30))).tolist() == [26]
    assert np.flatnonzero(~all_at_steps(known, steps_before(60, Fraction(50)), Fraction(50))).tolist() == []


def test_beyond_the_ends_it_is_level():
    rows = np.arange(10.0)[:, None] + 3
    held = at_frames(rows, 30, Fraction(50), 3)
    assert np.all(held[14:] == 12)
    assert at_frames(rows, 4, Fraction(50), -3)[0] == 3
