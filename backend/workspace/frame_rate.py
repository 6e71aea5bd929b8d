"""Frame rates as rationals: 24000/1001, where a file says 23.976."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

STANDARD: tuple[Fraction, ...] = tuple(
    Fraction(count * scale, scale + ntsc)
    for count, scale, ntsc in (
        (24, 1000, 1), (24, 1, 0), (25, 1, 0), (30, 1000, 1), (30, 1, 0), (48, 1, 0), (50, 1, 0), (60, 1000, 1), (60, 1, 0)
    )
)  # fmt: skip
"""Rates of cameras, television and cinema (SMPTE ST 2036-1 among others), lowest first."""

LOWEST, HIGHEST = STANDARD[0], STANDARD[-1]
"""A workspace's frames come at no lower and no higher rate."""

UNSTATED = Fraction(25)
"""Of workspaces and animations from before rates were stated."""


def same_rate(one: float | Fraction, other: float | Fraction) -> bool:
    """Whether two frame rates are equal up to rounding, as 23.98 is; 24 and 24000/1001 are not."""
    return abs(float(one) - float(other)) <= 2e-4 * float(other)


def exact_rate(rate: float | Fraction) -> Fraction:
    """The rational that a rounded rate stands for: 30000/1001 for 29.97 and for 19001/634 (Matroska's nanoseconds).

    Raises:
        ValueError, OverflowError, ZeroDivisionError: no positive, finite number.
    """
    rate = Fraction(rate)
    if rate <= 0:
        raise ValueError(f"a frame rate of {rate}")
    meant = (Fraction(round(rate * scale), 1) / scale for scale in (Fraction(1), Fraction(1001, 1000)))
    return next((exact for exact in meant if exact and same_rate(exact, rate)), rate.limit_denominator(1001))


def as_text(rate: float | Fraction) -> str:
    """A rate for people: 25, 29.97, 12.5."""
    return f"{float(rate):.5g}"


def frames_of(seconds: float, rate: Fraction) -> int:
    """The number of frames nearest to a time, at least 1: for a length in time that is counted in frames."""
    return max(1, round(seconds * float(rate)))


_TIMECODE = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.])(\d{2,3})")


@dataclass(frozen=True)
class Timecode:
    """A SMPTE ST 12-1 time code, counted in frames from 00:00:00:00.

    Attributes:
        frame: its number.
        rate: of the frames; codes count the next whole number of them a second: 30 where they come at 29.97.
        drops: leaves out two codes (four at 59.94) a minute but every tenth, so as to follow the clock: written with `;`.
    """

    frame: int
    rate: Fraction
    drops: bool = False

    @classmethod
    def parse(cls, text: str, rate: Fraction) -> Timecode | None:
        """From `01:00:00:00` or `01:00:00;00`; None for anything else."""
        match = _TIMECODE.fullmatch(text.strip())
        if match is None:
            return None
        hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
        drops, count = match[4] in ";." and can_drop(rate), round(rate)
        if frames >= count or seconds > 59 or minutes > 59 or hours > 23:
            return None
        total = 60 * hours + minutes
        number = (60 * total + seconds) * count + frames
        if drops:
            number -= _dropped(rate) * (total - total // 10)
        return cls(number, rate, drops)

    def __str__(self) -> str:
        hours, minutes, seconds, frames = self.parts
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if self.drops else ':'}{frames:02d}"

    @property
    def parts(self) -> tuple[int, int, int, int]:
        """Hours, minutes, seconds, and frames beyond those."""
        count, number = round(self.rate), self.frame
        if self.drops:
            gone = _dropped(self.rate)
            tens, rest = divmod(number, 600 * count - 9 * gone)
            number += 9 * gone * tens + gone * max(0, (rest - gone) // (60 * count - gone))
        seconds, frames = divmod(number, count)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return hours % 24, minutes, seconds, frames

    def later(self, frames: int) -> Timecode:
        """The code of `frames` later."""
        return Timecode(self.frame + frames, self.rate, self.drops)


def can_drop(rate: Fraction) -> bool:
    """Whether there is a drop-frame code of this rate: 29.97 and 59.94."""
    return rate in (Fraction(30000, 1001), Fraction(60000, 1001))


def _dropped(rate: Fraction) -> int:
    return 2 * round(rate / 30)
