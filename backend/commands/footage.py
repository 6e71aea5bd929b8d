"""`footage`: the complete source frames, where the working frames are a part of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..progress import Reporter
from .option import option


@dataclass(frozen=True)
class Options:
    workspace: Path = option("a processed workspace", positional=True)


@dataclass(frozen=True)
class Result:
    footage: Path
    """Pattern of the frames, such as `frames/%06d.jpg`."""
    frames: int


def run(options: Options, reporter: Reporter) -> Result:
    """Write the missing frames."""
    from ..media.footage import write_footage
    from ..workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    with workspace.locked():
        return Result(write_footage(workspace, reporter), workspace.subject.frames)
