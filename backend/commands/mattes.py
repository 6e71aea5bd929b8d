"""`mattes`: head, hair, neck, torso and background as grey images, for a compositor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..progress import Reporter
from .option import CheckedOptions, option


@dataclass(frozen=True)
class Options(CheckedOptions):
    workspace: Path = option("a processed workspace", positional=True)
    out: Path | None = option("the folder for a folder a part (exports/mattes in the workspace)", None)


@dataclass(frozen=True)
class Result:
    out: Path
    parts: tuple[str, ...]
    """Each a folder in `out`, of `%06d.png`."""
    frames: int


def run(options: Options, reporter: Reporter) -> Result:
    """Write the missing frames.

    Raises:
        WorkspaceError: the workspace is not processed, or its files are missing or damaged.
    """
    from ..delivery.mattes import write_mattes
    from ..portrait_sync.parts import PARTS
    from ..workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    out = options.out or workspace.root / "exports" / "mattes"
    with workspace.locked():
        write_mattes(workspace, out, reporter)
    return Result(out, PARTS, workspace.subject.frames)
