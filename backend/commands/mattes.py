"""`mattes`: head, hair, neck, torso and background as grey images, for a compositor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..progress import Reporter
from .marking import Signature, open_seal
from .option import CheckedOptions, option


@dataclass(frozen=True)
class Options(Signature, CheckedOptions):
    workspace: Path = option("a processed workspace", positional=True)
    out: Path | None = option("the folder for a folder a part (exports/mattes in the workspace)", None)


@dataclass(frozen=True)
class Result:
    out: Path
    parts: tuple[str, ...]
    """Each a folder in `out`, of `%06d.png`."""
    frames: int
    signed_by: str
    """Whose certificate signed the manifests; empty where there are none."""


def run(options: Options, reporter: Reporter) -> Result:
    """Write the missing frames.

    Raises:
        ProvenanceError: the certificate does not suit, or signing failed; finished frames are kept.
        WorkspaceError: the workspace is not processed, or its files are missing or damaged.
    """
    from ..delivery.marking import Marking
    from ..delivery.mattes import write_mattes
    from ..delivery.provenance.manifest import MATTE
    from ..portrait_sync.parts import PARTS
    from ..workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    out = options.out or workspace.root / "exports" / "mattes"
    seal, signed_by = open_seal(options, workspace, None, MATTE, reporter)
    with workspace.locked():
        write_mattes(workspace, out, reporter, Marking(seal=seal))
    return Result(out, PARTS, workspace.subject.frames, signed_by)
