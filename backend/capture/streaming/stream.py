"""A stream from its parts: the head, what it plays, and where it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...delivery.footage import output_size
from ...delivery.from_footage import Taking
from ...delivery.shot import Shot
from ...errors import Cancelled
from ...progress import Reporter
from ...training.checkpoints import Checkpoint
from ...workspace.animation import Animation
from ...workspace.idle_part import longest, takes
from ...workspace.store import Workspace
from .broadcast import Broadcast, Counts, Shown
from .composition import Composer
from .loop_audio import opened_audio
from .names import ALPHA
from .program import LoopProgram, Program
from .site import Address, serving
from .viewers import Viewers
from .virtual_camera import VirtualCamera
from .vmc import VmcSender

LARGEST = 1280
"""Longer side where none is given: what a browser and two processor cores take at the clip's rate."""
_POLL_S, _REPORT_S = 0.2, 10.0


@dataclass(frozen=True)
class Scene:
    """What is shown.

    Attributes:
        directions: an animation to play; None for the clip itself.
        background: as `Composer` takes it.
        size: longer side of the frames.
    """

    workspace: Workspace
    head: Checkpoint
    directions: Path | None
    background: str
    size: int | None
    taking: Taking
    label: bool


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
        program, shot = stack.enter_context(_loop(scene, reporter))
        composer = Composer(shot, scene.background, scene.label, reporter)
        composer.make(program.at(0))  # compiles and reads what the first viewer would wait for
        broadcast = Broadcast(program, composer)
        _add_sinks(stack, broadcast, outputs, reporter)
        started_s = time.monotonic()
        most = asyncio.run(_Run(broadcast, outputs, reporter).until_stopped(scene.background == ALPHA))
        counts = broadcast.counts
        return round(time.monotonic() - started_s, 1), counts.frames, counts.dropped, most


@contextlib.contextmanager
def _loop(scene: Scene, reporter: Reporter) -> Iterator[tuple[Program, Shot]]:
    """What is played, and the shot by which its frames are made."""
    workspace, track = scene.workspace, scene.workspace.head_track(head=scene.head.kind)
    audio: Path | Workspace | None
    if scene.directions is None:
        shot, audio = _shot(scene, workspace.footage_animation(track)), workspace
        first, last = longest(takes(track))
        shot = replace(shot, animation=_part(shot.animation, first, last), conditions=shot.conditions[first:last])
    else:
        shot, first = _shot(scene, workspace.animation(scene.directions)), 0
        audio = shot.animation.audio
    with opened_audio(audio, first, shot.animation, reporter) as heard:
        yield LoopProgram(shot.animation, shot.conditions, heard), shot


def _shot(scene: Scene, animation: Animation) -> Shot:
    """With frames of even sides, as 4:2:0 needs them."""
    subject = scene.workspace.subject
    width, height = output_size(subject, scene.size or min(max(subject.source_size), LARGEST))
    shot = Shot.of(scene.workspace, scene.head, animation, None, scene.taking)
    return replace(shot, camera=shot.camera.scaled(width - width % 2, height - height % 2))


def _part(animation: Animation, first: int, last: int) -> Animation:
    """Its frames from `first` to before `last`."""
    return replace(
        animation,
        blendshapes=animation.blendshapes[first:last],
        head_to_camera=animation.head_to_camera[first:last],
        plate_frame=animation.plate_frame[first:last],
    )


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

    async def until_stopped(self, beside: bool) -> int:
        """Serve until the user stops it: the most viewers at once.

        Args:
            beside: the frames have colours and alpha side by side.
        """
        outputs = self._outputs
        viewers = Viewers(self._broadcast, outputs.viewers, outputs.host, self._on_viewers)
        frames = asyncio.create_task(self._broadcast.run())
        try:
            async with serving(Address(outputs.host, outputs.port, outputs.token), viewers, beside) as port:
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
