"""A stream from its parts: the head, what it plays, and where it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import Cancelled
from ...progress import Reporter
from .broadcast import Broadcast, Counts, Shown
from .composition import Composer
from .names import ALPHA
from .scene import Scene, opened
from .site import Address, Page, serving
from .viewers import Viewers
from .virtual_camera import VirtualCamera
from .vmc import VmcSender

HOLD_MS = 80
"""Of what is known beforehand; a live head is shown as soon as it can be."""
_POLL_S, _REPORT_S = 0.2, 10.0


@dataclass(frozen=True)
class Outputs:
    """Where it goes.

    Attributes:
        token: that viewers need; empty for none.
        viewers: how many there may be.
        osc: `HOST:PORT`.
    """

    host: str
    port: int
    token: str
    viewers: int
    virtual_camera: bool
    osc: str | None


def stream(scene: Scene, outputs: Outputs, reporter: Reporter) -> tuple[float, int, int, int]:
    """Serve until it is cancelled: seconds, frames handed on, frames dropped, and the most viewers at once.

    Raises:
        SyncTalkError: it cannot begin, or a frame cannot be made.
    """
    with contextlib.ExitStack() as stack:
        program, shot = stack.enter_context(opened(scene, reporter))
        composer = Composer(shot, scene.background, scene.label, reporter)
        composer.make(program.at(0))  # compiles and reads what the first viewer would wait for
        broadcast = Broadcast(program, composer)
        _add_sinks(stack, broadcast, outputs, reporter)
        started_s = time.monotonic()
        page = Page(scene.background == ALPHA, HOLD_MS if program.ahead else 0)
        most = asyncio.run(_Run(broadcast, outputs, reporter).until_stopped(page))
        counts = broadcast.counts
        return round(time.monotonic() - started_s, 1), counts.frames, counts.dropped, most


def _add_sinks(stack: contextlib.ExitStack, broadcast: Broadcast, outputs: Outputs, reporter: Reporter) -> None:
    """What receives each frame beside the viewers."""
    if outputs.virtual_camera:
        camera = VirtualCamera(broadcast.composer.size, broadcast.clock.rate)
        stack.callback(camera.close)
        reporter.info(f"Virtual camera: {camera.device}")
        _add(broadcast, lambda shown: camera.send(shown.planes))
    if outputs.osc is not None:
        sender = VmcSender(outputs.osc)
        stack.callback(sender.close)
        reporter.info(f"The rig is sent to {outputs.osc} (VMC protocol).")
        _add(broadcast, lambda shown: sender.send(shown.played.blendshapes, shown.played.turn))


def _add(broadcast: Broadcast, sink: Callable[[Shown], None]) -> None:
    broadcast.sinks.append(sink)
    broadcast.join()


class _Run:
    """A stream that is on."""

    def __init__(self, broadcast: Broadcast, outputs: Outputs, reporter: Reporter) -> None:
        self._broadcast, self._outputs, self._reporter = broadcast, outputs, reporter
        self._most = 0

    async def until_stopped(self, page: Page) -> int:
        """Serve until the user stops it: the most viewers at once."""
        outputs = self._outputs
        viewers = Viewers(self._broadcast, outputs.viewers, outputs.host, self._on_viewers)
        frames = asyncio.create_task(self._broadcast.run())
        try:
            async with serving(Address(outputs.host, outputs.port, outputs.token), viewers, page) as port:
                self._reporter.info(f"Open {Address(outputs.host, port, outputs.token).url}")
                self._reporter.info("Ctrl-C ends the stream.")
                await self._report_until_stopped(frames)
        finally:
            await viewers.close()
            frames.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await frames
        return self._most

    async def _report_until_stopped(self, frames: asyncio.Task[None]) -> None:
        said, before = time.monotonic(), Counts()
        while not frames.done():
            await asyncio.wait([frames], timeout=_POLL_S)
            try:
                self._reporter.check_cancelled()
            except Cancelled:
                return
            if time.monotonic() - said >= _REPORT_S:
                counts = self._broadcast.counts
                made, dropped = counts.frames - before.frames, counts.dropped - before.dropped
                if made or dropped:
                    pace = made / (time.monotonic() - said)
                    self._reporter.info(f"{pace:.1f} frames/s, {dropped} of {made + dropped} dropped")
                said, before = time.monotonic(), counts

    def _on_viewers(self, count: int) -> None:
        self._most = max(self._most, count)
        self._reporter.info("1 viewer" if count == 1 else f"{count} viewers")
