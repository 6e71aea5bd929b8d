"""The audio of a loop stays at its frames, however often it is played."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from backend.capture.streaming.loop_audio import LoopAudio, opened_audio
from backend.capture.streaming.timing import BLOCK, MediaClock
from backend.media.audio import workspace_audio
from backend.media.audio_rates import DELIVERY_RATE, RATE
from backend.progress import Reporter
from backend.workspace.store import Workspace


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)])
def test_each_turn_begins_at_the_sample_of_its_first_frame(rate):
    frames = 7
    length = frames * DELIVERY_RATE / rate
    samples = np.full(math.ceil(length), 20000, np.int16)
    audio = LoopAudio(samples, length)
    whole = np.concatenate([audio.block(first, BLOCK) for first in range(0, 100 * BLOCK, BLOCK)])
    for turn in range(1, round(100 * BLOCK / length)):
        begin = math.ceil(turn * length)
        assert whole[begin] == 0 and abs(int(whole[begin - 1])) < 100, "ends fade, without a click"
        assert whole[begin + 600] == 20000 and whole[begin - 600] == 20000


def test_audio_that_is_shorter_than_its_loop_is_followed_by_silence():
    audio = LoopAudio(np.full(2000, 9000, np.int16), Fraction(5000))
    block = audio.block(4000, 4000)
    assert not block[:1000].any() and block[1000 + 1000] == 9000 and not block[3000:].any()


def test_the_clips_own_audio_is_heard_where_its_frames_have_it(trained_once):
    workspace = Workspace.open(trained_once)
    animation = workspace.footage_animation()
    first = 10
    truth = workspace_audio(workspace)[round(first * RATE / animation.rate) :]
    with opened_audio(workspace, first, animation, Reporter()) as audio:
        heard = np.concatenate([audio.block(start, BLOCK) for start in range(0, 2 * DELIVERY_RATE, BLOCK)])
    heard = heard.reshape(-1, 3).mean(1)[: len(truth)] / 32768
    lag = (
        np.argmax([np.corrcoef(heard[800:24000], truth[800 + shift : 24000 + shift])[0, 1] for shift in range(-50, 51)])
        - 50
    )
    assert abs(lag) <= 2, "of 16,000 a second"


def test_a_loop_without_audio_is_silent(trained_once):
    with opened_audio(None, 0, Workspace.open(trained_once).footage_animation(), Reporter()) as audio:
        assert not audio.block(12345, BLOCK).any()


def test_frames_and_blocks_are_due_at_the_same_times():
    clock = MediaClock(Fraction(30000, 1001), 100.0)
    assert clock.frame_from(100.0) == clock.block_from(100.0) == 0
    assert clock.frame_due_s(30000) == pytest.approx(100 + 1001)
    assert clock.block_due_s(1001 * 50) == pytest.approx(100 + 1001)
    assert clock.frame_from(clock.frame_due_s(77) + 1e-6) == 78
