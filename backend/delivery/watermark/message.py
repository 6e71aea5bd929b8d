"""The 64 bits of a watermark and the code that protects them.

| bits | |
|---|---|
| 8 | version of the watermark, 2 |
| 8 | kind of the delivery (`Kind`) |
| 48 | the first bits of a SHA-256: an identifier to look up, never a name |

CRC-16 (CCITT polynomial, ITU-T V.41) and a convolutional code of rate 1/3 and constraint length 12 with the generators
4767, 5723, 6265 (octal; Larsen 1973, "Short convolutional codes with maximal free distance for rates 1/2, 1/3, and 1/4";
with a tail of zeros) make 273 coded bits of them. The decoder is Viterbi's (1967) with soft decisions and a list of the most likely
messages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from heapq import heappop, heappush
from itertools import count, islice

import numpy as np

VERSION = 2
_MEMORY = 11
_STATES = 1 << _MEMORY
_GENERATORS = (0o4767, 0o5723, 0o6265)
_VERSION_BITS = 8
_DATA_BITS = 64 + 16
CODED_BITS = (_DATA_BITS + _MEMORY) * len(_GENERATORS)

_PATHS = 256
_IMPOSSIBLE = -1e9


class Kind(IntEnum):
    """What was delivered."""

    VIDEO = 1
    """A head in its footage: the mark is in all of the frame."""
    FRAMES = 2
    """RGBA frames of a head: the mark is in the head's colour."""


@dataclass(frozen=True)
class Message:
    """What a watermark carries: `kind`, and `identifier` of 48 bits, 0 to 2^48 - 1."""

    kind: Kind
    identifier: int

    def __post_init__(self) -> None:
        if not 0 <= self.identifier < 1 << 48:
            raise ValueError(f"identifier {self.identifier} is not of 48 bits")

    @classmethod
    def of(cls, subject: str | bytes, kind: Kind = Kind.VIDEO) -> Message:
        """The message for `subject`, such as a manifest's identifier: its SHA-256 is kept, cut to 48 bits."""
        data = subject.encode() if isinstance(subject, str) else subject
        return cls(kind, int.from_bytes(hashlib.sha256(data).digest()[:6], "big"))

    @classmethod
    def of_clip(cls, sha256: str, kind: Kind = Kind.VIDEO) -> Message:
        """The message of a likeness made from a clip: the first 12 digits of the clip's SHA-256 in hexadecimal, else 0."""
        return cls(kind, int(sha256[:12] or "0", 16))

    @property
    def text(self) -> str:
        """The identifier as 12 hexadecimal digits."""
        return f"{self.identifier:012x}"

    def to_int(self) -> int:
        """All 64 bits."""
        return VERSION << 56 | int(self.kind) << 48 | self.identifier

    @classmethod
    def from_int(cls, value: int) -> Message | None:
        """The message of 64 bits; None where version or kind are unknown."""
        kind = value >> 48 & 0xFF
        if value >> 56 != VERSION or kind not in list(Kind):
            return None
        return cls(Kind(kind), value & (1 << 48) - 1)


def encode(message: Message) -> np.ndarray:
    """(CODED_BITS,) float32 of -1 and 1."""
    value = message.to_int()
    data = value << 16 | _crc16(value.to_bytes(8, "big"))
    register, coded = 0, []
    for position in range(_DATA_BITS - 1, -_MEMORY - 1, -1):
        bit = data >> position & 1 if position >= 0 else 0
        register = (register << 1 | bit) & (2 * _STATES - 1)
        coded += [(register & generator).bit_count() & 1 for generator in _GENERATORS]
    return np.array(coded, np.float32) * 2 - 1


def decode(soft: np.ndarray, least: float = 0.0) -> Message | None:
    """The most likely message of (CODED_BITS,) soft values, positive for 1, whose CRC and kind are right.

    None where that is none of the `_PATHS` most likely ones of this version.

    Args:
        least: the least sum of the soft values, each with its coded bit's sign, of a message that is worth its checks.
    """
    for score, data in islice(_likeliest(np.asarray(soft, np.float64)), _PATHS):
        if score < least:
            break
        value = data >> 16
        if _crc16(value.to_bytes(8, "big")) == data & 0xFFFF and (message := Message.from_int(value)) is not None:
            return message
    return None


def _likeliest(soft: np.ndarray) -> Iterator[tuple[float, int]]:
    """Sum and data of the most likely paths through the trellis, best first (the tree-trellis search of Soong and Huang 1991)."""
    previous, outputs = _trellis()
    steps = soft.reshape(-1, len(_GENERATORS))
    gains = (steps @ outputs).reshape(len(steps), 2, _STATES)
    score = np.full(_STATES, _IMPOSSIBLE)
    score[0] = 0
    margins = np.empty((len(steps), _STATES))
    for step, gain in enumerate(gains):
        # The two states before one differ in their highest bit alone.
        first, second = score.reshape(2, -1).repeat(2, 1) + gain
        np.subtract(second, first, out=margins[step])
        score = np.maximum(first, second)
        if step < _VERSION_BITS:  # the version is no news
            score[1 - (VERSION >> _VERSION_BITS - 1 - step & 1) :: 2] = _IMPOSSIBLE
    chosen, losses = margins > 0, np.abs(margins)
    order = count()  # of those that are as likely
    waiting = [(0.0, next(order), len(steps) - 1, 0, 0)]
    while waiting:
        loss, _, last, state, data = heappop(waiting)
        for step in range(last, -1, -1):
            if step < _DATA_BITS:
                data |= (state & 1) << (_DATA_BITS - 1 - step)
            way = int(chosen[step, state])
            if step >= _VERSION_BITS:
                other = loss + losses[step, state], next(order), step - 1, int(previous[state, 1 - way]), data
                if other[0] < -_IMPOSSIBLE / 2:
                    heappush(waiting, other)
            state = int(previous[state, way])
        yield float(score[0]) - loss, data


@cache
def _trellis() -> tuple[np.ndarray, np.ndarray]:
    """Of each state the two before it (2048, 2), and the coded bits as -1 and 1 of the first way to each, then of the second (3, 4096)."""
    states = np.arange(_STATES)
    previous = np.stack([states >> 1, states >> 1 | _STATES >> 1], 1)
    registers = previous << 1 | (states & 1)[:, None]
    bits = [[(int(register) & generator).bit_count() & 1 for register in registers.T.flat] for generator in _GENERATORS]
    return previous, np.array(bits) * 2.0 - 1


def _crc16(data: bytes) -> int:
    """CRC-16 with x^16 + x^12 + x^5 + 1, started at 0xFFFF."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value
