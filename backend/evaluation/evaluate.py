"""Predicted against true frames: the figures of `evaluate`, and what the report shows of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import MediaError, WorkspaceError
from ..media.decode import FrameReader
from ..workspace import read_image
from .landmarks import lip_reader
from .metrics import LIPS, correlation, landmark_distance, lip_opening, psnr, ssim

_MATTE_INSIDE = 127
_MOUTH_MARGIN = 0.35
_KEPT_CANDIDATES = 48
"""More frames than a report shows, so that the ones it shows can be spread over the clip whatever its length."""


class Pair(Protocol):
    """A predicted and a true frame, (S, S, 3) uint8 RGB; `head` is the matte (S, S) uint8 of the true head, or None."""

    index: int
    predicted: np.ndarray
    truth: np.ndarray
    head: np.ndarray | None


@dataclass(frozen=True)
class FramePair:
    """A `Pair` made of two files or pictures."""

    index: int
    predicted: np.ndarray
    truth: np.ndarray
    head: np.ndarray | None = None


@dataclass
class Evaluation:
    """Figures over all frames, their course, and some of the pictures.

    Attributes:
        index: (N) frame numbers.
        psnr, psnr_head, psnr_mouth, ssim: (N), decibels and [0, 1]; NaN where there is nothing to compare.
        landmarks_predicted, landmarks_truth: (N, 478, 2) pixels, NaN where no face was found.
        samples: frames spread over the whole, for a contact sheet.
        size: side of the pictures, pixels.
        landmarks_source: `mesh` or `task`.
    """

    index: np.ndarray
    psnr: np.ndarray
    psnr_head: np.ndarray
    psnr_mouth: np.ndarray
    ssim: np.ndarray
    landmarks_predicted: np.ndarray
    landmarks_truth: np.ndarray
    size: tuple[int, int]
    landmarks_source: str
    samples: list[FramePair] = field(default_factory=list)

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
            "psnr": _mean(self.psnr),
            "psnr_head": _mean(self.psnr_head),
            "psnr_mouth": _mean(self.psnr_mouth),
            "ssim": _mean(self.ssim, 4),
            "lmd_px": _mean(self.lmd_px),
            "lip_correlation": _number(correlation(*lips)),
            "lip_amplitude": _number(float(np.std(lips[0][seen]) / spread)) if spread > 1e-9 else None,
            "frames_without_face": int((~seen).sum()),
        }


def evaluate(pairs: Iterable[Pair]) -> Evaluation:
    """Compare predicted with true frames, one after another; memory does not grow with the pictures' number.

    Args:
        pairs: in order of time, all of one size.

    Raises:
        WorkspaceError: there is no pair.
    """
    rows: list[tuple[float, ...]] = []
    indices: list[int] = []
    points: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    samples: list[FramePair] = []
    every = 1
    size = (0, 0)
    with lip_reader() as (landmarker, read_predicted), lip_reader() as (_, read_truth):
        for number, pair in enumerate(pairs):
            size = pair.truth.shape[1::-1]
            predicted_points, true_points = read_predicted(pair.predicted), read_truth(pair.truth)
            head = None if pair.head is None else pair.head > _MATTE_INSIDE
            mouth = _mouth_box(true_points, size)
            rows.append(
                (
                    psnr(pair.predicted, pair.truth),
                    math.nan if head is None else psnr(pair.predicted, pair.truth, head),
                    math.nan if mouth is None else psnr(pair.predicted[mouth], pair.truth[mouth]),
                    ssim(pair.predicted, pair.truth),
                )
            )
            indices.append(pair.index)
            points[0].append(predicted_points)
            points[1].append(true_points)
            if number % every == 0:
                samples.append(FramePair(pair.index, pair.predicted.copy(), pair.truth.copy(), pair.head))
                if len(samples) == _KEPT_CANDIDATES:
                    samples, every = samples[::2], every * 2
        source = landmarker.source
    if not rows:
        raise WorkspaceError("There are no frames to compare: no held-out frame shows a face, so give a longer clip.")
    columns = np.array(rows).T
    return Evaluation(
        np.array(indices), *columns, np.array(points[0]), np.array(points[1]), size=size, landmarks_source=source,
        samples=samples,
    )  # fmt: skip


def evaluate_videos(video: Path, reference: Path) -> Evaluation:
    """Compare two films, or two folders of pictures, frame by frame at 25 frames a second; the shorter decides.

    Raises:
        MediaError: one cannot be read, is empty, or their sizes differ.
    """

    def pairs() -> Iterator[FramePair]:
        both = zip(_pictures(video), _pictures(reference), strict=False)
        for index, (predicted, truth) in enumerate(both):
            if predicted.shape != truth.shape:
                raise MediaError(
                    f"Frame {index} of {video} has {predicted.shape[1]} x {predicted.shape[0]} pixels, that of "
                    f"{reference} {truth.shape[1]} x {truth.shape[0]}: render at the size of what you compare with."
                )
            yield FramePair(index, predicted, truth)

    return evaluate(pairs())


def _pictures(path: Path) -> Iterator[np.ndarray]:
    if not path.is_dir():
        yield from (picture for _, picture in FrameReader(path))
        return
    # A frame's own companions (000001_truth.png) are not frames.
    found = sorted(entry for entry in path.iterdir() if re.fullmatch(r"\d+\.(png|jpe?g)", entry.name.lower()))
    if not found:
        raise MediaError(f"{path} holds no frames (000000.png, ...): give a film or a folder of frames.")
    yield from map(read_image, found)


def _mouth_box(landmarks: np.ndarray, size: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns around the lips."""
    if not np.isfinite(landmarks).all():
        return None
    lips = landmarks[list(LIPS)]
    low, high = lips.min(axis=0), lips.max(axis=0)
    margin = _MOUTH_MARGIN * (high[0] - low[0])
    left, top = np.maximum(np.floor(low - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high + margin), size).astype(int)
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None


def _mean(values: np.ndarray, digits: int = 3) -> float | None:
    """Mean over frames that can be compared; equal pictures (infinite PSNR) count as 100 dB: JSON has no infinity."""
    values = np.minimum(values[~np.isnan(values)], 100.0)
    return round(float(values.mean()), digits) if len(values) else None


def _number(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
