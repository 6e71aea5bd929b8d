"""Live Link Face's time codes, `HH:MM:SS:FF.mmm`, as times."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...errors import CaptureError
from ...progress import Reporter
from ...workspace.frame_rate import STANDARD, Timecode, can_drop
from ...workspace.shapes import Float, Int
from .frame_times import FrameTimes, check_gaps
from .table import Table

_CODE = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;])(\d{2,3})(?:[.,](\d+))?")
_COUNTS = (24, 25, 30, 48, 50, 60)
_UNSURE_COUNT = 30
_DAY_S = 24 * 3600


@dataclass(frozen=True)
class _Codes:
    """Time codes taken apart: (n) each."""

    second: Int[np.ndarray, " n"]
    frame: Int[np.ndarray, " n"]
    part: Float[np.ndarray, " n"]
    drops: bool


def code_times(
    table: Table, column: int, rate: Fraction | None, video_rate: Fraction | None, reporter: Reporter
) -> tuple[FrameTimes, Timecode]:
    """When the rows of a table were taken, and the time code of the first.

    The codes count whole frames a second: how many, the codes themselves show. Drop-frame codes are of 59.94 and 29.97;
    without drops 60 and 59.94 look the same, and `rate` or the take's video decides. Rows that repeat codes, as 60 rows a second do with 30
    codes, are spread over the code's frame; a single repetition leaves the last row. Codes that are missing are a gap.

    Args:
        rate: of the rows or the codes, from the user; None for what they show.
        video_rate: of the take's video.

    Raises:
        CaptureError: a code that is none, codes that go back, or that jump: file, line and what to do.
    """
    codes = _codes(table, column)
    count = _count(codes, table, rate or video_rate, reporter)
    if (codes.frame >= count).any():
        row = int(np.flatnonzero(codes.frame >= count)[0])
        raise CaptureError(
            f"{table.path}, {table.where(row)}: the time code {table.rows[row][column].strip()} has frame {codes.frame[row]}, "
            f"but {count} make a second: give another --fps."
        )
    drops = _drops(codes, count)
    rate = _code_rate(count, drops, rate or video_rate)
    drops = drops and can_drop(rate)
    number = codes.second * count + codes.frame
    if drops:
        minutes = codes.second // 60
        number = number - 2 * round(rate / 30) * (minutes - minutes // 10)
    position = number + codes.part
    day = _DAY_S * count
    position = position + day * np.concatenate([[0], np.cumsum(np.diff(position) < -day / 2)])
    back = np.flatnonzero(np.diff(position) < 0)
    if len(back):
        row = int(back[0]) + 1
        raise CaptureError(
            f"{table.path}, {table.where(row)}: the time code goes back to {table.rows[row][column].strip()}: "
            "split the file there."
        )
    kept, position = _without_repetitions(position)
    times_s = (position - number[0]) / float(rate)  # a first code's part of a frame counts
    check_gaps(times_s, kept, table.path, table.where)
    return FrameTimes(times_s, kept, _row_rate(times_s, rate)), Timecode(int(number[0]), rate, drops)


def _codes(table: Table, column: int) -> _Codes:
    found = np.zeros((len(table.rows), 2), int)
    part, drops = np.zeros(len(table.rows)), False
    for row, cells in enumerate(table.rows):
        match = _CODE.fullmatch(cells[column].strip())
        if match is None or int(match[2]) > 59 or int(match[3]) > 59 or int(match[1]) > 23:
            raise CaptureError(
                f"{table.path}, {table.where(row)}: {cells[column].strip()!r} is no time code HH:MM:SS:FF.mmm: "
                "correct it or export the take again."
            )
        hours, minutes, seconds, frame = (int(match[group]) for group in (1, 2, 3, 5))
        found[row] = 3600 * hours + 60 * minutes + seconds, frame
        part[row] = float(f"0.{match[6]}") if match[6] else 0.0
        drops |= match[4] == ";"
    return _Codes(found[:, 0], found[:, 1], part, drops)


def _count(codes: _Codes, table: Table, stated: Fraction | None, reporter: Reporter) -> int:
    """Codes a second."""
    highest = int(codes.frame.max()) + 1
    if (np.diff(codes.second) != 0).any() or highest > _UNSURE_COUNT:
        return next((count for count in _COUNTS if count >= highest), highest)
    if stated is not None:
        return round(stated)
    reporter.warning(
        f"{table.path}: less than a second, so its time codes do not show their rate; {_UNSURE_COUNT} a second is taken. "
        "Give another with --fps."
    )
    return _UNSURE_COUNT


def _code_rate(count: int, drops: bool, stated: Fraction | None) -> Fraction:
    """Of `count` codes a second, exactly: a stated rate decides whether those seconds are of the clock or 1.001 long."""
    slower = Fraction(count * 1000, 1001)
    if stated is not None and not drops:
        return slower if stated.denominator == 1001 else Fraction(count)
    return slower if drops else Fraction(count)


def _drops(codes: _Codes, count: int) -> bool:
    """Whether codes are left out at the minutes: marked by `;`, or seen to be, at every minute but each tenth."""
    if count not in (30, 60) or codes.drops:
        return codes.drops and count in (30, 60)
    minute = codes.second // 60
    begins = np.flatnonzero((np.diff(minute) != 0) & (minute[1:] % 10 != 0))
    reached = codes.frame[begins] == count - 1
    return bool(len(begins) and reached.all() and (codes.frame[begins + 1] == count // 15).all())


def _without_repetitions(position: Float[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Rows that are kept, and their positions in frames, rising."""
    starts = np.flatnonzero(np.diff(position, prepend=-np.inf) != 0)
    lengths = np.diff(starts, append=len(position))
    usual = int(np.median(lengths))
    if usual == 1:
        kept = starts + lengths - 1
        return kept, position[kept]
    step = float(np.median(np.diff(position[starts]))) if len(starts) > 1 else 1.0
    spread = position.copy()
    for (start, length), following in zip(
        zip(starts.tolist(), lengths.tolist(), strict=True),
        [*itertools.islice(position[starts].tolist(), 1, None), np.inf],
        strict=True,
    ):
        # A code that lost rows keeps their usual distance: which of its rows it lost is not known.
        apart = min(step / max(usual, length), (following - position[start]) / max(usual, length))
        spread[start : start + length] += apart * np.arange(length)
    return np.arange(len(position)), spread


def _row_rate(times_s: Float[np.ndarray, " n"], rate: Fraction) -> Fraction:
    """Rows a second, as a multiple or part of the codes' rate."""
    if len(times_s) < 2:
        return rate
    measured = 1 / float(np.median(np.diff(times_s)))
    exact = [rate * times for times in (1, 2, 4)] + [rate / times for times in (2, 3, 4)]
    exact += [Fraction(one * rate / round(rate)) for one in map(round, STANDARD)]
    return min(exact, key=lambda one: abs(float(one) - measured))
