"""Measures how the audio offset varies along a clip: one offset per take, or a drift between two clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..workspace.subject import AudioPiece
from .audio_offset import CONFIDENT, NOTABLE_MS, OffsetEvidence

MIN_TAKE_S = 4.0
"""Shorter takes have too few syllables to be measured."""

MIN_DRIFT_CLIP_S = 30.0
"""Drift is measured in longer clips only."""

MIN_DRIFT_MS = 45.0
"""Over the complete clip: a smaller drift stays within 25 ms of its mean, which is not visible."""

SPREAD_MS = 80.0
"""Offsets of windows that differ by more, but not linearly, cause a warning."""

_WINDOW_S, _SHORT_WINDOW_S, _WINDOWS = 12.0, 6.0, 60
_WINDOW_CONFIDENT = 0.15
"""Enough for one of many windows or for a take whose halves agree: on all test clips, windows of 6 s and more with that
confidence lie within 35 ms of their clip's offset."""

_INLIER_MS = 40.0


@dataclass
class OffsetTimeline:
    """The measured offsets.

    Attributes:
        offset_ms, confidence: of the complete clip.
        pieces: where the offset varies along the clip; empty where one number is enough.
        unsure_s: (start, end) of takes whose own offset cannot be measured, where those of others differ.
        uneven_ms: (low, high) of an offset that varies neither by takes nor evenly, or None.
    """

    offset_ms: float
    confidence: float
    pieces: list[AudioPiece] = field(default_factory=list)
    unsure_s: list[tuple[float, float]] = field(default_factory=list)
    uneven_ms: tuple[float, float] | None = None

    @property
    def sure(self) -> bool:
        return bool(self.pieces) or self.confidence >= CONFIDENT


def measure(evidence: OffsetEvidence | None, cuts: np.ndarray) -> OffsetTimeline:
    """Measure the offset along a clip.

    Args:
        evidence: of its audio and lips; None where nothing can be measured.
        cuts: (N,) bool, frames at which a new take begins.
    """
    if evidence is None:
        return OffsetTimeline(0.0, 0.0)
    result = OffsetTimeline(*evidence.estimate())
    starts = [0, *[int(frame) for frame in np.flatnonzero(cuts) if frame > 0]]
    takes = [slice(start, end) for start, end in zip(starts, [*starts[1:], len(cuts)], strict=True)]
    if len(takes) > 1 and _by_take(evidence, takes, result):
        return result
    _by_drift(evidence, len(cuts) / evidence.fps, result)
    return result


def _by_take(evidence: OffsetEvidence, takes: list[slice], result: OffsetTimeline) -> bool:
    """Give each take its offset, where those that are sure differ; whether they do."""
    found = [_take_offset(evidence, take) for take in takes]
    like = [(take, offset) for take, offset in zip(takes, found, strict=True) if offset is not None]
    if like:  # The takes that are sure help with the others.
        pairs = zip(takes, found, strict=True)
        found = [_take_offset(evidence, take, like) if offset is None else offset for take, offset in pairs]
    sure = [offset for offset in found if offset is not None]
    if len(sure) < 2 or max(sure) - min(sure) < NOTABLE_MS:
        return False
    for number, (take, offset) in enumerate(zip(takes, found, strict=True)):
        if offset is None:
            offset = _neighbours_offset(evidence, take, found[:number], found[number + 1 :], result)
        # Takes of one recording differ by measurement errors alone.
        if not result.pieces or abs(offset - result.pieces[-1].offset_ms) >= NOTABLE_MS / 2:
            result.pieces.append(AudioPiece(take.start / evidence.fps, float(round(offset))))
    return len(result.pieces) > 1


def _neighbours_offset(
    evidence: OffsetEvidence,
    take: slice,
    before: list[float | None],
    after: list[float | None],
    result: OffsetTimeline,
) -> float:
    """The neighbouring take's offset that fits a take best, which is reported as unsure where they differ."""
    nearest = [next((offset for offset in side if offset is not None), None) for side in (before[::-1], after)]
    beside = [offset for offset in nearest if offset is not None]
    if len(beside) == 1 or abs(beside[0] - beside[1]) >= NOTABLE_MS:
        result.unsure_s.append((take.start / evidence.fps, take.stop / evidence.fps))
    return max(beside, key=lambda offset: evidence.score(take, offset))


def _take_offset(evidence: OffsetEvidence, take: slice, like: Sequence[tuple[slice, float]] = ()) -> float | None:
    """Offset of one take; None if it is not sure."""
    if take.stop - take.start < MIN_TAKE_S * evidence.fps:
        return None
    offset, confidence = evidence.estimate(take, like)
    if confidence >= CONFIDENT:
        return offset
    middle = (take.start + take.stop) // 2
    halves = [evidence.estimate(half, like)[0] for half in (slice(take.start, middle), slice(middle, take.stop))]
    agree = max(abs(half - offset) for half in halves) < NOTABLE_MS
    return offset if agree and confidence >= _WINDOW_CONFIDENT else None


def _by_drift(evidence: OffsetEvidence, duration_s: float, result: OffsetTimeline) -> None:
    """Fit a line through the offsets of windows along the clip, or report offsets that vary in another way."""
    is_long = duration_s >= MIN_DRIFT_CLIP_S
    time_s, offsets = _windows(evidence, _WINDOW_S if is_long else _SHORT_WINDOW_S)
    middle_s = duration_s / 2
    if is_long and len(time_s) >= 5 and np.ptp(time_s) >= 0.5 * duration_s:
        slope, level, error = _line(time_s - middle_s, offsets)
        inside = np.abs(level + slope * (time_s - middle_s) - offsets) < _INLIER_MS
        if inside.mean() >= 0.75 and abs(slope) * duration_s >= MIN_DRIFT_MS and abs(slope) > 3 * error:
            result.pieces = [AudioPiece(0.0, round(level - slope * middle_s, 1), round(slope, 3))]
            return
    low, high = np.quantile(offsets, (0.1, 0.9)) if len(offsets) else (0.0, 0.0)
    if high - low >= SPREAD_MS:
        result.uneven_ms = float(low), float(high)


def _windows(evidence: OffsetEvidence, window_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Middles (n,) of the windows that are confident enough, seconds, and their offsets (n,), ms."""
    fps, least = evidence.fps, _WINDOW_CONFIDENT * _WINDOW_S / window_s
    last_s = (np.flatnonzero(evidence.known)[-1] + 1) / fps - window_s
    found = []
    for start_s in np.arange(0, last_s + 1e-6, max(window_s / 3, last_s / _WINDOWS)):
        offset, confidence = evidence.estimate(slice(round(start_s * fps), round((start_s + window_s) * fps)))
        if confidence >= least:
            found.append((start_s + window_s / 2, offset))
    pairs = np.array(found).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope, value at 0, and the slope's standard error: the median of all pairs' slopes, then least squares without
    outliers."""
    first, second = np.triu_indices(len(x), 1)
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first])))
    level = float(np.median(y - slope * x))
    inside = np.abs(y - level - slope * x) < _INLIER_MS
    if inside.sum() < 4:
        return slope, level, np.inf
    slope, level = (float(value) for value in np.polyfit(x[inside], y[inside], 1))
    residual = y[inside] - level - slope * x[inside]
    spread = ((x[inside] - x[inside].mean()) ** 2).sum()
    error = np.sqrt((residual**2).sum() / (inside.sum() - 2) / spread)
    return slope, level, float(error)
