import numpy as np
import pytest

from backend.face_sync.audio_offset import CONFIDENT, estimate_offset_ms

from .conftest import RATE, babble

pytestmark = pytest.mark.long


@pytest.mark.parametrize("late_ms", [-390, -200, 0, 70, 240, 400])
def test_a_shift_of_the_audio_is_found(late_ms):
    sound, jaw, _ = babble(20, seed=5)
    shift = late_ms * RATE // 1000
    late = np.roll(sound, shift)
    offset, confidence = estimate_offset_ms(late, jaw)
    assert abs(offset - late_ms) <= 40
    assert confidence >= CONFIDENT


def test_audio_that_has_nothing_to_do_with_the_lips_is_reported_as_uncertain():
    _, jaw, _ = babble(20, seed=5)
    for seed in (6, 7, 8):
        assert estimate_offset_ms(babble(20, seed=seed)[0], jaw)[1] < CONFIDENT


def test_missing_frames_do_not_hide_the_offset():
    sound, jaw, _ = babble(20, seed=5)
    jaw[100:160] = np.nan
    offset, confidence = estimate_offset_ms(np.roll(sound, RATE // 5), jaw)
    assert abs(offset - 200) <= 40
    assert confidence >= CONFIDENT


def test_nothing_to_judge_by_gives_no_confidence():
    sound, jaw, _ = babble(6, seed=5)
    assert estimate_offset_ms(np.zeros_like(sound), jaw) == (0.0, 0.0)
    assert estimate_offset_ms(sound, np.zeros_like(jaw)) == (0.0, 0.0)
    assert estimate_offset_ms(sound, np.full_like(jaw, np.nan)) == (0.0, 0.0)
    assert estimate_offset_ms(sound[:RATE], jaw[:25]) == (0.0, 0.0)
