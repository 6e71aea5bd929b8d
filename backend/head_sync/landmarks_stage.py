"""Stage `landmarks`: the 478 landmarks of the subject's face in every working frame, into `landmarks.npz`."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    first = max(0, begin - landmarker.warm_up)
    detect = _detect_in_parallel if landmarker.warm_up == 0 else _detect_in_turn
    for frame, faces in enumerate(detect(workspace, landmarker, first, frames), first):
        reporter.progress(STAGE, max(frame, begin), frames)
        if frame < begin:
            continue
        face = choose_face(faces, last if missed < lost else None)
        last, missed = (last, missed + 1) if face is None else (face, 0)
        found.put(frame, face)
        if found.done % SAVE_EVERY == 0 and found.done < frames:
            found.write(partial_path)
    reporter.progress(STAGE, frames, frames)


def _detect_in_turn(workspace: Workspace, landmarker: FaceLandmarker, first: int, end: int) -> Iterator[list[Face]]:
    """The faces of frames `first` to `end` (excluded), by a landmarker that must see them one after the other."""
    for _, image in read_ahead(workspace, first, end):
        yield landmarker.detect(image)


def _detect_in_parallel(workspace: Workspace, landmarker: FaceLandmarker, first: int, end: int) -> Iterator[list[Face]]:
    """The faces of frames `first` to `end` (excluded), in order, by a landmarker without memory: one a core."""
    threads = min(4, os.cpu_count() or 1)
    with contextlib.ExitStack() as stack:
        idle: queue.SimpleQueue[FaceLandmarker] = queue.SimpleQueue()
        idle.put(landmarker)
        for _ in range(threads - 1):
            idle.put(stack.enter_context(contextlib.closing(open_landmarker(landmarker.source))))

        def detect(frame: int) -> list[Face]:
            image = workspace.read_frame(frame)
            own = idle.get()
            try:
                return own.detect(image)
            finally:
                idle.put(own)

        pool = stack.enter_context(ThreadPoolExecutor(threads, "landmarks"))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        pending: deque[Future[list[Face]]] = deque()
        for frame in range(first, end):
            pending.append(pool.submit(detect, frame))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _last_face(found: Landmarks) -> tuple[Face | None, int]:
    """The last face among the finished frames, and how many frames ago it was."""
    seen = np.flatnonzero(found.detected[: found.done])
    return (found.face(seen[-1]), found.done - 1 - int(seen[-1])) if len(seen) else (None, found.done)


def read_ahead(workspace: Workspace, first: int, end: int, depth: int = 8) -> Iterator[tuple[int, np.ndarray]]:
    """Working frames `first` to `end` (excluded) in order, decoded by a thread up to `depth` frames ahead."""
    waiting: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(item: object) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def decode() -> None:
        try:
            for frame in range(first, end):
                put((frame, workspace.read_frame(frame)))
                if stop.is_set():
                    return
        except Exception as error:  # raised in the reader's thread
            put(error)

    thread = threading.Thread(target=decode, name="frame reader", daemon=True)
    thread.start()
    try:
        for _ in range(first, end):
            item = waiting.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


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
