"""`verify`: whether a file is a synthetic likeness made with this program, from which clip, and whether it was altered."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SyncTalkError
from ..progress import Reporter
from .option import option

if TYPE_CHECKING:
    import numpy as np

    from ..delivery.provenance.reading import Manifest
    from ..workspace.store import Workspace

MARKED, NOT_OURS, ALTERED = 0, 1, 3
"""Exit status; 2 is that of a wrong command line."""

FOUND, ABSENT = "found", "absent"
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
_NOTE = "Synthetic likeness"
"""How the note in the metadata begins, whichever program wrote it."""


@dataclass(frozen=True)
class Options:
    files: tuple[Path, ...] = option("videos, images or audio files", positional=True, nargs="+")
    workspace: Path | None = option("a workspace: is its clip the source?", None)
    trust: Path | None = option("PEM of the certificate authorities that you trust", None)


@dataclass(frozen=True)
class Verified:
    """What was read of one file."""

    file: Path
    status: int
    """0 marked and whole, 1 not ours, 3 marked, but altered or re-encoded."""
    manifest: str
    """`valid`, `untrusted`, `invalid` or `absent`."""
    watermark: str
    """`found` or `absent`."""
    note: str
    """`found` or `absent`: the sentence in the file's metadata, which anyone can write or remove."""
    source: str
    """sha256 of the clip; empty where no manifest of ours says it."""
    clip: str
    """The workspace's clip, where it is the source."""
    made: dict[str, Any]
    """When, with which source type, program, head and names; empty where no manifest of ours says it."""
    signer: str
    summary: str


@dataclass(frozen=True)
class Result:
    files: tuple[Verified, ...]


def run(options: Options, reporter: Reporter) -> Result:
    """Read manifest, watermark and note of each file.

    Raises:
        ProvenanceError: a file cannot be read, or the package c2pa-python is missing.
        WorkspaceError: there is no such workspace.
    """
    from ..workspace.store import Workspace

    workspace = None if options.workspace is None else Workspace.open(options.workspace)
    verified = []
    for index, path in enumerate(options.files):
        reporter.progress("verifying", index, len(options.files))
        verified.append(verify(path, workspace, options.trust))
    return Result(tuple(verified))


def verify(path: Path, workspace: Workspace | None = None, trust: Path | None = None) -> Verified:
    """Read one file.

    Raises:
        ProvenanceError: it cannot be read, or the package c2pa-python is missing.
    """
    from ..delivery.provenance.reading import contains, read_manifest

    manifest = read_manifest(path, trust)
    watermark = FOUND if _has_watermark(path) else ABSENT
    note = FOUND if contains(path, _NOTE) else ABSENT
    source, status = str(manifest.likeness.get("clip_sha256", "")), NOT_OURS
    if manifest.ours:
        status = MARKED if manifest.is_whole else ALTERED
    elif FOUND in (watermark, note):
        status = ALTERED
    subject = None if workspace is None else workspace.subject
    clip = subject.source if subject is not None and source and subject.source_sha256 == source else ""
    made = {
        "when": manifest.created.get("when"),
        "source_type": str(manifest.created.get("digitalSourceType", "")).rpartition("/")[2],
        **{name: manifest.likeness.get(name) for name in ("program", "head", "consent_sha256", "names")},
    }
    return Verified(
        path,
        status,
        manifest.state,
        watermark,
        note,
        source,
        clip,
        {name: item for name, item in made.items() if item},
        manifest.signer,
        _summary(path, manifest, watermark, note, clip, workspace),
    )


def exit_status(result: Result) -> int:
    """That of the file that is worst off: altered before not ours before marked."""
    return max((item.status for item in result.files), default=MARKED)


def in_words(result: Result) -> str:
    """A few lines a file."""
    return "\n".join(item.summary for item in result.files)


def _has_watermark(path: Path) -> bool:
    """Whether the pixels of a video or an image are marked."""
    try:
        module = importlib.import_module("..delivery.watermark", __package__)
    except ModuleNotFoundError:
        return False
    try:
        return bool(module.detect(_frames(path, module.PIECE_FRAMES)).found)
    except (SyncTalkError, ValueError):
        return False  # no frames: audio, or what no decoder takes


def _frames(path: Path, count: int) -> Iterator[np.ndarray]:
    from ..media.decode import frames
    from ..workspace.images import read_image

    if path.suffix.lower() in IMAGES:
        yield read_image(path)
    else:
        for _, frame in islice(frames(path), count):
            yield frame


def _summary(path: Path, manifest: Manifest, watermark: str, note: str, clip: str, workspace: Workspace | None) -> str:
    if not manifest.ours:
        if watermark == FOUND:
            return f"{path}: a synthetic likeness made with SyncTalk (its watermark), but re-encoded or stripped: no manifest."
        if note == FOUND:
            return (
                f"{path}: its note says that it is a synthetic likeness made with SyncTalk, but it has no manifest of ours: "
                "never signed, or re-encoded. Anyone can write such a note."
            )
        other = f" Its manifest is by {manifest.edited_with}." if manifest.edited_with else ""
        return f"{path}: no mark of SyncTalk.{other}"
    lines = [f"{path}: a synthetic likeness made with SyncTalk, {_wholeness(manifest)}"]
    made, likeness = manifest.created, manifest.likeness
    if made:
        head = likeness.get("head", {})
        kind = f", head {head['kind']} ({head['checkpoint']})" if head else ""
        program = likeness.get("program", {})
        over = "over footage" if "composite" in str(made.get("digitalSourceType")) else "head alone"
        lines.append(f"  made {made.get('when')}, {over}{kind}, version {program.get('version', '?')}")
    if source := likeness.get("clip_sha256"):
        of_workspace = f": {clip}" if clip else ", not this workspace's" if workspace is not None else ""
        lines.append(f"  from the clip with sha256 {source}{of_workspace}")
    if names := likeness.get("names"):
        lines.append("  " + ", ".join(f"{name.replace('_', ' ')}: {item}" for name, item in names.items() if item))
    trusted = "a trusted signer" if manifest.state == "valid" else "nobody vouches for this name"
    lines.append(f"  signed by {manifest.signer or 'a signer who cannot be read'} ({trusted}); watermark: {watermark}")
    return "\n".join(lines)


def _wholeness(manifest: Manifest) -> str:
    if manifest.state == "invalid":
        return f"altered after it was signed ({', '.join(manifest.failures) or 'its manifest does not hold'})."
    if manifest.edited_with:
        return f"edited afterwards with {manifest.edited_with}."
    return "unaltered since it was signed."
