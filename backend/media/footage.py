"""The full frame of the clip at the subject's frame rate, for Blender: needed where the working frame is a part of it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from fractions import Fraction
from pathlib import Path

from ..errors import MediaError
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.files import write_json
from ..workspace.frame_rate import UNSTATED
from ..workspace.images import write_image
from ..workspace.store import Workspace
from ..workspace.subject import AS_STORED, FrameCorrections
from .decode import FrameReader
from .guard import guarded

_MARKER = "footage.json"


def write_footage(workspace: Workspace, reporter: Reporter) -> Path:
    """Write `footage/%06d.jpg`, the upright source images of the workspace's frames, unless they are there.

    Resumes where it was stopped. Nothing is written when the working frames are the full frame already.

    Returns:
        The pattern of the images.

    Raises:
        MediaError: the clip is no longer there, or has fewer frames than were read from it before.
        StorageError: the disk is full or the place is read-only.
        Cancelled: the user asked to stop.
    """
    subject = workspace.subject
    workspace.require("media")
    if subject.is_full_frame:
        return workspace.root / "frames" / "%06d.jpg"
    folder = workspace.root / "footage"
    source = Path(subject.source)
    key = {"source_sha256": subject.source_sha256, "frames": subject.frames}
    if subject.rate != UNSTATED:
        key["rate"] = [subject.rate.numerator, subject.rate.denominator]
    if subject.corrections != AS_STORED:
        key["corrections"] = dataclasses.asdict(subject.corrections)
    if _read_marker(folder) != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _MARKER, key)
    paths = [folder / f"{index:06d}.jpg" for index in range(subject.frames)]
    first = next((index for index, path in enumerate(paths) if not path.exists()), subject.frames)
    if first == subject.frames:
        return folder / "%06d.jpg"
    if not source.exists():
        raise MediaError(f"{source} is missing: restore it to that place.")
    job = (source, subject.corrections, subject.rate, paths, first)
    written = guarded(write_images, *job, reporter=reporter, about=source, folders=(workspace.root,))
    if written < subject.frames:
        raise MediaError(f"{source} ends at frame {written}, but {subject.frames} were tracked: process it again.")
    return folder / "%06d.jpg"


def write_images(
    source: Path, corrections: FrameCorrections, rate: Fraction, paths: list[Path], first: int, reporter: Reporter
) -> int:
    """Write the clip's images, corrected, at a frame rate, from frame `first` on, as many as there are paths.

    Returns:
        One more than the last frame written.
    """
    written = first
    reader = FrameReader(source, start_s=float(first / rate), corrections=corrections, rate=rate)
    for index, (_, image) in enumerate(reader, first):
        if index >= len(paths):
            break
        write_image(paths[index], image)
        written = index + 1
        reporter.progress(Stage.FOOTAGE, written, len(paths))
    return written


def _read_marker(folder: Path) -> object:
    try:
        return json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
