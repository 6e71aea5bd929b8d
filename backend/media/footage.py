"""The whole picture of the clip at 25 frames a second, for Blender: needed where the working frame is a part of it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from ..errors import MediaError
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.files import write_json
from ..workspace.images import write_image
from ..workspace.store import Workspace
from ..workspace.subject import AS_STORED, FPS, FrameCorrections
from .decode import FrameReader
from .guard import guarded

_MARKER = "footage.json"


def write_footage(workspace: Workspace, reporter: Reporter) -> Path:
    """Write `footage/%06d.jpg`, the upright source pictures of the workspace's frames, unless they are there.

    Goes on where it was stopped. Nothing is written when the working frames are the whole picture already.

    Returns:
        The pattern of the pictures.

    Raises:
        MediaError: the clip is no longer there, or has fewer frames than were read from it before.
        StorageError: the disk is full or the place is read-only.
        Cancelled: the user asked to stop.
    """
    subject = workspace.subject
    workspace.require("media")
    if is_whole_picture(workspace):
        return workspace.root / "frames" / "%06d.jpg"
    folder = workspace.root / "footage"
    source = Path(subject.source)
    key = {"source_sha256": subject.source_sha256, "frames": subject.frames}
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
        raise MediaError(f"{source} is no longer there: put the clip back, its whole picture is laid under the head.")
    job = (source, subject.corrections, paths, first)
    written = guarded(write_pictures, *job, reporter=reporter, about=source, folders=(workspace.root,))
    if written < subject.frames:
        raise MediaError(f"{source} ends at frame {written}, {subject.frames} were tracked: process it again.")
    return folder / "%06d.jpg"


def write_pictures(
    source: Path, corrections: FrameCorrections, paths: list[Path], first: int, reporter: Reporter
) -> int:
    """Write the clip's pictures, corrected, from frame `first` on, as many as there are paths.

    Returns:
        One more than the last frame written.
    """
    written = first
    reader = FrameReader(source, start_s=first / FPS, corrections=corrections)
    for index, (_, picture) in enumerate(reader, first):
        if index >= len(paths):
            break
        write_image(paths[index], picture)
        written = index + 1
        reporter.progress(Stage.FOOTAGE, written, len(paths))
    return written


def is_whole_picture(workspace: Workspace) -> bool:
    """Whether the working frame is the source picture, neither cropped nor scaled."""
    subject = workspace.subject
    crop = subject.crop
    size = (subject.size, subject.size)
    return crop is not None and (crop.x, crop.y, crop.size) == (0, 0, subject.size) and subject.source_size == size


def _read_marker(folder: Path) -> object:
    try:
        return json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
