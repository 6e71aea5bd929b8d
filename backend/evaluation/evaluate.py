"""Predicted against true frames: the figures of `evaluate`, and what the report shows of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..errors import WorkspaceError
from ..workspace.arrays import correlation
from ..workspace.landmarks import LIPS, lip_opening
from .landmarks import box_around, lip_reader
from .metrics import border_band, change_error, landmark_distance, ms_ssim, psnr, range_ratio, ssim

_MATTE_INSIDE = 127
_MOUTH_MARGIN = 0.35
_KEPT_CANDIDATES = 48
"""More frames than a report shows, to spread those it shows over a clip of any length."""
_WORST = 6
_WORST_APART_S = 0.5
"""Time between two of the worst, to keep one bad moment from filling the list."""


class Pair(Protocol):
    """A predicted and a true frame, (S, S, 3) uint8 RGB; `head` is the matte (S, S) uint8 of the true head, or None."""

    @property
    def index(self) -> int: ...
    @property
    def predicted(self) -> np.ndarray: ...
    @property
    def truth(self) -> np.ndarray: ...
    @property
    def head(self) -> np.ndarray | None: ...


@dataclass(frozen=True)
class FramePair:
    """A `Pair` made of two files or images."""

    index: int
    predicted: np.ndarray
    truth: np.ndarray
    head: np.ndarray | None = None


@dataclass(frozen=True)
class WorstFrame:
    """A frame that came out badly, and its PSNR inside the head, or of the full frame where there is no matte."""

    pair: FramePair
    psnr: float


@dataclass(frozen=True)
class MeanImages:
    """Means over all frames at their own pixels: nothing is aligned.

    Attributes:
        truth, predicted: (H, W, 3), grey levels of 255.
        error: (H, W), mean absolute difference of the channels, grey levels.
    """

    truth: np.ndarray
    predicted: np.ndarray
    error: np.ndarray


@dataclass
class Evaluation:
    """Figures over all frames, their course, and some of the frames.

    Attributes:
        index: (N) frame numbers.
        psnr, psnr_head, psnr_mouth, psnr_edge: (N) decibels; NaN where there is nothing to compare.
        ssim, ms_ssim: (N) up to 1.
        lpips: (N) 0 or more; NaN without the weights.
        change_error: (N) grey levels, against the frame before; NaN where that was not compared or has no matte.
        landmarks_predicted, landmarks_truth: (N, 478, 2) pixels, NaN where no face was found.
        size: width and height of the images, pixels.
        fps: frames a second, for times.
        landmarks_source: `mesh` or `task`.
        means: mean images and mean error.
        samples: frames spread over the clip, for a contact sheet.
        worst: the worst first, half a second or more from each other.
    """

    index: np.ndarray
    psnr: np.ndarray
    psnr_head: np.ndarray
    psnr_mouth: np.ndarray
    psnr_edge: np.ndarray
    ssim: np.ndarray
    ms_ssim: np.ndarray
    lpips: np.ndarray
    change_error: np.ndarray
    landmarks_predicted: np.ndarray
    landmarks_truth: np.ndarray
    size: tuple[int, int]
    fps: float
    landmarks_source: str
    means: MeanImages
    samples: list[FramePair] = field(default_factory=list)
    worst: list[WorstFrame] = field(default_factory=list)

    @property
    def lmd_px(self) -> np.ndarray:
        """(N) landmark distance of the lips, pixels."""
        return landmark_distance(self.landmarks_predicted, self.landmarks_truth)

    @property
    def figures(self) -> dict[str, Any]:
        """What `evaluate --json` prints; None where nothing could be measured."""
        lips = lip_opening(self.landmarks_predicted), lip_opening(self.landmarks_truth)
        seen = np.isfinite(lips[0]) & np.isfinite(lips[1])
        spread = np.std(lips[1][seen]) if seen.any() else 0.0
        return {
            "frames": len(self.index),
            "width": self.size[0],
            "height": self.size[1],
            "psnr": _mean_decibels(self.psnr),
            "psnr_head": _mean_decibels(self.psnr_head),
            "psnr_mouth": _mean_decibels(self.psnr_mouth),
            "psnr_edge": _mean_decibels(self.psnr_edge),
            "ssim": _mean(self.ssim, 4),
            "ms_ssim": _mean(self.ms_ssim, 4),
            "lpips": _mean(self.lpips, 4),
            "lmd_px": _mean(self.lmd_px),
            "lip_correlation": _number(float(correlation(*lips))),
            "lip_amplitude": _number(float(np.std(lips[0][seen]) / spread)) if spread > 1e-9 else None,
            "lip_range": _number(range_ratio(*lips)),
            "temporal_steadiness": _mean(self.change_error),
            "frames_without_face": int((~seen).sum()),
            "landmarks": self.landmarks_source,
        }


def evaluate(pairs: Iterable[Pair], landmarks: str = "auto", fps: float = 25.0) -> Evaluation:
    """Compare predicted with true frames, one after another; memory does not grow with their number.

    Args:
        pairs: in order of time, all of one size.
        landmarks: what reads the lips, as `lip_reader` takes it.
        fps: frames a second, for times and for what is a time.

    Raises:
        WorkspaceError: there is no pair.
        ModelError: the weights of LPIPS are there and damaged; the landmarks asked for are not here.
    """
    rows: list[dict[str, float]] = []
    indices: list[int] = []
    points: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    kept = _KeptFrames(fps)
    lpips = _perceptual_distance()
    before: FramePair | None = None
    with lip_reader(landmarks) as (landmarker, read_predicted), lip_reader(landmarks) as (_, read_truth):
        for given in pairs:
            pair = FramePair(given.index, given.predicted.copy(), given.truth.copy(), given.head)
            points[0].append(read_predicted(pair.predicted))
            points[1].append(read_truth(pair.truth))
            row = _quality(pair, points[1][-1])
            row["lpips"] = lpips(pair.predicted, pair.truth)
            row["change_error"] = _change_error(pair, before)
            rows.append(row)
            indices.append(pair.index)
            kept.add(pair, row["psnr"] if math.isnan(row["psnr_head"]) else row["psnr_head"])
            before = pair
        source = landmarker.source
    if before is None:
        raise WorkspaceError(
            "There are no frames to compare, because no held-out frame shows a face: give a longer clip."
        )
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Evaluation(
        index=np.array(indices),
        landmarks_predicted=np.array(points[0]),
        landmarks_truth=np.array(points[1]),
        size=(before.truth.shape[1], before.truth.shape[0]),
        fps=fps,
        landmarks_source=source,
        means=kept.means,
        samples=kept.samples,
        worst=kept.worst,
        **columns,
    )


def _quality(pair: FramePair, true_points: np.ndarray) -> dict[str, float]:
    """Figures of one frame that need no other."""
    predicted, truth = pair.predicted, pair.truth
    head = None if pair.head is None else pair.head > _MATTE_INSIDE
    mouth = box_around(true_points[list(LIPS)], (truth.shape[1], truth.shape[0]), _MOUTH_MARGIN)
    return {
        "psnr": psnr(predicted, truth),
        "psnr_head": math.nan if head is None else psnr(predicted, truth, head),
        "psnr_mouth": math.nan if mouth is None else psnr(predicted[mouth], truth[mouth]),
        "psnr_edge": math.nan if head is None else psnr(predicted, truth, border_band(head)),
        "ssim": ssim(predicted, truth),
        "ms_ssim": ms_ssim(predicted, truth),
    }


def _change_error(pair: FramePair, before: FramePair | None) -> float:
    """`change_error` inside the head of either frame; NaN unless `before` is the very frame before, with a matte."""
    if before is None or before.index != pair.index - 1 or pair.head is None or before.head is None:
        return math.nan
    head = np.maximum(pair.head, before.head) > _MATTE_INSIDE
    return change_error(pair.predicted, pair.truth, before.predicted, before.truth, head)


def _perceptual_distance() -> Callable[[np.ndarray, np.ndarray], float]:
    """LPIPS of two images, (H, W, 3) uint8; a function that gives NaN where its weights are not installed."""
    import torch

    from .lpips import Lpips

    network = Lpips.load()

    def distance(predicted: np.ndarray, truth: np.ndarray) -> float:
        if network is None or min(truth.shape[:2]) < Lpips.smallest:
            return math.nan
        both = np.stack((predicted, truth)).transpose(0, 3, 1, 2).astype(np.float32) / 255
        one, other = torch.from_numpy(both).split(1)
        with torch.no_grad():
            return float(network(one, other))

    return distance


class _KeptFrames:
    """The frames that a report shows, kept while all are compared."""

    def __init__(self, fps: float) -> None:
        self.samples: list[FramePair] = []
        self._apart = max(1, int(_WORST_APART_S * fps))
        self._every = 1
        self._count = 0
        self._sums: list[np.ndarray] = []
        self._worst: dict[int, WorstFrame] = {}

    def add(self, pair: FramePair, decibels: float) -> None:
        error = np.abs(pair.predicted.astype(np.float32) - pair.truth).mean(axis=2)
        shown = (pair.truth, pair.predicted, error)
        if not self._sums:
            self._sums = [np.zeros(image.shape) for image in shown]
        for total, image in zip(self._sums, shown, strict=True):
            total += image
        if self._count % self._every == 0:
            self.samples.append(pair)
            if len(self.samples) == _KEPT_CANDIDATES:
                self.samples, self._every = self.samples[::2], self._every * 2
        self._count += 1
        interval = pair.index // self._apart
        if interval not in self._worst or decibels < self._worst[interval].psnr:
            self._worst[interval] = WorstFrame(pair, decibels)
        if len(self._worst) > 3 * _WORST:  # each that is taken can rule out one neighbour on either side
            del self._worst[max(self._worst, key=lambda at: self._worst[at].psnr)]

    @property
    def means(self) -> MeanImages:
        return MeanImages(*(total / self._count for total in self._sums))

    @property
    def worst(self) -> list[WorstFrame]:
        chosen: list[WorstFrame] = []
        for frame in sorted(self._worst.values(), key=lambda frame: frame.psnr):
            apart = all(abs(frame.pair.index - other.pair.index) >= self._apart for other in chosen)
            if apart and len(chosen) < _WORST:
                chosen.append(frame)
        return chosen


def _mean_decibels(values: np.ndarray) -> float | None:
    """Mean over frames; equal images (infinite PSNR) count as 100 dB: JSON has no infinity."""
    return _mean(np.minimum(values, 100.0))


def _mean(values: np.ndarray, digits: int = 3) -> float | None:
    """Mean over frames that could be measured."""
    values = values[~np.isnan(values)]
    return round(float(values.mean()), digits) if len(values) else None


def _number(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
