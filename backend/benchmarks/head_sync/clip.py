"""A clip of the benchmark with its landmarks, and what work on it costs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from ...actor import SAMPLE
from ...head_sync import landmarks_stage
from ...head_sync.cuts import find_cuts
from ...head_sync.landmarks_stage import Landmarks
from ...head_sync.stage import expected_focal, principal_px, read_grey
from ...media import stage as media_stage
from ...progress import Reporter
from ...workspace.files import read_arrays
from ...workspace.store import Workspace


@dataclass
class Clip:
    """A clip of N frames with its landmarks. truth: poses (N, 4, 4) and focal length in pixels, where known."""

    name: str
    workspace: Workspace
    landmarks: Landmarks
    principal: np.ndarray
    expected_focal: float
    cuts: np.ndarray
    truth: tuple[np.ndarray, float] | None = None

    @property
    def frames(self) -> int:
        return len(self.landmarks.detected)

    @property
    def size(self) -> int:
        return self.workspace.subject.size

    def grey(self, frame: int) -> np.ndarray:
        """Grey image of a frame; a repeated clip begins again."""
        return read_grey(self.workspace.frame_path(frame % self.workspace.subject.frames))

    def repeated(self, frames: int) -> Clip:
        """The clip repeated to that many frames."""
        marks, turn = self.landmarks, np.arange(frames) % self.frames
        landmarks = replace(
            marks, points_px=marks.points_px[turn], depth=marks.depth[turn], detected=marks.detected[turn], done=frames
        )
        return replace(self, landmarks=landmarks, cuts=find_cuts(landmarks.points_px, landmarks.detected), truth=None)


def open_clip(name: str, work: Path, landmarks: str, reporter: Reporter) -> Clip:
    """Frames and landmarks of a clip, in a workspace below `work`.

    Raises:
        SyncTalkError: the clip cannot be read or shows no face.
    """
    video = SAMPLE / "speaker.mp4" if name == "sample" else Path(name)
    workspace = Workspace.create(work / ("sample" if name == "sample" else video.stem))
    media_stage.run(workspace, reporter, video)
    landmarks_stage.run(workspace, reporter, landmarks)
    found, subject = Landmarks.read(workspace.root / "landmarks.npz"), workspace.subject
    truth = None
    if name == "sample":
        known = read_arrays(SAMPLE / "truth.npz")
        truth = known["head_to_camera"], float(known["focal_px"])
    return Clip(
        subject.name if name != "sample" else "sample",
        workspace,
        found,
        principal_px(subject),
        expected_focal(subject),
        find_cuts(found.points_px, found.detected),
        truth,
    )


class Cost:
    """Seconds of a block, and the process's peak of memory in it, sampled every 20 ms."""

    seconds = 0.0
    memory_mb = 0.0

    def __enter__(self) -> Cost:
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._watch_memory, daemon=True)
        self._watch.start()
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._begun
        self._done.set()
        self._watch.join()

    def _watch_memory(self) -> None:
        process = psutil.Process()
        while True:
            self.memory_mb = max(self.memory_mb, process.memory_info().rss / 1e6)
            if self._done.wait(0.02):
                return

    @property
    def figures(self) -> tuple[float, float]:
        return self.seconds, self.memory_mb
