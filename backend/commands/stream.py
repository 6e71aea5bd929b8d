"""`stream`: the head over WebRTC on a page, as a virtual camera and as a rig over OSC, until it is stopped."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..capture.live.source_names import LOOPBACK, SOURCES
from ..capture.streaming.names import ALPHA, FOOTAGE, colour_of, is_loopback
from ..errors import UsageError
from ..progress import Reporter
from ..protocol import CAPTURE_PARTS
from .capture.live import LiveOptions
from .device import device_option
from .head import hair_option, head_option, neck_option
from .option import CheckedOptions, option

if TYPE_CHECKING:
    from ..capture.live.session import LiveSession

TOKEN_VARIABLE = "SYNCTALK_STREAM_TOKEN"
_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Options(CheckedOptions):
    workspace: Path = option("a workspace with a trained head", positional=True)
    directions: Path | None = option(
        "an animation.npz to play again and again, with its audio; without it the clip itself", None
    )
    live: str | Path | None = option(
        "in its place a face or a voice, as it comes: as `capture live --source` has it",
        None,
        choices=SOURCES,
        metavar="|".join((*SOURCES, "FILE")),
    )
    live_port: int | None = option("of a live face over UDP (osc 39539, livelink 11111)", None)
    live_host: str = option("address to listen at for a live face; 0.0.0.0 lets a phone send", LOOPBACK)
    take: tuple[str, ...] = option(
        "what a live face drives; the footage drives the rest", CAPTURE_PARTS, choices=CAPTURE_PARTS, nargs="+"
    )
    background: str = option(
        "footage for the clip, RRGGBB for a colour behind the person, alpha for the person with its alpha beside it",
        "footage",
    )
    size: int | None = option("longer side of the frames, pixels (the footage's own, up to 1280)", None)
    host: str = option("address to listen on for viewers; 0.0.0.0 for all of this computer's", LOOPBACK)
    port: int = option("port of the page; 0 for a free one", 8650)
    no_token: bool = option(
        f"let every program of this computer watch; with a token, {TOKEN_VARIABLE} can set a lasting one", False
    )
    viewers: int = option("how many may watch at once", 4)
    virtual_camera: bool = option("also show the frames as a camera of this computer", False)
    osc: str | None = option(
        "also send the rig as OSC (VMC protocol), such as 127.0.0.1:39539", None, metavar="HOST:PORT"
    )
    head: str = head_option()
    fixed_neck: bool = neck_option()
    rendered_hair: bool = hair_option()
    device: str = device_option()
    label: bool = option("draw the visible mark AI into a corner of each frame", False)

    def __post_init__(self) -> None:
        """Check that the options go together.

        Raises:
            UsageError: a value that is out of range, or a stream for others without a token.
        """
        super().__post_init__()
        if self.background not in (FOOTAGE, ALPHA) and colour_of(self.background) is None:
            raise UsageError(f"--background must be {FOOTAGE}, {ALPHA} or a colour such as 00B140")
        if self.live and self.directions:
            raise UsageError("--live and --directions do not go together: both say what the head does")
        if self.no_token and not is_loopback(self.host):
            raise UsageError("--no-token is of a stream that this computer alone can reach: leave out --host")
        if not 0 <= self.port < 65536:
            raise UsageError("--port must be from 0 to 65535")
        if self.viewers < 1:
            raise UsageError("--viewers must be 1 or more")
        if self.size is not None and not 64 <= self.size <= 4096:
            raise UsageError("--size must be from 64 to 4096")

    @property
    def session(self) -> Callable[[], LiveSession] | None:
        """Opens who drives the head; None where nobody does."""
        if self.live is None:
            return None
        return LiveOptions(
            workspace=self.workspace,
            source=self.live,
            port=self.live_port,
            host=self.live_host,
            take=self.take,
            head=self.head,
        ).open

    @property
    def token(self) -> str:
        """The user's own, else a random one; empty with --no-token.

        Raises:
            UsageError: the user's is too short to keep a stranger out.
        """
        if self.no_token:
            return ""
        own = os.environ.get(TOKEN_VARIABLE, "")
        if own and len(own) < _SHORTEST_TOKEN:
            raise UsageError(f"{TOKEN_VARIABLE} must have {_SHORTEST_TOKEN} characters or more")
        return own or secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Result:
    seconds: float
    frames: int
    """Handed on at their time."""
    dropped: int
    """Not made, or not made in time, while someone watched."""
    viewers: int
    """Most at once."""


def run(options: Options, reporter: Reporter) -> Result:
    """Stream until the user stops it.

    Raises:
        ConsentError: the consent of the person shown is not recorded.
        NetworkError: the address cannot be listened on, or sent to.
        DeviceError: there is no virtual camera here.
        SyncTalkError: nothing was trained, or the animation or its audio cannot be used.
    """
    from ..capture.streaming.scene import Scene
    from ..capture.streaming.stream import Outputs, stream
    from ..delivery.from_footage import Taking
    from ..renderer import devices
    from ..training import checkpoints
    from ..workspace.store import Workspace

    devices.select(options.device, reporter)
    workspace = Workspace.open(options.workspace)
    workspace.require("portrait_sync")
    workspace.require_consent()
    head = checkpoints.load_for_rendering(workspace, reporter, options.head)
    taking = Taking(hair=not options.rendered_hair, neck=not options.fixed_neck)
    scene = Scene(
        workspace, head, options.directions, options.session, options.background, options.size, taking, options.label
    )
    outputs = Outputs(options.host, options.port, options.token, options.viewers, options.virtual_camera, options.osc)
    return Result(*stream(scene, outputs, reporter))
