"""When the samples of a file were taken: by a stated rate, by a column of times, or by rows at a rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CaptureError
from ...workspace.frame_rate import STANDARD, UNSTATED, exact_rate
from ...workspace.shapes import Float, Int

MAX_GAP_S = 10.0
"""A longer gap is no dropped frame but another take."""

_UNITS = (1.0, 1e-3, 1e-6, 1e-9)
_RATES = (5.0, 500.0)
"""Samples a second that face data comes at."""


@dataclass(frozen=True)
class FrameTimes:
    """Of the samples that are kept.

    Attributes:
        times_s: rising from 0, or from a part of a frame.
        kept: their rows in the file.
        rate: samples a second.
    """

    times_s: Float[np.ndarray, " n"]
    kept: Int[np.ndarray, " n"]
    rate: Fraction


def at_rate(count: int, rate: Fraction) -> FrameTimes:
    """Samples one after the other."""
    return FrameTimes(np.arange(count) / float(rate), np.arange(count), rate)


def stated_rate(value: Any, path: Path, what: str) -> Fraction:
    """The rational of a rate in a file.

    Raises:
        CaptureError: it is no rate.
    """
    try:
        rate = exact_rate(Fraction(str(value)) if isinstance(value, str) else Fraction(value))
        if _RATES[0] <= rate <= _RATES[1]:
            return rate
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        pass
    raise CaptureError(f"{path}: {what} is {value!r}, which is no frame rate: give the right one with --fps.")


def no_rate(path: Path) -> CaptureError:
    """The refusal of a file that states no times."""
    return CaptureError(f"{path} states neither times nor a frame rate: give it with --fps.")


def at_times(
    stamps: Float[np.ndarray, " n"], rate: Fraction | None, path: Path, where: Callable[[int], str]
) -> FrameTimes:
    """Samples at times in seconds, milliseconds, micro- or nanoseconds, whichever makes a plausible rate.

    Of samples at one time the last counts.

    Args:
        rate: as the user has given it; None for the nearest standard rate.
        where: names the place of a row, for an error.

    Raises:
        CaptureError: the times go back, jump by `MAX_GAP_S`, or fit no unit.
    """
    kept = np.flatnonzero(np.diff(stamps, append=np.inf) != 0)
    steps = np.diff(stamps[kept])
    if len(steps) == 0:
        return FrameTimes(np.zeros(1), kept, rate or UNSTATED)
    if (steps < 0).any():
        row = int(kept[np.flatnonzero(steps < 0)[0] + 1])
        raise CaptureError(f"{path}, {where(row)}: the time goes back: split the file there, or sort its rows by time.")
    step = float(np.median(steps))
    unit = next((unit for unit in _UNITS if _RATES[0] <= 1 / (unit * step) <= _RATES[1]), None)
    if unit is None:
        raise CaptureError(f"{path}: its times are {step:g} apart, which is no frame rate in any unit: give --fps.")
    times_s = (stamps[kept] - stamps[kept[0]]) * unit
    check_gaps(times_s, kept, path, where)
    return FrameTimes(times_s, kept, rate or nearest_rate(1 / (unit * step)))


def check_gaps(
    times_s: Float[np.ndarray, " n"], kept: Int[np.ndarray, " n"], path: Path, where: Callable[[int], str]
) -> None:
    """Raise `CaptureError` where the times (n) jump by more than `MAX_GAP_S`."""
    gaps = np.flatnonzero(np.diff(times_s) > MAX_GAP_S)
    if len(gaps):
        row, gap_s = int(kept[gaps[0] + 1]), float(np.diff(times_s)[gaps[0]])
        raise CaptureError(f"{path}, {where(row)}: the time jumps by {gap_s:.0f} s: split the file there.")


def nearest_rate(rate: float) -> Fraction:
    """The standard rate within 1 % of a measured one, the whole number of two that are near; else the rational nearest to it."""
    near = [one for one in STANDARD if abs(float(one) - rate) <= 0.01 * rate]
    return min(
        near,
        key=lambda one: (abs(float(one) - rate) > 2e-4 * rate, one.denominator != 1),
        default=exact_rate(round(rate, 2)),
    )
