"""Frames are handed on when they are due, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import time

import numpy as np
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


@contextlib.asynccontextmanager
async def running(broadcast: Broadcast):
    task = asyncio.create_task(broadcast.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(condition, every_s=0.005) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        await asyncio.sleep(every_s)


async def settled(made: list) -> None:
    """Until nothing more is made, for as long as a dozen frames take."""
    counts = [-1]
    await until(lambda: counts.append(len(made)) or counts[-1] == counts[-2], 12 / 25)


def test_a_late_frame_is_dropped_and_delays_no_other():
    broadcast, late_s = Broadcast(program := Slow(), program), {}

    def seen(shown):
        late_s[shown.number] = time.monotonic() - broadcast.clock.frame_due_s(shown.number)

    async def main() -> None:
        broadcast.sinks.append(seen)
        broadcast.join()
        async with running(broadcast):
            await until(lambda: len(late_s) >= 8 and broadcast.counts.dropped >= 8)

    asyncio.run(main())
    assert list(late_s) == sorted(late_s) and broadcast.counts.frames == len(late_s)
    assert all(late > -0.01 for late in late_s.values()) and np.median(list(late_s.values())) < 2 * LATE_S
    assert broadcast.counts.dropped >= len(late_s) / 2


def test_nothing_is_made_while_nobody_watches():
    made = []

    class Counted(Marks):
        def make(self, played):
            made.append(played.plate_frame)
            return super().make(played)

    async def main() -> None:
        broadcast = Broadcast(program := Counted(), program)
        async with running(broadcast):
            await settled(made)
            assert not made
            broadcast.join()
            await until(lambda: len(made) > 3)
            broadcast.leave()
            await settled(made)

    asyncio.run(main())


def test_all_frames_of_a_loop_are_made_before_the_first_viewer_comes():
    class Loop(Marks):
        loop, room = 5, 4

        def at(self, frame):
            asked.append(frame)
            return super().at(frame)

    asked: list[int] = []

    async def main() -> None:
        async with running(Broadcast(program := Loop(), program)):
            await until(lambda: asked)
            await settled(asked)

    asyncio.run(main())
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
