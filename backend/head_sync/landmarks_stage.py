"""Stage `landmarks`: the 478 landmarks of the subject's face in every working frame, into `landmarks.npz`."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FaceError, SyncTalkError, WorkspaceError
from ..progress import Reporter
from ..protocol import BLENDSHAPE_NAMES, Stage
from ..workspace.files import key_of, read_arrays, write_arrays
from ..workspace.intervals import intervals
from ..workspace.landmarks import COUNT
from ..workspace.shapes import Bool, Float
from ..workspace.store import Workspace
from .landmarks import Face, FaceLandmarker, choose_face, landmarker_source, open_landmarker

STAGE = Stage.LANDMARKS
VERSION = 2
SAVE_EVERY = 200
"""Frames between two saves: a kill costs at most these, about two seconds of work."""

BLOCK = 100
"""Frames that a landmarker with memory sees one after the other; blocks are searched at the same time."""

TRACK_LOST_S = 1.0
"""Time without the face after which a face anywhere may be the subject's again (after a cut, or a return)."""


@dataclass
class Landmarks:
    """Landmarks of N frames; see `landmarks.npz` in docs/workspace.md. The first `done` frames are filled in; only the
    task gives `scores`."""

    points_px: Float[np.ndarray, "n 478 2"]
    depth: Float[np.ndarray, "n 478"]
    detected: Bool[np.ndarray, " n"]
    scores: Float[np.ndarray, "s 52"]
    source: str
    done: int = 0

    @classmethod
    def empty(cls, frames: int, source: str) -> Landmarks:
        return cls(
            np.zeros((frames, COUNT, 2), np.float32),
            np.zeros((frames, COUNT), np.float32),
            np.zeros(frames, bool),
            np.zeros((frames if source == "task" else 0, len(BLENDSHAPE_NAMES)), np.float32),
            source,
        )

    @classmethod
    def read(cls, path: Path) -> Landmarks:
        """Read `landmarks.npz`.

        Raises:
            WorkspaceError: missing or damaged.
        """
        data = read_arrays(path)
        try:
            return cls(
                data["landmarks_px"],
                data["depth"],
                data["detected"],
                data["scores"],
                str(data["source"]),
                int(data["done"]),
            )
        except KeyError as error:
            raise WorkspaceError(f"{path} is damaged ({error} is missing): delete it and run process again.") from error

    def write(self, path: Path) -> None:
        """Write the frames that are done."""
        write_arrays(
            path,
            landmarks_px=self.points_px[: self.done],
            depth=self.depth[: self.done],
            detected=self.detected[: self.done],
            scores=self.scores[: self.done],
            source=self.source,
            done=self.done,
        )

    def put(self, frame: int, face: Face | None) -> None:
        """Store the face of `frame` (None: not found)."""
        if face is not None:
            self.points_px[frame], self.depth[frame], self.detected[frame] = face.points_px, face.depth, True
            if len(self.scores):
                self.scores[frame] = face.scores
        self.done = frame + 1

    def face(self, frame: int) -> Face | None:
        """The face of `frame`."""
        return Face(self.points_px[frame], self.depth[frame]) if self.detected[frame] else None


def run(workspace: Workspace, reporter: Reporter, landmarker: str = "auto") -> None:
    """Find the landmarks of every working frame and write `landmarks.npz`.

    Args:
        landmarker: `task`, `mesh` or `auto`, as `open_landmarker` takes it.

    Raises:
        FaceError: no frame shows a face.
        ModelError: the landmarker's file is missing or damaged.
        Cancelled: the finished frames are kept for the next run.
    """
    workspace.require("media")
    source = landmarker_source(landmarker)
    key = key_of(STAGE, VERSION, workspace.subject.stages["media"], source, workspace.subject.frames)
    path = workspace.root / "landmarks.npz"
    if workspace.stage_is_done(STAGE, key) and path.exists():
        return
    partial_path = workspace.root / "landmarks.partial.npz"
    frames = workspace.subject.frames
    found = Landmarks.empty(frames, source)
    if workspace.stage_begins(STAGE, key):
        found = _resume(partial_path, found)

    opened = open_landmarker(source)
    try:
        _detect_all(workspace, opened, found, partial_path, reporter)
    finally:
        opened.close()
        if found.done < frames:
            with contextlib.suppress(SyncTalkError):  # the first error is the one to report
                found.write(partial_path)

    if not found.detected.any():
        raise FaceError(
            f"No face was found in any of the {frames} frames of {workspace.subject.source or workspace.root}: "
            "choose a video that shows one face from the front."
        )
    if not found.detected.all():
        reporter.warning(_describe_gaps(found.detected, workspace.subject.fps))
    found.write(path)
    workspace.stage_ends(STAGE, key)
    with contextlib.suppress(OSError):
        partial_path.unlink()


