"""`render`: a video with audio, or a folder of RGBA frames with straight alpha."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ..progress import Reporter
from . import speak
from .head import head_option
from .option import CheckedOptions, option


@dataclass(frozen=True)
class Options(speak.Delivery, CheckedOptions):
    workspace: Path = option("a workspace with a trained head", positional=True)
    out: Path = option("a path ending in .mp4, or a folder")
    audio: Path | None = option("what to speak; without it and --directions the clip itself is reproduced", None)
    directions: Path | None = option("an animation.npz with an artist's edits (docs/animation.md)", None)
    split: str | None = option("the held-out frames instead, as they would be compared", None, choices=("test",))
    size: int | None = option("longer side of the frames, pixels (the footage's own)", None)
    head: str = head_option()


@dataclass(frozen=True)
class Result:
    out: Path
    frames: int
    width: int
    height: int


def run(options: Options, reporter: Reporter) -> Result:
    """Render the animation given, else what `speak` makes of the audio.

    Raises:
        SyncTalkError: nothing was trained, or the animation or the audio cannot be used.
    """
    from ..delivery.shot import Shot
    from ..evaluation.reenactment import write_test_frames
    from ..training import checkpoints
    from ..workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    if options.split:
        side = options.size or workspace.subject.size
        return Result(options.out, write_test_frames(workspace, options.out, side, reporter, options.head), side, side)
    workspace.require("portrait_sync")
    head = checkpoints.load_for_rendering(workspace, reporter, options.head)
    directions = options.directions
    if directions is None:
        delivery = dataclasses.asdict(speak.Delivery.of(options))
        spoken = speak.Options(workspace=options.workspace, audio=options.audio, head=head.kind, **delivery)
        directions = speak.run(spoken, reporter).animation
    shot = Shot.of(workspace, head, workspace.animation(directions), options.size)
    if options.out.suffix.lower() == ".mp4":
        shot.write_video(options.out, options.audio if options.directions else None, reporter)
    else:
        shot.write_frames(options.out, reporter)
    return Result(options.out, shot.frames, shot.camera.width, shot.camera.height)
