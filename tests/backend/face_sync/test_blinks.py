"""Blinks over footage that is played for longer than it lasts."""

from fractions import Fraction

import numpy as np

from backend.face_sync.blinks import blinking
from backend.workspace.idle_part import BLINKS

BLINK = np.array([0.2, 0.8, 0.9, 0.6, 0.4, 0.3, 0.2, 0.12])  # shuts in two frames, opens in five


def clip_with_blinks(*starts: int, frames: int = 500) -> np.ndarray:
    shapes = np.full((frames, 52), 0.02, np.float32)
    for start in starts:
        shapes[start : start + len(BLINK), BLINKS] = BLINK[:, None]
    return shapes


def shut_in(shapes: np.ndarray) -> np.ndarray:
    """Frames at which the eyes become shut."""
    shut = shapes[:, BLINKS[0]] > 0.5
    return np.flatnonzero(shut[1:] & ~shut[:-1]) + 1


def test_a_blink_that_is_played_backwards_still_shuts_faster_than_it_opens():
    clip = clip_with_blinks(40, 120)
    path = np.concatenate([np.arange(100), np.arange(98, -1, -1)])
    shown = blinking(clip[path], path, clip, Fraction(25))
    first, second = shut_in(shown)
    assert first == 41
    np.testing.assert_allclose(shown[second - 1 : second + 7, BLINKS[0]], BLINK, atol=1e-6)
    assert np.array_equal(shown[:100], clip[:100]), "what is played forwards stays"


def test_minutes_over_a_part_without_a_blink_are_no_stare():
    clip = clip_with_blinks(20, 90, 210, 300, 380)
    path = 400 + np.abs(np.arange(15000) % 160 - 80)
    shown = blinking(clip[path], path, clip, Fraction(25))
    gaps = np.diff(shut_in(shown)) / 25
    assert gaps.max() < 12.0
    assert 1.0 < gaps.min() < 0.7 * gaps.max(), "not like a clock"
    assert np.abs(np.diff(shown[:, BLINKS[0]])).max() <= np.abs(np.diff(clip[:, BLINKS[0]])).max() + 1e-6
    assert np.array_equal(np.delete(shown, BLINKS, 1), np.delete(clip[path], BLINKS, 1))


def test_a_part_that_blinks_often_enough_gets_no_more():
    clip = clip_with_blinks(*range(20, 480, 90))
    path = np.concatenate([np.arange(500), np.arange(498, -1, -1)])
    assert len(shut_in(blinking(clip[path], path, clip, Fraction(25)))) == len(shut_in(clip[path]))


def test_a_person_who_was_never_seen_to_blink_does_not():
    clip = clip_with_blinks()
    path = np.abs(np.arange(5000) % 160 - 80)
    assert np.array_equal(blinking(clip[path], path, clip, Fraction(25)), clip[path])
