"""What a viewer receives: whole blocks of audio at their level, frames at their rate, and both on one timeline.

Times are those that the stream states (RTP), not those of arrival: this machine may have other work.
"""

from __future__ import annotations

import asyncio
import itertools
from fractions import Fraction

import numpy as np
import pytest

from backend.capture.streaming.timing import BLOCK
from backend.capture.streaming.viewers import AudioTrack, VideoTrack
from backend.media.audio_frames import samples_of
from tests.backend.capture.streaming.marks import Client, Marks, served

RATES = pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)], ids=["25", "29.97"])
MARKS = 3


async def marked(track, is_marked) -> list[tuple[Fraction, object]]:
    """Stated time and content of the first frames or blocks of a track, until so many of them are marks."""
    found, marks = [], 0
    while marks < MARKS:
        frame = await asyncio.wait_for(track.recv(), 30)
        found.append((frame.pts * frame.time_base, frame))
        marks += is_marked(frame)
    return found


def is_white(frame) -> bool:
    return float(frame.to_ndarray(format="gray").mean()) > 128


def is_loud(frame) -> bool:
    return float(np.abs(samples_of(frame)).max()) > 0.2


@RATES
def test_flash_and_tone_are_sent_with_the_same_time(rate):
    async def main():
        async with served(Marks(rate)) as stream:
            stream.broadcast.join()
            video = VideoTrack(stream.broadcast)
            tracks = video, AudioTrack(stream.broadcast, video)
            return await asyncio.gather(marked(tracks[0], is_white), marked(tracks[1], is_loud))

    frames, blocks = asyncio.run(main())
    flashes = [time for time, frame in frames if is_white(frame)]
    tones = [
        time + begin_of(block)
        for (_, before), (time, block) in itertools.pairwise(blocks)
        if is_loud(block) and not is_loud(before)
    ]
    assert len(flashes) == MARKS and tones
    period = round(rate) / rate
    for moment in (*flashes, *tones):
        assert abs(moment / period - round(moment / period)) < Fraction(1, 1000)


def begin_of(block) -> Fraction:
    """Seconds into a block where its tone begins."""
    return Fraction(int(np.argmax(np.abs(samples_of(block)[0]) > 0.02)), 48000)


@pytest.fixture(scope="module")
def received():
    async def main():
        async with served(Marks()) as stream:
            client = Client()
            assert await client.watch(stream.url("offer")) == 200
            tracks = client.tracks
            found = await asyncio.gather(marked(tracks["video"], is_white), marked(tracks["audio"], is_loud))
            await client.connection.close()
            return found

    return asyncio.run(main())


def test_audio_arrives_in_whole_blocks_in_stereo_at_its_level(received):
    _, blocks = received
    assert {samples_of(block).shape for _, block in blocks} == {(2, BLOCK)}
    loudest = [np.abs(samples_of(block)).max(1) for _, block in blocks if is_loud(block)]
    assert np.max(loudest, 0) == pytest.approx([16000 / 32768] * 2, rel=0.25), "16 kHz mono would be at 0.71 of it"


def test_frames_and_blocks_keep_the_times_of_their_numbers(received):
    for (times, _), step in zip((zip(*each, strict=True) for each in received), (25, 50), strict=True):
        steps = np.diff([float(time) for time in times]) * step
        np.testing.assert_allclose(steps, np.round(steps), atol=0.01)
        assert steps.min() > 0.9


def test_the_marks_are_a_whole_number_of_seconds_apart(received):
    for found, is_mark in zip(received, (is_white, is_loud), strict=True):
        times = np.array([float(time) for time, frame in found if is_mark(frame)])
        apart = np.diff(times)
        apart = apart[apart > 0.5]  # a tone may be cut into two blocks
        np.testing.assert_allclose(apart, np.round(apart), atol=0.021)
