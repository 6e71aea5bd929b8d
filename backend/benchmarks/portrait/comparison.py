"""One clip and one of its heads: every row is composed of the same rendered frames and compared with the same true ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...delivery.footage import WorkingFrames
from ...evaluation.evaluate import Evaluation, FramePair, evaluate
from ...evaluation.metrics import border_band
from ...evaluation.seam import Contour, Seam, seam
from ...evaluation.sharpness import mean_sharpness, sharpness
from ...evaluation.steadiness import optical_flow, warping_error
from ...portrait_sync.placed_head import PlacedHead
from ...portrait_sync.portrait import Portrait
from ...progress import Reporter
from ...workspace.images import read_image, write_image
from ...workspace.store import Workspace
from ..gaussians.heads import TrainedHead
from ..gaussians.timing import in_turns
from .rows import ALONE

FRAME_FIGURES = ("psnr", "psnr_edge", "ssim", "ms_ssim", "lpips")
"""What counts more than the head: none of a head without surroundings."""
HEAD_FIGURES = ("psnr_head", "psnr_mouth", "lmd_px", "lip_amplitude")
_INSIDE = 127
_HEAD, _HAIR, _BODY = range(3)
TIMED_FRAMES = 6
REPEATED = 0.25
"""Grey levels, below which a frame repeats the one before, as in a source whose rate was raised. A mouth that the audio drives
speaks on there, which is no flicker; a head that does what the frames do must not move."""


@dataclass
class Composed:
    """One row over all frames.

    Attributes:
        folder: its images, `%06d.png`.
        warping: grey levels, by frame; not of a frame whose neighbour before is missing.
    """

    folder: Path
    seams: dict[int, Seam] = field(default_factory=dict)
    sharpness: list[dict[str, float]] = field(default_factory=list)
    warping: dict[int, float] = field(default_factory=dict)


@dataclass
class HeldOut:
    """The held-out frames of a clip, drawn by one head.

    Attributes:
        frames: their numbers, the face tracked in each.
        blendshapes: (N, 52) of the clip's frames, which drive it.
        tracked: whether they are the frames' own.
        conditions: (N, …) the same as the renderer takes them.
    """

    workspace: Workspace
    head: TrainedHead
    frames: np.ndarray
    size: int
    blendshapes: np.ndarray
    conditions: np.ndarray
    tracked: bool

    def placed(self, index: int) -> PlacedHead:
        """The head of one frame, in the footage's pose."""
        camera, pose = self.head.track.camera.scaled(self.size, self.size), self.head.track.head_to_camera[index]
        rgba = self.head.renderer.render(camera, pose, self.conditions[index]).rgba
        return PlacedHead(rgba, index, camera, pose, self.blendshapes[index])


def measure(
    held: HeldOut, portraits: Mapping[str, Portrait], work: Path, reporter: Reporter
) -> tuple[dict[str, Any], dict[str, Composed], dict[str, Evaluation]]:
    """Figures by row, what they are of, and how the rows compare with the truth."""
    composed, real = _compose(held, portraits, work, reporter)
    found: dict[str, Evaluation] = {}
    figures: dict[str, Any] = {}
    for name, row in composed.items():
        reporter.progress("comparing", len(found), len(composed), name)
        found[name] = evaluate(_pairs(held, row))
        figures[name] = _figures(name, row, found[name], real)
    return figures, composed, found


def milliseconds(held: HeldOut, portraits: Mapping[str, Portrait]) -> dict[str, Any]:
    """Of rendering a frame, and of every row's composing it, in turns in this process; images of the clip are in memory."""
    frames = held.frames[np.unique(np.linspace(0, len(held.frames) - 1, TIMED_FRAMES).astype(int))]
    heads = {}
    for index in frames.tolist():
        placed = held.placed(index)
        heads[index] = PlacedHead(placed.rgba.copy(), index, placed.camera, placed.head_to_camera, placed.blendshapes)
        for portrait in portraits.values():
            portrait.compose(heads[index])  # reads what it needs
    draws = {
        name: lambda index, portrait=portrait: portrait.compose(heads[index]) for name, portrait in portraits.items()
    }
    times = in_turns({"rendering": held.placed, **draws}, frames)
    return {name: spread.to_json() for name, spread in times.items()}


