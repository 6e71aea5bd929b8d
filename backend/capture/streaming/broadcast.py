"""Makes the frames of a stream and hands each on when it is due: one that is late is dropped, never delayed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...media.samples import Planes
from .timing import BLOCK, MediaClock

if TYPE_CHECKING:
    import numpy as np

    from .composition import Composer
    from .program import Played, Program

LATE_S = 0.010
"""A frame that comes so long after it is due is dropped."""
_MARGIN = 1.15
"""The next frame is chosen as if it took so many times as long as the last ones did."""
_OVER_S = 2.0
_SLOWEST_S = 0.5


@dataclass(frozen=True)
class Shown:
    """A frame that is due: its number in the stream, what it shows, and Y', Cb, Cr of it."""

    number: int
    played: Played
    planes: Planes


@dataclass(frozen=True)
class Counts:
    """Frames so far that were handed on, and that were dropped while they were wanted."""

    frames: int = 0
    dropped: int = 0


class Broadcast:
    """One program, made once for all who receive it, while there is anyone.

    A thread makes frames; they are handed on in the event loop that calls `run`.
    """

    def __init__(self, program: Program, composer: Composer) -> None:
        self.composer, self._program = composer, program
        self.clock = MediaClock(program.rate, time.monotonic())
        self.sinks: list[Callable[[Shown], None]] = []
        """Called in the event loop with each frame when it is due; must be quick."""
        self._receivers = 0
        self._wanted, self._ended = threading.Event(), threading.Event()
        self._ready: deque[Shown] = deque()
        self._room = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._made = asyncio.Event()
        self._next: asyncio.Future[Shown] | None = None
        self._fault: BaseException | None = None
        self._frames = self._dropped = 0
        self._cost_s = 0.0
        self._times: deque[float] = deque()

    @property
    def counts(self) -> Counts:
        return Counts(self._frames, self._dropped)

    @property
    def frames_per_s(self) -> float:
        """Over the last two seconds."""
        now = time.monotonic()
        while self._times and now - self._times[0] > _OVER_S:
            self._times.popleft()
        return len(self._times) / _OVER_S

    def join(self) -> None:
        """Someone receives it."""
        self._receivers += 1
        self._wanted.set()

    def leave(self) -> None:
        """Someone receives it no more; without receivers nothing is made."""
        self._receivers -= 1
        if not self._receivers:
            self._wanted.clear()

    async def next_frame(self) -> Shown:
        """The next frame that becomes due."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._next)

    def audio(self, number: int) -> np.ndarray:
        """(BLOCK,) int16 of a block by its number."""
        return self._program.block(number * BLOCK, BLOCK)

    async def run(self) -> None:
        """Make and hand on frames until it is cancelled.

        Raises:
            SyncTalkError: a frame could not be made.
        """
        self._loop = asyncio.get_running_loop()
        maker = threading.Thread(target=self._make, name="stream frames", daemon=True)
        maker.start()
        try:
            while True:
                await self._made.wait()
                self._made.clear()
                while self._ready:
                    await self._hand_on(self._ready[0])
                    with self._room:
                        self._ready.popleft()
                        self._room.notify()
                if self._fault is not None:
                    raise self._fault
        finally:
            self._ended.set()
            self._wanted.set()
            with self._room:
                self._room.notify()
            await asyncio.to_thread(maker.join)

    async def _hand_on(self, shown: Shown) -> None:
        due_s = self.clock.frame_due_s(shown.number)
        wait_s = due_s - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        if time.monotonic() - due_s > LATE_S:
            self._dropped += 1
            return
        self._frames += 1
        self._times.append(time.monotonic())
        for sink in self.sinks:
            sink(shown)
        if self._next is not None and not self._next.done():
            self._next.set_result(shown)

    def _make(self) -> None:
        assert self._loop is not None
        last = None
        prepared, loop = 0, min(self._program.loop, self.composer.room)
        try:
            while not self._ended.is_set():
                if not self._wanted.is_set():
                    last = None
                    if prepared < loop:  # so that the first viewer sees all frames of it
                        self.composer.make(self._program.at(prepared))
                        prepared += 1
                    else:
                        self._wanted.wait()
                    continue
                started_s = time.monotonic()
                number = self.clock.frame_from(started_s + min(self._cost_s * _MARGIN, _SLOWEST_S) - LATE_S)
                if last is not None:
                    number = max(number, last + 1)
                    self._dropped += number - last - 1
                last = number
                played = self._program.at(number)
                shown = Shown(number, played, self.composer.make(played))
                took_s = time.monotonic() - started_s
                self._cost_s += (took_s - self._cost_s) * (0.5 if took_s > self._cost_s else 0.1)
                with self._room:
                    self._ready.append(shown)
                    self._loop.call_soon_threadsafe(self._made.set)
                    self._room.wait_for(lambda: len(self._ready) <= self._program.ahead or self._ended.is_set())
        except BaseException as error:  # noqa: BLE001 (raised where the stream is awaited)
            self._fault = error
            self._loop.call_soon_threadsafe(self._made.set)
