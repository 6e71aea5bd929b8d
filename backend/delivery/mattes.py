"""The parts of a clip's frames as sequences of grey images."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from ..errors import storage_error
from ..portrait_sync.parts import PARTS, VERSION, PartSplitter
from ..portrait_sync.stage import each_frame
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.files import atomic_path, write_json
from ..workspace.images import encode_png
from ..workspace.store import Workspace
from .marking import UNMARKED, Marking

_RECORD = "mattes.json"
_LEARNING_SHARE = 0.1
"""Of the progress, for finding where the neck is."""


def write_mattes(workspace: Workspace, out: Path, reporter: Reporter, marking: Marking = UNMARKED) -> None:
    """Write `out/PART/%06d.png`, 8 bit grey, of the working frames' size, and where these lie in the source: `mattes.json`.

    In each pixel the parts sum to 255. Resumes where it was stopped; images of another clip or an earlier tracking are replaced,
    and those that another certificate, or none, signed.

    Raises:
        WorkspaceError: the workspace is not processed, or its files are missing or damaged.
        StorageError: the disk is full or the place is read-only.
        ProvenanceError: an image could not be signed; those before it are complete.
        Cancelled: the user asked to stop; finished frames are kept.
    """
    subject = workspace.subject
    splitter = PartSplitter(workspace)
    record = {
        "clip": subject.source_sha256,
        "stage": subject.stages[Stage.PORTRAIT_SYNC].get("key"),
        "version": VERSION,
        "networks": splitter.networks,
        "parts": list(PARTS),
        "frames": subject.frames,
        "fps": subject.fps,
        "size": subject.size,
        "place": dataclasses.asdict(subject.place),
        "source_size": list(subject.source_size),
        "marking": list(marking.key),
    }
    try:
        for part in PARTS:
            (out / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, out) from error
    if _read_record(out) != record:
        for part in PARTS:
            for path in (out / part).glob("[0-9]" * 6 + ".png"):
                path.unlink()
        write_json(out / _RECORD, record)
    count = subject.frames
    missing = [index for index in range(count) if not all(_path(out, part, index).exists() for part in PARTS)]
    if not missing:
        return
    before = count - len(missing)
    learning = _LEARNING_SHARE * len(missing)

    def work(index: int) -> None:
        for part, matte in zip(PARTS, splitter.split(index), strict=True):
            path = _path(out, part, index)
            with atomic_path(path) as temporary:
                temporary.write_bytes(encode_png(matte[..., None]))
                marking.sign(temporary, path.name)

    def learned(done: int, total: int) -> None:
        reporter.progress(Stage.MATTES, before + learning * done / total, count)

    def report(done: int) -> None:
        written = learning + (len(missing) - learning) * done / len(missing)
        reporter.progress(Stage.MATTES, before + written, count)

    splitter.learn(learned)
    each_frame(work, missing, report)
    reporter.progress(Stage.MATTES, count, count)


def _path(out: Path, part: str, index: int) -> Path:
    return out / part / f"{index:06d}.png"


def _read_record(out: Path) -> object:
    try:
        return json.loads((out / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
