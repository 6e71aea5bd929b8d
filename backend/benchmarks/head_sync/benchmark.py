"""`bench head-sync`: how exact, how steady and how dear poses are, by the methods there are, on one clip or several."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from threadpoolctl import threadpool_limits

from ...actor import SAMPLE
from ...commands.option import option
from ...commands.process import KEYPOINTS, LANDMARKERS
from ...evaluation.tracking.measures import (
    SKULL_OUTLINE,
    nods,
    pose_error,
    rotation_jitter_deg,
    skull_mask,
    stabilized_residual,
)
from ...evaluation.tracking.stabilized_view import StabilizedView
from ...head_sync import landmarks_stage
from ...head_sync.bundle_adjustment import Prior, refine_points, residuals_px
from ...head_sync.cuts import find_cuts
from ...head_sync.face_geometry import RIGID
from ...head_sync.head_motion_tracker import (
    SHAPE_SIGMA_M,
    HeadMotion,
    average_shape,
    neutral_face,
    track_head_motion,
    weak_perspective_poses,
)
from ...head_sync.head_points_tracker import HeadPoints, track_head_points
from ...head_sync.landmarks import TASK_FILE
from ...head_sync.landmarks_stage import Landmarks
from ...head_sync.stabilizer import stabilize
from ...head_sync.stage import expected_focal, principal_px, read_grey
from ...media import stage as media_stage
from ...models import find
from ...progress import Reporter
from ...workspace.camera import PIXEL_CENTRE
from ...workspace.files import read_arrays
from ...workspace.poses import make_poses, to_camera
from ...workspace.store import Workspace
from .. import pages
from .plots import write_cost, write_turns

LOOKED_AT = 200
"""Frames, spread over the clip, that the residual is measured on."""


@dataclass
class Clip:
    """A clip of N frames with its landmarks. truth: (N, 4, 4) and the focal length in pixels, where they are known."""

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
        """A picture in grey; those of a repeated clip begin again."""
        return read_grey(self.workspace.frame_path(frame % self.workspace.subject.frames))

    def repeated(self, frames: int) -> Clip:
        """The clip again and again, up to so many frames."""
        marks, turn = self.landmarks, np.arange(frames) % self.frames
        landmarks = replace(
            marks, points_px=marks.points_px[turn], depth=marks.depth[turn], detected=marks.detected[turn], done=frames
        )
        return replace(self, landmarks=landmarks, cuts=find_cuts(landmarks.points_px, landmarks.detected), truth=None)


@dataclass
class Row:
    """What a method made of a clip: poses (N, 4, 4), the camera that it assumes, a surface (M, 3) to warp by."""

    method: str
    poses: np.ndarray
    focal: float
    principal: np.ndarray
    surface: np.ndarray
    reprojection_px: float
    seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Options(pages.PageOptions):
    clip: tuple[str, ...] = option("videos, or sample", ("sample",), nargs="+", metavar="V")
    landmarks: str = option("which landmark model", "auto", choices=LANDMARKERS)
    keypoints: str = option("head points", "corners", choices=KEYPOINTS)
    frames: tuple[int, ...] = option(
        "only the cost, on the clip repeated to so many frames", (), nargs="+", metavar="N"
    )
    plots: Path | None = option("write the plots of docs/head-sync.md there", None, metavar="DIR")
    work: Path | None = option("keep the clips' frames and landmarks here for the next run", None)


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """All rows of all clips.

    Raises:
        SyncTalkError: a sentence on what is wrong with a clip.
    """
    result: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-head-sync-")))
        for name in options.clip:
            clip = open_clip(name, work, options.landmarks, reporter)
            if options.frames:
                costs = [_cost(clip.repeated(count)) for count in options.frames]
                result[clip.name] = {"cost": costs}
                if options.plots:
                    write_cost(options.plots / "head-sync-cost.svg", costs)
                continue
            rows = list(by_all_methods(clip, options.keypoints))
            result[clip.name] = measure(clip, rows)
            if options.plots and clip.truth is not None:
                poses = {"ours": rows[-1].poses, rows[0].method.split("'")[0]: rows[0].poses}
                write_turns(options.plots / "head-sync-turns.svg", poses, clip.truth[0], clip.workspace.subject.fps)
    return pages.kept("head-sync", options, result, in_words(result))


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


def measure(clip: Clip, methods: list[Row]) -> dict[str, Any]:
    """The table of one clip: figures of each method, the floor of the residual, and ratios to it and to the first
    method's jitter."""
    marks = clip.landmarks
    known = marks.detected
    shown = np.flatnonzero(known)
    shown = shown[:: max(1, len(shown) // LOOKED_AT)]
    reference = int(shown[len(shown) // 2])
    skull = skull_mask(marks.points_px[reference], clip.size)

    def residual(row: Row) -> float:
        view = StabilizedView(row.poses[reference], row.surface, row.focal, row.principal, clip.size)
        return stabilized_residual(lambda frame, grey: view.take(grey, row.poses[frame]), clip.grey, skull, shown)

    floor = stabilized_residual(_by_homography(marks.points_px, reference), clip.grey, skull, shown)
    rows: list[dict[str, Any]] = []
    for row in methods:
        figures: dict[str, Any] = {"method": row.method}
        if clip.truth is not None:
            truth, focal = clip.truth
            error = pose_error(row.poses[known], truth[known])
            kept, lag = nods(row.poses, truth, clip.workspace.subject.fps)
            figures |= {
                "rotation_mean_deg": float(error.turn_deg.mean()),
                "rotation_max_deg": float(error.turn_deg.max()),
                "translation_percent": float(error.place_percent.mean()),
                "focal_percent": 100 * abs(row.focal / focal - 1),
                "nods_kept": kept,
                "lag_frames": lag,
            }
        figures |= {
            "jitter_deg": rotation_jitter_deg(row.poses, known, clip.cuts),
            "jitter_calm_deg": rotation_jitter_deg(row.poses, known, clip.cuts, median=True),
            "reprojection_px": row.reprojection_px,
            "residual": residual(row),
            "seconds": row.seconds,
            "memory_mb": row.memory_mb,
        }
        figures["jitter_ratio"] = figures["jitter_deg"] / (rows[0]["jitter_deg"] if rows else figures["jitter_deg"])
        figures["residual_ratio"] = figures["residual"] / floor
        rows.append(figures)
    result: dict[str, Any] = {"frames": clip.frames, "size": clip.size, "residual_floor": floor, "rows": rows}
    if clip.truth is not None:
        result["true_jitter_deg"] = rotation_jitter_deg(clip.truth[0], known, clip.cuts)
    return result


def by_all_methods(clip: Clip, keypoints: str = "corners") -> Iterator[Row]:
    """MediaPipe's own matrix (where its file is), per-frame PnP, our tracker alone, and with either adjustment."""
    marks, principal = clip.landmarks, clip.principal
    known = marks.detected
    model = find(TASK_FILE)
    if model is not None:
        yield _by_mediapipe(clip, model)
    yield _by_pnp(clip)
    with _Cost() as tracking, threadpool_limits(1, "blas"):
        motion = track_head_motion(marks.points_px, marks.depth, known, principal, clip.expected_focal)
    error = residuals_px(marks.points_px[:, RIGID], motion.face[RIGID], motion.poses, motion.focal.px, principal)
    reprojection = float(np.median(np.sqrt((error[known] ** 2).mean(1))))
    surface = motion.face[RIGID]
    yield Row("tracker alone", motion.poses, motion.focal.px, principal, surface, reprojection, *tracking.figures)
    with _Cost() as finding, threadpool_limits(1, "blas"):
        points = track_head_points(clip.grey, marks.points_px, motion, principal, keypoints)
    for name, options in (
        ("+ bundle adjustment (Adam)", {"method": "adam", "smooth": False}),
        ("+ bundle adjustment, path", {}),
    ):
        yield _stabilized(clip, motion, points, name, options, tracking, finding)


def _stabilized(clip: Clip, motion: HeadMotion, points: HeadPoints, name: str, options: dict, *before: _Cost) -> Row:
    with _Cost() as adjusting, threadpool_limits(1, "blas"):
        steady = stabilize(motion, clip.landmarks.points_px, points, clip.cuts, clip.principal, **options)
    return Row(
        name,
        steady.motion.poses,
        steady.motion.focal.px,
        clip.principal,
        steady.surface_head_m,
        float(np.median(steady.reprojection_px[motion.known])),
        sum(cost.seconds for cost in (*before, adjusting)),
        max(cost.memory_mb for cost in (*before, adjusting)),
    )


def _by_mediapipe(clip: Clip, model: Path) -> Row:
    """The Face Landmarker's own matrix, each picture alone: a camera of 63 degrees of view, in its documentation's
    axes (x right, y up, z to the viewer; centimetres)."""
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    wanted = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
        running_mode=vision.RunningMode.IMAGE,
        output_facial_transformation_matrixes=True,
    )
    matrices = np.tile(np.eye(4), (clip.frames, 1, 1))
    with _Cost() as cost, vision.FaceLandmarker.create_from_options(wanted) as landmarker:
        for frame in range(clip.frames):
            picture = Image(image_format=ImageFormat.SRGB, data=clip.workspace.read_frame(frame))
            found = landmarker.detect(picture).facial_transformation_matrixes
            matrices[frame] = found[0] if found else matrices[max(frame - 1, 0)]
    turned = np.diag([1.0, -1.0, -1.0])
    scale = np.cbrt(np.linalg.det(matrices[:, :3, :3]))[:, None, None]
    poses = make_poses(turned @ (matrices[:, :3, :3] / scale) @ turned, matrices[:, :3, 3] @ turned / 100)
    focal = clip.size / 2 / float(np.tan(np.radians(31.5)))
    return _of_landmarks("MediaPipe's matrix", clip, poses, focal, np.full(2, clip.size / 2), cost)


def _by_pnp(clip: Clip) -> Row:
    """Each frame's landmarks against the clip's average face, by OpenCV's iterative PnP, with the expected focal
    length."""
    marks, known = clip.landmarks, clip.landmarks.detected
    focal, principal = clip.expected_focal, clip.principal
    camera = np.array([[focal, 0, principal[0]], [0, focal, principal[1]], [0, 0, 1]])
    with _Cost() as cost:
        shape = average_shape(marks.points_px, marks.depth, known)
        poses = np.tile(np.eye(4), (clip.frames, 1, 1))
        first = weak_perspective_poses(shape, marks.points_px[known], marks.depth[known], focal, principal)
        for frame, guess in zip(np.flatnonzero(known), first, strict=True):
            turn, place = cv2.Rodrigues(guess[:3, :3])[0], guess[:3, 3:].copy()
            seen = marks.points_px[frame, RIGID].astype(np.float64)
            cv2.solvePnP(shape[RIGID], seen, camera, None, turn, place, True, cv2.SOLVEPNP_ITERATIVE)
            poses[frame, :3, :3], poses[frame, :3, 3] = cv2.Rodrigues(turn)[0], place[:, 0]
    return _of_landmarks("per-frame PnP", clip, poses, focal, principal, cost)


def _of_landmarks(method: str, clip: Clip, poses: np.ndarray, focal: float, principal: np.ndarray, cost: _Cost) -> Row:
    """A method's row with the face that its own poses triangulate from the landmarks."""
    marks, known = clip.landmarks, clip.landmarks.detected
    shape = average_shape(marks.points_px, marks.depth, known)
    seen = marks.points_px[known][:, RIGID].astype(np.float64)
    # The average face laid into the method's own head frame: by where it has the landmarks, frame after frame.
    own = weak_perspective_poses(shape, marks.points_px[known], marks.depth[known], focal, principal)
    factor = float(np.median(poses[known, 2, 3] / own[:, 2, 3]))
    placed = to_camera(own, shape) * factor
    face = np.median((placed - poses[known, None, :3, 3]) @ poses[known, :3, :3], axis=0)
    weights = np.full(seen.shape[:2], min(1.0, np.sqrt(30 / len(seen))))
    prior = Prior(face[RIGID], np.full(len(RIGID), 1 / (factor * SHAPE_SIGMA_M)))
    rigid = refine_points(seen, weights, face[RIGID], poses[known], focal, principal, prior)
    face = neutral_face(marks.points_px, known, poses, focal, principal, shape, rigid)
    error = residuals_px(seen, face[RIGID], poses[known], focal, principal)
    reprojection = float(np.median(np.sqrt((error**2).mean(1))))
    return Row(method, poses, focal, principal, face[RIGID], reprojection, *cost.figures)


def _by_homography(landmarks_px: np.ndarray, reference: int) -> Callable[[int, np.ndarray], np.ndarray]:
    """Each frame warped by the homography of its own landmarks of forehead and nose bridge: no pose can do better by
    landmarks."""
    outlines = landmarks_px[:, SKULL_OUTLINE].astype(np.float64) - PIXEL_CENTRE

    def warp(frame: int, grey: np.ndarray) -> np.ndarray:
        to_frame = cv2.findHomography(outlines[reference], outlines[frame])[0]
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(grey, to_frame, grey.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)

    return warp


def _cost(clip: Clip) -> dict[str, Any]:
    """Seconds of tracking and adjustment after the landmarks, and the process's peak of memory."""
    marks = clip.landmarks
    with _Cost() as cost, threadpool_limits(1, "blas"):
        motion = track_head_motion(marks.points_px, marks.depth, marks.detected, clip.principal, clip.expected_focal)
        points = track_head_points(clip.grey, marks.points_px, motion, clip.principal)
        stabilize(motion, marks.points_px, points, clip.cuts, clip.principal)
    return {"frames": clip.frames, "seconds": cost.seconds, "memory_mb": cost.memory_mb}


class _Cost:
    """Seconds of a block, and the most memory that the process held in it, looked at every 20 ms."""

    seconds = 0.0
    memory_mb = 0.0

    def __enter__(self) -> _Cost:
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._begun
        self._done.set()
        self._watch.join()

    def _look(self) -> None:
        process = psutil.Process()
        while True:
            self.memory_mb = max(self.memory_mb, process.memory_info().rss / 1e6)
            if self._done.wait(0.02):
                return

    @property
    def figures(self) -> tuple[float, float]:
        return self.seconds, self.memory_mb


_COLUMNS = {
    "rotation_mean_deg": ("rot.°", 2),
    "rotation_max_deg": ("max°", 2),
    "translation_percent": ("tr.%", 2),
    "focal_percent": ("foc.%", 1),
    "nods_kept": ("nods", 2),
    "lag_frames": ("lag", 2),
    "jitter_deg": ("jitter°", 3),
    "jitter_ratio": ("ratio", 2),
    "jitter_calm_deg": ("calm°", 3),
    "reprojection_px": ("repr.px", 2),
    "residual": ("residual", 2),
    "residual_ratio": ("/floor", 2),
    "seconds": ("s", 1),
    "memory_mb": ("MB", 0),
}


def in_words(result: dict[str, Any]) -> str:
    """The tables, to be read on a terminal."""
    lines = []
    for name, table in result.items():
        if "cost" in table:
            lines.append(f"{name}, repeated")
            lines += [
                f"  {cost['frames']:6d} frames  {cost['seconds']:7.1f} s  {cost['memory_mb']:6.0f} MB"
                for cost in table["cost"]
            ]
            continue
        columns = [column for column in _COLUMNS if column in table["rows"][0]]
        true = f", true jitter {table['true_jitter_deg']:.3f}°" if "true_jitter_deg" in table else ""
        lines.append(
            f"{name}: {table['frames']} frames of {table['size']} px, residual's floor {table['residual_floor']:.2f}{true}"
        )
        lines.append(f"  {'':28}" + "".join(f"{_COLUMNS[column][0]:>9}" for column in columns))
        for row in table["rows"]:
            cells = "".join(f"{row[column]:9.{_COLUMNS[column][1]}f}" for column in columns)
            lines.append(f"  {row['method']:28}{cells}")
    return "\n".join(lines)