def _compose(
    held: HeldOut, portraits: Mapping[str, Portrait], work: Path, reporter: Reporter
) -> tuple[dict[str, Composed], dict[int, float]]:
    """All rows, with what is measured against the true frame's neighbours and contour; and the true warping errors."""
    images = WorkingFrames(held.workspace, held.size)
    landmarks = images.to_image(held.workspace.head_track().landmarks_px)
    rows = {name: Composed(work / f"row-{number}") for number, name in enumerate(portraits)}
    real: dict[int, float] = {}
    shown: dict[str, np.ndarray] = {}
    before: tuple[int, np.ndarray, np.ndarray] | None = None
    for done, index in enumerate(held.frames.tolist(), 1):
        truth, placed = images.frame(index), held.placed(index)
        head, hair, body = (images.matte(index, channel) for channel in (_HEAD, _HAIR, _BODY))
        contour, inside = Contour.of(head), head > _INSIDE
        around = inside | border_band(inside)
        motion = None
        if before is not None and before[0] == index - 1:
            flow, known = optical_flow(truth, before[1])
            motion = flow, (around | before[2]) & known
            real[index] = warping_error(truth, before[1], *motion)
            if real[index] < REPEATED and not held.tracked:
                motion = None
        for name, portrait in portraits.items():
            image, row = portrait.compose(placed), rows[name]
            write_image(row.folder / f"{index:06d}.png", image)
            row.seams[index] = seam(image, truth, contour, hair, body)
            row.sharpness.append(sharpness(image, truth, landmarks[index], hair))
            if motion is not None:
                row.warping[index] = warping_error(image, shown[name], *motion)
            shown[name] = image
        before = index, truth, around
        reporter.progress("composing", done, len(held.frames), held.workspace.root.name)
    return rows, real


def _pairs(held: HeldOut, row: Composed) -> Iterator[FramePair]:
    images = WorkingFrames(held.workspace, held.size)
    for index in held.frames.tolist():
        image = read_image(row.folder / f"{index:06d}.png")
        yield FramePair(index, image, images.frame(index), images.matte(index, _HEAD))


def _figures(name: str, row: Composed, found: Evaluation, real: Mapping[int, float]) -> dict[str, Any]:
    alone = name == ALONE
    seams = list(row.seams.values())
    parts = Counter(one.worst_part for one in seams if one.worst_part)
    worst = max(row.seams, key=lambda index: np.nan_to_num(row.seams[index].worst))
    return {
        **{key: None if alone else found.figures[key] for key in FRAME_FIGURES},
        **{key: found.figures[key] for key in HEAD_FIGURES},
        "sharpness": mean_sharpness(row.sharpness),
        "seam": None
        if alone
        else {
            **{key: _mean([getattr(one, key) for one in seams]) for key in ("ratio", "hair", "jaw", "worst")},
            "worst_part": parts.most_common(1)[0][0] if parts else None,
            "worst_frame": worst,
            "worst_px": [round(place) for place in row.seams[worst].worst_px] if row.seams[worst].worst_part else None,
        },
        "steadiness": None if alone else _ratio(row.warping, real),
    }


def _ratio(warping: Mapping[int, float], real: Mapping[int, float]) -> float | None:
    """The warping error over that of the true frames; None without neighbours or without any change."""
    drawn, true = (np.array([values[index] for index in warping]) for values in (warping, real))
    known = np.isfinite(drawn) & np.isfinite(true)
    total = float(true[known].sum())
    return round(float(drawn[known].sum()) / total, 3) if total > 0 else None


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return round(float(np.mean(known)), 3) if known else None
