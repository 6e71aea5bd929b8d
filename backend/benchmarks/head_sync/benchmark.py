"""`bench head-sync`: accuracy, stability and cost of poses by several methods, on one clip or more."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...evaluation.tracking.measures import (
    SKULL_OUTLINE,
    nods,
    pose_error,
    rotation_jitter_deg,
    skull_mask,
    stabilized_residual,
)
from ...evaluation.tracking.stabilized_view import StabilizedView
from ...progress import Reporter
from ...workspace.camera import PIXEL_CENTRE
from .. import pages
from ..options import HeadSync as Options
from .clip import Clip, open_clip
from .methods import Row, by_all_methods, cost_of_tracking
from .plots import write_cost, write_turns

RESIDUAL_FRAMES = 200
"""Frames, spread over the clip, that the residual is measured on."""


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
                costs = [cost_of_tracking(clip.repeated(count)) for count in options.frames]
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


def measure(clip: Clip, methods: list[Row]) -> dict[str, Any]:
    """The table of one clip: figures of each method, the floor of the residual, and ratios to it and to the first
    method's jitter."""
    marks = clip.landmarks
    known = marks.detected
    shown = np.flatnonzero(known)
    shown = shown[:: max(1, len(shown) // RESIDUAL_FRAMES)]
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


def _by_homography(landmarks_px: np.ndarray, reference: int) -> Callable[[int, np.ndarray], np.ndarray]:
    """Each frame warped by the homography of its landmarks of forehead and nose bridge: the floor of poses by
    landmarks."""
    outlines = landmarks_px[:, SKULL_OUTLINE].astype(np.float64) - PIXEL_CENTRE

    def warp(frame: int, grey: np.ndarray) -> np.ndarray:
        to_frame = cv2.findHomography(outlines[reference], outlines[frame])[0]
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(grey, to_frame, grey.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)

    return warp


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
    """The tables for a terminal."""
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