def _resume(path: Path, empty: Landmarks) -> Landmarks:
    """Result of an interrupted run, or `empty` where there is none that can be used."""
    if not path.exists():
        return empty
    try:
        saved = Landmarks.read(path)
    except WorkspaceError:
        return empty
    if saved.source != empty.source or not len(saved.detected) == saved.done <= len(empty.detected):
        return empty
    for name in ("points_px", "depth", "detected", "scores"):
        part = getattr(saved, name)
        getattr(empty, name)[: len(part)] = part
    empty.done = saved.done
    return empty


def _detect_all(
    workspace: Workspace, landmarker: FaceLandmarker, found: Landmarks, partial_path: Path, reporter: Reporter
) -> None:
    frames, begin = len(found.detected), found.done
    last, missed = _last_face(found)
    lost = round(TRACK_LOST_S * workspace.subject.fps)
    with contextlib.closing(_detect(workspace, landmarker, begin, frames)) as detected:
        for frame, faces in enumerate(detected, begin):
            reporter.progress(STAGE, frame, frames)
            face = choose_face(faces, last if missed < lost else None)
            last, missed = (last, missed + 1) if face is None else (face, 0)
            found.put(frame, face)
            if found.done % SAVE_EVERY == 0 and found.done < frames:
                found.write(partial_path)
    reporter.progress(STAGE, frames, frames)


def _parts(first: int, end: int, warm_up: int) -> list[range]:
    """Frames `first` to `end` (excluded) in parts that can be searched at the same time: single ones by a landmarker without memory,
    else blocks, the same ones whichever frame is the first."""
    size = BLOCK if warm_up else 1
    starts = [first, *range(first - first % size + size, end, size)]
    return [range(*ends) for ends in itertools.pairwise([*starts, end])] if first < end else []


def _detect(
    workspace: Workspace, landmarker: FaceLandmarker, first: int, end: int
) -> Generator[list[Face], None, None]:
    """The faces of frames `first` to `end` (excluded), in order, by a landmarker a core; each sees `warm_up` frames before a part."""
    parts = _parts(first, end, landmarker.warm_up)
    threads = max(1, min(4, os.cpu_count() or 1, len(parts)))
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        idle: queue.SimpleQueue[FaceLandmarker] = queue.SimpleQueue()
        idle.put(landmarker)
        for _ in range(threads - 1):
            idle.put(stack.enter_context(contextlib.closing(open_landmarker(landmarker.source))))

        def detect(part: range, found: queue.SimpleQueue[list[Face] | Exception]) -> None:
            own = idle.get()
            try:
                for frame in range(max(0, part.start - own.warm_up), part.stop):
                    if stop.is_set():
                        return
                    faces = own.detect(workspace.read_frame(frame))
                    if frame >= part.start:
                        found.put(faces)
            except Exception as error:  # raised in the caller's thread
                found.put(error)
            finally:
                idle.put(own)

        pool = stack.enter_context(ThreadPoolExecutor(threads, "landmarks"))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        stack.callback(stop.set)
        ahead: deque[tuple[range, queue.SimpleQueue[list[Face] | Exception]]] = deque()
        waiting = iter(parts)
        while True:
            while len(ahead) < 2 * threads and (part := next(waiting, None)) is not None:
                ahead.append((part, queue.SimpleQueue()))
                pool.submit(detect, *ahead[-1])
            if not ahead:
                return
            part, found = ahead.popleft()
            for _ in part:
                faces = found.get()
                if isinstance(faces, Exception):
                    raise faces
                yield faces


def _last_face(found: Landmarks) -> tuple[Face | None, int]:
    """The last face among the finished frames, and how many frames ago it was."""
    seen = np.flatnonzero(found.detected[: found.done])
    return (found.face(seen[-1]), found.done - 1 - int(seen[-1])) if len(seen) else (None, found.done)


def _describe_gaps(detected: Bool[np.ndarray, " n"], fps: float) -> str:
    """Warning of frames without a face."""
    gaps = intervals(~detected)
    begin, end = max(gaps, key=lambda gap: gap[1] - gap[0])
    others = f" and {len(gaps) - 1} shorter gaps" if len(gaps) > 1 else ""
    return (
        f"The face is lost in {int((~detected).sum())} of {len(detected)} frames, longest from "
        f"{begin / fps:.1f} s to {end / fps:.1f} s{others}: these frames are interpolated and left out of "
        "training."
    )
