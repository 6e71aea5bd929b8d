"""Measured from neighbouring frames: combs of interlaced video without a flag, and repeated frames."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

BURST_S = 1.0
"""Length of a comparison burst: a pattern of repeated frames has a period."""

BURSTS = 24
"""Number of bursts, spread over the clip: the cost does not grow with its length."""

_COLUMNS = 2
"""Every second column will do: combs are made of rows."""

_MOVED = 16
"""8-bit levels by which a pixel differs from one frame to the next where something moves; noise stays below."""

_LEAST_MOVING = 0.002
"""Share of the pixels that move, below which the fields of a pair cannot be compared."""

_COMBED = 0.3
"""log2 of the fields' comb ratio: 0.02 in the median and 0.25 at most in one of 20 pairs of nine progressive clips;
0.46 and more in the median of interlaced ones."""

_COMBED_SHARE, _DOUBTED_SHARE, _LEAST_COMBED = 0.15, 0.05, 6

_REPEATED = 0.1
"""A repeated frame differs from the one before by less than this share of what moving frames differ."""

_LEAST_REPEATED = 0.3
"""A person holds still for single frames too, and 25 frames a second in a file of 30 repeat every sixth."""

_LONGEST_REPEAT = 6
"""More alike frames in a row are a person who holds still."""


@dataclass(frozen=True)
class Pair:
    """A frame and the one before it.

    Attributes:
        time_s: of the frame.
        change: the largest change of any block of the image, 8-bit levels.
        combs: above 0 where the upper field was taken before the lower, below 0 where after it, about 0 in a
            progressive clip; NaN where too little moves.
        flagged: the frame has the flag of interlaced video.
    """

    time_s: float
    change: float
    combs: float
    flagged: bool = False


class PairMeter:
    """Compares neighbouring source frames while a clip is decoded.

    Args:
        duration_s: of the clip, as far as it is known.
    """

    def __init__(self, duration_s: float) -> None:
        self.pairs: list[Pair] = []
        self._period_s = max(BURST_S, duration_s / BURSTS)
        self._last: np.ndarray | None = None

    def see(self, frame: av.VideoFrame, time_s: float) -> None:
        """Take the clip's next frame."""
        if time_s % self._period_s >= BURST_S:
            self._last = None
            return
        luma = frame.reformat(format="gray").to_ndarray()[:, ::_COLUMNS].astype(np.int16)
        if self._last is not None and self._last.shape == luma.shape:
            self.pairs.append(Pair(time_s, *compare(self._last, luma), frame.interlaced_frame))
        self._last = luma

    @property
    def field_order(self) -> str:
        """`top` or `bottom`: which field of the interlaced frames was taken first; empty where it cannot be measured."""
        return self._order(flagged=False) or self._order(flagged=True)

    @property
    def unflagged(self) -> bool:
        """Whether frames that are not flagged as interlaced are so."""
        return bool(self._order(flagged=False))

    @property
    def doubted_s(self) -> list[float]:
        """Times of unflagged frames that look combed, where there are too few of them to be sure; else empty."""
        order, count, moving = self._combed(flagged=False)
        if self.unflagged or count < _LEAST_COMBED or count < _DOUBTED_SHARE * moving:
            return []
        sign = 1 if order == "top" else -1
        return [pair.time_s for pair in self.pairs if sign * pair.combs > _COMBED and not pair.flagged]

    @property
    def repeated_share(self) -> float:
        """How many of the source's frames are the one before once more, as after a webcam that could not keep up."""
        change = np.array([pair.change for pair in self.pairs])
        if len(change) < 2 * _LONGEST_REPEAT:
            return 0.0
        alike = change < _REPEATED * np.percentile(change, 95)
        share = float(np.mean(alike & ~_long_runs(alike, _LONGEST_REPEAT)))
        return share if share > _LEAST_REPEATED else 0.0

    def _order(self, flagged: bool) -> str:
        order, count, moving = self._combed(flagged)
        return order if count >= _LEAST_COMBED and count > _COMBED_SHARE * moving else ""

    def _combed(self, flagged: bool) -> tuple[str, int, int]:
        """The field order of most pairs, by how many more than the other, and how many pairs could be measured."""
        combs = np.array([pair.combs for pair in self.pairs if pair.flagged == flagged and not np.isnan(pair.combs)])
        surplus = int((combs > _COMBED).sum()) - int((combs < -_COMBED).sum())
        return ("top" if surplus > 0 else "bottom"), abs(surplus), len(combs)


def compare(last: np.ndarray, luma: np.ndarray) -> tuple[float, float]:
    """`change` and `combs` of a pair, see `Pair`.

    Args:
        last, luma: (H, W) int16, 8-bit levels.
    """
    moved = np.abs(luma - last)
    block = max(8, len(luma) // 64)
    height, width = (length // block * block for length in luma.shape)
    blocks = moved[:height, :width].reshape(height // block, block, width // block, block)
    change = float(blocks.mean((1, 3)).max()) if blocks.size else 0.0
    moving = np.maximum(np.maximum(moved[:-2], moved[2:]), moved[1:-1]) > _MOVED
    if moving.mean() < _LEAST_MOVING:
        return change, float("nan")
    return change, (_earlier_field(luma, last, moving) - _earlier_field(last, luma, moving)) / 2


def _earlier_field(frame: np.ndarray, other: np.ndarray, moving: np.ndarray) -> float:
    """log2 of the combs with the other frame's upper field over those with its lower one.

    In a progressive clip a frame gets as many combs from either field of its neighbour. In an interlaced one the field
    that was taken later is replaced by the frame before's, as near in time to the earlier field as itself, which makes
    no more combs than there are; replacing the earlier one makes many. With the frame after it is the other way round,
    but not so for stripes that something uncovers: they cancel out in the difference of both.
    """
    neighbours = frame[:-2] + frame[2:]
    combs = []
    for first in (1, 0):  # Row i of `neighbours` lies about row i + 1 of the frame: the upper field first.
        rows = slice(first, None, 2)
        here = moving[rows]
        mixed = np.abs(neighbours[rows] - 2 * other[1:-1][rows])[here].sum()
        own = np.abs(neighbours[rows] - 2 * frame[1:-1][rows])[here].sum()
        combs.append((mixed + 1.0) / (own + 1.0))
    return float(np.log2(combs[0] / combs[1]))


def _long_runs(mask: np.ndarray, longest: int) -> np.ndarray:
    from ..workspace.intervals import intervals

    long = np.zeros(len(mask), bool)
    for start, end in intervals(mask):
        long[start:end] = end - start > longest
    return long
