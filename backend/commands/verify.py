"""`verify`: whether a file is a synthetic likeness made with this program, from which clip, and whether it was altered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SyncTalkError
from ..progress import Reporter
from ..protocol import ALTERED, MARKED, NOT_OURS
from .option import option

if TYPE_CHECKING:
    from ..delivery.provenance.reading import Manifest
    from ..delivery.watermark import Detection
    from ..workspace.store import Workspace

FOUND, ABSENT, NOT_SEARCHED = "found", "absent", "not searched"
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
EXR = ".exr"
_SURE, _PIECE_S = 4, 2.0
"""Pieces of a video that are enough where all agree, and their length in seconds."""
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
    """`found`, `absent`, or `not searched`: no image in it, or none that can be decoded."""
    watermark_clip: str
    """First 12 digits of the sha256 of the clip that the watermark names; empty without one."""
    watermark_agrees: bool | None
    """Whether that is the manifest's clip, else the workspace's; None where there is nothing to compare."""
    pieces: int
    """Pieces of two seconds that were read, through all of the file."""
    pieces_marked: int
    """In how many of them the watermark was found by themselves; in none of them, it may still be found in all of them together."""
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
    marks = watermarks(path)
    named = marks.named
    watermark = FOUND if named else ABSENT if marks.pieces else NOT_SEARCHED
    note = FOUND if contains(path, _NOTE) else ABSENT
    source, status = str(manifest.likeness.get("clip_sha256", "")), NOT_OURS
    if manifest.ours:
        status = MARKED if manifest.is_whole else ALTERED
    elif FOUND in (watermark, note):
        status = ALTERED
    subject = None if workspace is None else workspace.subject
    compared = source or ("" if subject is None else subject.source_sha256)
    agrees = compared.startswith(named) if named and compared else None
    if source and agrees is False:
        status = ALTERED  # another signature over pixels of another clip
    clip = subject.source if subject is not None and source and subject.source_sha256 == source else ""
    made = {
        "when": manifest.created.get("when"),
        "source_type": str(manifest.created.get("digitalSourceType", "")).rpartition("/")[2],
        **{name: manifest.likeness.get(name) for name in ("content", "program", "head", "consent_sha256", "names")},
    }
    return Verified(
        path,
        status,
        manifest.state,
        watermark,
        named,
        agrees,
        len(marks.pieces),
        marks.marked,
        note,
        source,
        clip,
        {name: item for name, item in made.items() if item},
        manifest.signer,
        _summary(path, manifest, watermark, note, clip, workspace) + _in_pixels(marks, agrees, bool(source)),
    )


def exit_status(result: Result) -> int:
    """That of the file that is worst off: altered before not ours before marked."""
    return max((item.status for item in result.files), default=MARKED)


def in_words(result: Result) -> str:
    """A few lines a file."""
    return "\n".join(item.summary for item in result.files)


@dataclass(frozen=True)
class Watermarks:
    """What was read in the pieces of a file, or in its image: each the clip that it names, empty where nothing is found."""

    pieces: tuple[str, ...] = ()
    """None where nothing is to be searched: audio, models, motions, and what no decoder takes."""
    together: str = ""
    """What all pieces name together, where none does by itself."""

    @property
    def named(self) -> str:
        return next(filter(None, self.pieces), self.together)

    @property
    def marked(self) -> int:
        return sum(map(bool, self.pieces))


def watermarks(path: Path) -> Watermarks:
    """The watermarks of a video or an image.

    Pieces are spread over the file; reading stops when the first `_SURE` all name the same clip.
    """
    from ..delivery.watermark import MOST_PIECES, PIECE_FRAMES, Detector, detect
    from ..media.decode import frames, probe
    from ..media.exr import encoded_images
    from ..workspace.images import read_image

    detector, pieces = Detector(), []
    try:
        if path.suffix.lower() in IMAGES:
            return Watermarks((_named(detect([read_image(path)])),))
        if path.suffix.lower() == EXR:
            searched = (_named(detect([image])) for image in encoded_images(path))
            return Watermarks((next(filter(None, searched), ""),))
        for start_s in _spread(probe(path).duration_s, MOST_PIECES):
            found = detector.piece((frame for _, frame in frames(path, start_s)), PIECE_FRAMES)
            pieces.append(_named(found))
            if len(pieces) >= _SURE and len(set(pieces)) == 1 and pieces[0]:
                break
        if len(pieces) > 1 and not any(pieces):
            return Watermarks(tuple(pieces), _named(detector.together()))
    except (SyncTalkError, ValueError):
        pass  # no frames: audio, or what no decoder takes
    return Watermarks(tuple(pieces))


def _named(found: Detection) -> str:
    return found.message.text if found.message else ""


def _spread(duration_s: float, most: int) -> list[float]:
    """Beginnings of pieces over all of a video, in an order in which the first ones are far apart."""
    count = max(1, min(most, int(duration_s // _PIECE_S)))
    last = max(0.0, duration_s - _PIECE_S)
    order = sorted(range(count), key=lambda index: int(f"{index:05b}"[::-1], 2))
    return [last * index / max(1, count - 1) for index in order]


def _in_pixels(marks: Watermarks, agrees: bool | None, of_manifest: bool) -> str:
    """A line on the watermark; empty where there is none."""
    if not marks.named:
        return ""
    whose = {
        None: "",
        True: f", of the clip of the {'manifest' if of_manifest else 'workspace'}",
        False: f", of another clip than the {'manifest' if of_manifest else 'workspace'} has",
    }[agrees]
    count = len(marks.pieces)
    where = (
        f"{marks.marked} of {count} pieces read"
        if marks.marked
        else f"the {count} pieces read together, in none by itself"
    )
    return f"\n  watermark in {where}{whose}: {marks.named}"


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
        unsearched = " It has no image that could be searched for a watermark." if watermark == NOT_SEARCHED else ""
        return f"{path}: no mark of SyncTalk.{other}{unsearched}"
    made, likeness = manifest.created, manifest.likeness
    is_speech = made.get("action") == "c2pa.opened"
    what = (
        "the audio that a synthetic likeness speaks, from SyncTalk"
        if is_speech
        else "a synthetic likeness made with SyncTalk"
    )
    lines = [f"{path}: {what}, {_wholeness(manifest)}"]
    if made:
        head = likeness.get("head", {})
        kind = f", head {head['kind']} ({head['checkpoint']})" if head else ""
        program = likeness.get("program", {})
        earlier = "head over footage" if "composite" in str(made.get("digitalSourceType")) else "head alone"
        content = likeness.get("content", earlier)
        lines.append(f"  made {made.get('when')}, {content}{kind}, version {program.get('version', '?')}")
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
