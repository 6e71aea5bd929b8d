"""Takes whose values are known, and the files that other programs would write of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.protocol import BLENDSHAPE_NAMES

PASCAL = [name[0].upper() + name[1:] for name in BLENDSHAPE_NAMES]
ANGLES = ["HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"]
ANGLES += ["RightEyeYaw", "RightEyePitch", "RightEyeRoll"]
COUNT = 120


@dataclass(frozen=True)
class Take:
    """`COUNT` rows: shapes (n, 52) from 0 to 0.6 with 7 digits, and yaw, pitch and roll (n, 3), radians."""

    shapes: np.ndarray
    angles: np.ndarray


def make_take(count: int = COUNT) -> Take:
    rng = np.random.default_rng(7)
    phase = np.arange(count)[:, None] * rng.uniform(0.02, 0.2, 55) + rng.uniform(0, 6, 55)
    wave = np.round(0.3 + 0.3 * np.sin(phase), 7)
    return Take(wave[:, :52], np.round((wave[:, 52:] - 0.3) / 2, 7))


def codes(count: int, a_second: int, *, first: int = 0, mark: str = ":", part: str = ".000") -> list[str]:
    """Time codes one after the other, from frame `first` of the day."""
    numbers = range(first, first + count)
    return [
        f"{n // a_second // 3600:02d}:{n // a_second // 60 % 60:02d}:{n // a_second % 60:02d}{mark}{n % a_second:02d}{part}"
        for n in numbers
    ]


def drop_codes(count: int, a_second: int, first: int) -> list[str]:
    """As `codes`, without the first two (of 30) or four (of 60) numbers of each minute but every tenth."""
    dropped = a_second // 15
    there = [
        code
        for code in codes(2 * count + 100, a_second, first=first, mark=";")
        if not (code[6:8] == "00" and code[4] != "0" and int(code[9:11]) < dropped)
    ]
    return there[:count]


def live_link_rows(take: Take, timecodes: Sequence[str]) -> list[list[str]]:
    """Header and rows as Live Link Face writes them."""
    values = np.concatenate([take.shapes, take.angles, np.zeros((len(take.shapes), 6))], 1)
    rows = [[code, "61", *(f"{value:.7f}" for value in row)] for code, row in zip(timecodes, values, strict=True)]
    return [["Timecode", "BlendShapeCount", *PASCAL, *ANGLES], *rows]


def write_rows(path: Path, rows: Iterable[Sequence[str]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(delimiter.join(row) + "\r\n" for row in rows).encode(encoding))
    return path
