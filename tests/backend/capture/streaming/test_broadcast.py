"""Frames are handed on when they are due, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from backend.capture.streaming.broadcast import LATE_S, Broadcast
from backend.errors import WorkspaceError
from tests.backend.capture.streaming.marks import Marks


class Slow(Marks):
    """Takes longer than a frame lasts; now and then much longer."""

    ahead = 0

    def make(self, played):
        time.sleep(0.3 if played.plate_frame % 11 == 0 else 0.07)
        return super().make(played)


async def run_for(broadcast: Broadcast, seconds: float) -> None:
    running = asyncio.create_task(broadcast.run())
    await asyncio.sleep(seconds)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_a_late_frame_is_dropped_and_delays_no_other():
    broadcast, seen = Broadcast(program := Slow(), program), []
    broadcast.sinks.append(lambda shown: seen.append((shown.number, time.monotonic())))
    broadcast.join()
    asyncio.run(run_for(broadcast, 2.5))
    numbers = [number for number, _ in seen]
    assert len(numbers) >= 3 and numbers == sorted(set(numbers))
    assert all(at - broadcast.clock.frame_due_s(number) < 2 * LATE_S for number, at in seen)
    counts = broadcast.counts
    assert counts.frames == len(numbers) and counts.dropped >= len(numbers) / 2


def test_nothing_is_made_while_nobody_watches():
    made = []

    class Counted(Marks):
        def make(self, played):
            made.append(played.plate_frame)
            return super().make(played)

    async def main() -> int:
        broadcast = Broadcast(program := Counted(), program)
        running = asyncio.create_task(broadcast.run())
        await asyncio.sleep(0.3)
        before = len(made)
        broadcast.join()
        await asyncio.sleep(0.5)
        broadcast.leave()
        await asyncio.sleep(0.3)
        left = len(made)
        await asyncio.sleep(0.3)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert len(made) == left > 0
        return before

    assert asyncio.run(main()) == 0


def test_all_frames_of_a_loop_are_made_before_the_first_viewer_comes():
    class Loop(Marks):
        loop, room = 5, 4

        def at(self, frame):
            asked.append(frame)
            return super().at(frame)

    asked: list[int] = []
    asyncio.run(run_for(Broadcast(program := Loop(), program), 0.3))
    assert asked == [0, 1, 2, 3], "as many as are kept"


def test_a_frame_that_cannot_be_made_ends_the_stream_with_its_reason():
    class Damaged(Marks):
        def make(self, played):
            raise WorkspaceError("frames/000003.jpg is damaged: process it again.")

    async def main() -> None:
        broadcast = Broadcast(program := Damaged(), program)
        broadcast.join()
        await asyncio.wait_for(broadcast.run(), 5)

    with pytest.raises(WorkspaceError, match="damaged"):
        asyncio.run(main())
