"""The stage `portrait_sync`: mattes, background and plates of a workspace (docs/portrait-sync.md)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import WorkspaceError
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.files import key_of
from ..workspace.head_track import HeadTrack
from ..workspace.heap import trim_heap
from ..workspace.images import write_image
from ..workspace.store import Workspace
from .covers.files import with_cover, write_covers
from .frame import ClipModel, split_frame
from .head_region import ear_lobes_px, smooth_landmarks
from .learn import learn_clip
from .matting import MATTED, SEGMENTED
from .model_file import model_path, read_model, write_model
from .moving_camera.camera_report import describe, shown_part
from .pixels import opencv_on_one_thread
from .plate import ALL_PARTS, PlateParts
from .segmenter import HairSegmenter, PersonSegmenter, installed_networks, matting_files, probability_of

if TYPE_CHECKING:
    from .matting_network.matter import PersonMatter

STAGE = Stage.PORTRAIT_SYNC
BACKGROUND_SHARE, COVERS_SHARE = 0.05, 0.05
"""Of the stage's progress, for the model of the clip and for the search for covers."""
REPORT_S = 0.2
"""Between two reports where no run of frames ends."""
VERSION = 12  # of the algorithm: raise it when results change, and workspaces become stale


@dataclass(frozen=True)
class TrackToCome:
    """The landmarks of a clip whose poses `head_sync` may still be finding.

    Attributes:
        landmarks_px: (N, 478, 2), and valid: (N) bool, where a face was found.
        wait: gives the head track, when it is there. Its blendshapes do not count.
    """

    landmarks_px: np.ndarray
    valid: np.ndarray
    wait: Callable[[Reporter], HeadTrack]


def stage_key(workspace: Workspace, track: HeadTrack | TrackToCome, no_covers: bool = False) -> str:
    """What the results depend on: the frames, the landmarks (but not the poses), the algorithm, whether covers are looked for, and
    which of the optional networks are there."""
    landmarks = np.ascontiguousarray(track.landmarks_px, np.float32).tobytes() + track.valid.tobytes()
    media = workspace.subject.stages.get("media", {}).get("key")
    options = ["no covers"] if no_covers else []
    return key_of(STAGE, VERSION, media, hashlib.sha256(landmarks).hexdigest(), *installed_networks(), *options)


def run(workspace: Workspace, reporter: Reporter, no_covers: bool = False, track: TrackToCome | None = None) -> None:
    """Write `mattes/`, `plate/`, `background.png` and `covers/`; an interrupted run resumes.

    The model of the clip and the covers need the landmarks alone.

    Args:
        no_covers: do not look for what covers the face.
        track: beside `head_sync` and `face_sync`, which make it; else it is read.

    Raises:
        WorkspaceError: an earlier stage is not done, or its files are missing or damaged.
        StorageError: the disk is full or read-only.
        ModelError: no segmentation network.
        Cancelled: the user asked to stop; finished frames are kept.
    """
    workspace.require("media")
    if track is None:
        workspace.require("face_sync")
        read = workspace.head_track(refined=False)
        track = TrackToCome(read.landmarks_px, read.valid, lambda _: read)
    key = stage_key(workspace, track, no_covers)
    if workspace.stage_is_done(STAGE, key):
        return
    count = workspace.subject.frames
    if len(track.valid) != count:
        raise WorkspaceError(
            f"{workspace.tracking_path} has {len(track.valid)} frames and the clip {count}: "
            "delete it and run process again."
        )
    workspace.stage_begins(STAGE, key)
    model = read_model(workspace, key)
    if model is None:  # not begun, or the results are of other inputs
        _clear(workspace)

    splitter = FrameSplitter(workspace, track)

    def is_missing(index: int) -> bool:
        return not (workspace.matte_path(index).exists() and workspace.plate_path(index).exists())

    missing = [index for index in range(count) if is_missing(index)]
    ahead = 0.0
    if model is None:
        missing, ahead = list(range(count)), (BACKGROUND_SHARE + COVERS_SHARE) * count
        reporter.progress(STAGE, 0, count)  # only of a stage that begins at 0 the time is kept

        def learning(done: int, total: int) -> None:
            share = BACKGROUND_SHARE * count * done / total
            reporter.progress(STAGE, share, count, message=f"background {100 * done // total} %")

        def searching(done: int, total: int) -> None:
            share = count * (BACKGROUND_SHARE + COVERS_SHARE * done / total)
            reporter.progress(STAGE, share, count, message=f"covers {100 * done // total} %")

        model = splitter.learn(learning)
        if not no_covers and (found := splitter.find_covers(searching)) is not None:
            reporter.warning(found)
        write_model(workspace, model, key)  # the last: with it, the run resumes with the frames
        trim_heap()  # of the sampled frames
    placed = track.wait(reporter)
    for level, text in describe(model, workspace.subject, placed.camera):
        (reporter.warning if level == "warning" else reporter.info)(text)
    lobes_px = ear_lobes_px(placed.head_to_camera, placed.focal_px, placed.principal_px)

    def work(index: int) -> None:
        mattes, plate = splitter.split(index, model, lobes_px[index])
        write_image(workspace.plate_path(index), plate)
        write_image(workspace.matte_path(index), mattes)

    runs = splitter.runs(missing)
    total = sum(map(len, runs))

    def report(done: int) -> None:
        before = max(ahead, count - total)
        reporter.progress(STAGE, before + (count - before) * done / max(total, 1), count)

    with splitter.side_by_side():
        each_run(work, runs, report)
    reporter.progress(STAGE, count, count)  # the sum of shares may fall short of it by rounding
    workspace.stage_ends(STAGE, key)


class FrameSplitter:
    """Mattes and plate of any frame of a workspace; may be used from several threads."""

    def __init__(self, workspace: Workspace, track: HeadTrack | TrackToCome) -> None:
        self._workspace = workspace
        self._landmarks, self._usable = smooth_landmarks(track.landmarks_px, track.valid, workspace.subject.fps)
        self._segment = PersonSegmenter()
        self._matter = None if workspace.subject.alpha else _installed_matter()

    def runs(self, missing: list[int]) -> list[list[int]]:
        """In which order frames are best split: those of a list one after another, lists at the same time."""
        return [[index] for index in missing] if self._matter is None else self._matter.runs(missing)

    def side_by_side(self) -> contextlib.AbstractContextManager[None]:
        """While frames are split by `each_run`."""
        return contextlib.nullcontext() if self._matter is None else self._matter.beside_others()

    def learn(self, progress: Callable[[int, int], None]) -> ClipModel:
        """The model of the clip; `progress` takes how many frames are done, and of how many."""
        read, alpha = self._workspace.read_frame, self._workspace.read_alpha
        segment = self._segment if self._matter is None else self._matter.still
        hair = HairSegmenter.installed()
        shown = shown_part(self._workspace.subject)
        return learn_clip(read, segment, self._landmarks, self._usable, progress, alpha, hair, shown)

    def split(
        self, index: int, model: ClipModel, lobes_px: np.ndarray, parts: PlateParts = ALL_PARTS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mattes (S, S, 4) and plate (S, S, 3) of a frame, uint8, as `split_frame` makes them; lobes_px: (2, 2) of `ear_lobes_px`,
        NaN where the frame has no pose."""
        frame, alpha = self._workspace.read_frame(index), self._workspace.read_alpha(index)
        trust = SEGMENTED
        if alpha is not None:
            probability = probability_of(alpha)
        elif self._matter is None:
            probability = self._segment(frame)
        else:
            probability, trust = self._matter(self._workspace.read_frame, index, len(self._usable)), MATTED
        points = self._landmarks[index] if self._usable[index] else None
        ears = lobes_px if np.isfinite(lobes_px).all() else None
        mattes, plate = split_frame(frame, model.at(index, len(frame)), probability, points, ears, alpha, parts, trust)
        cover = self._workspace.read_cover(index)
        return mattes, plate if cover is None else with_cover(plate, frame, cover)

    def find_covers(self, progress: Callable[[int, int], None]) -> str | None:
        """Write `covers/`; a sentence about what was found, None where nothing was."""
        return write_covers(self._workspace, self._landmarks, self._usable, each_frame, progress)


def _installed_matter() -> PersonMatter | None:
    if matting_files() is None:
        return None
    from .matting_network.matter import PersonMatter  # imports PyTorch

    return PersonMatter.installed()


def each_frame(work: Callable[[int], None], indices: list[int], report: Callable[[int], None]) -> None:
    """Do `work` for all indices on all cores; the first error, and a cancel raised by `report`, stop it."""
    each_run(work, [[index] for index in indices], report)


def each_run(work: Callable[[int], None], runs: list[list[int]], report: Callable[[int], None]) -> None:
    """As `each_frame`; the indices of a run one after another on one thread."""
    threads = min(8, os.cpu_count() or 1)
    report(0)
    done: list[int] = []
    stopped = threading.Event()

    def work_on(run: list[int]) -> None:
        for index in run:
            if stopped.is_set():
                return
            work(index)
            done.append(index)

    with opencv_on_one_thread(), ThreadPoolExecutor(threads) as pool:
        waiting = iter(runs)
        pending: set[Future[None]] = set()
        try:
            while True:
                while len(pending) < 2 * threads and (run := next(waiting, None)) is not None:
                    pending.add(pool.submit(work_on, run))
                if not pending:
                    return
                finished, pending = wait(pending, REPORT_S, FIRST_COMPLETED)
                for future in finished:
                    future.result()
                report(len(done))
        finally:
            stopped.set()
            for future in pending:
                future.cancel()


def _clear(workspace: Workspace) -> None:
    """Remove the results of other inputs: a resumed run must not mix them with its own."""
    for folder in (path(0).parent for path in (workspace.matte_path, workspace.plate_path, workspace.cover_path)):
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
    for path in (model_path(workspace), workspace.background_path, workspace.camera_path_file):
        path.unlink(missing_ok=True)
