"""The 64 bits of a watermark and the code that protects them.

| bits | |
|---|---|
| 8 | version of the watermark, 3 |
| 8 | kind of the delivery (`Kind`) |
| 48 | the first bits of a SHA-256: an identifier to look up, never a name |

Two bits of the kind and the identifier are written; the other bits are the same in every mark of this version. The check is of all
64: a CRC-21 (of CAN FD, ISO 11898-1). The convolutional code has rate 1/4 and constraint length 15 with the generators
46321, 51271, 63667, 70535 (octal; Dolinar 1988, "A new code for Galileo"; with a tail of zeros), which makes 340 coded bits of
them. The decoder is Viterbi's (1967) with soft decisions and a list of the most likely messages.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np

from .code_kernels import forward, likeliest

VERSION = 3
_MEMORY = 14
_STATES = 1 << _MEMORY
_GENERATORS = (0o46321, 0o51271, 0o63667, 0o70535)
_KIND_BITS, _IDENTIFIER_BITS, _CHECK_BITS = 2, 48, 21
_DATA_BITS = _KIND_BITS + _IDENTIFIER_BITS + _CHECK_BITS
_STEPS = _DATA_BITS + _MEMORY
CODED_BITS = _STEPS * len(_GENERATORS)

_PATHS = 1024
_CHECK = 0x102899
"""The CRC's polynomial without its highest term."""
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
    data = ((int(message.kind) << _IDENTIFIER_BITS | message.identifier) << _CHECK_BITS | _check(value)) << _MEMORY
    register, coded = 0, []
    for position in range(_STEPS - 1, -1, -1):
        register = (register << 1 | data >> position & 1) & (2 * _STATES - 1)
        coded += [(register & generator).bit_count() & 1 for generator in _GENERATORS]
    return np.array(coded, np.float32) * 2 - 1


def decode(soft: np.ndarray, least: float = 0.0, paths: int = _PATHS) -> Message | None:
    """The most likely message of (CODED_BITS,) soft values, positive for 1, whose check and kind are right.

    None where that is none of the `paths` most likely ones.

    Args:
        least: the least sum of the soft values, each with its coded bit's sign, of a message that is worth its check.
    """
    steps = np.asarray(soft, np.float32).reshape(_STEPS, -1)
    score, margins = np.full(_STATES, _IMPOSSIBLE, np.float32), np.empty((_STEPS, _STATES), np.float32)
    score[0] = 0
    forward(steps, _outputs(), score, margins)
    most = min(float(score[0]) - least, -_IMPOSSIBLE / 2)
    if most < 0:
        return None
    losses, bits = np.empty(paths, np.float32), np.empty((paths, _STEPS), np.uint8)
    bits = bits[: likeliest(margins, most, losses, bits), :_DATA_BITS]
    right = (bits @ _checks() % 2 == _binary(_check(VERSION << 56), _CHECK_BITS)).all(1)
    for path in bits[right, :-_CHECK_BITS].tolist():
        written = int("".join(map(str, path)), 2)
        kind, identifier = written >> _IDENTIFIER_BITS, written & (1 << _IDENTIFIER_BITS) - 1
        if (message := Message.from_int(VERSION << 56 | kind << 48 | identifier)) is not None:
            return message
    return None


@cache
def _outputs() -> np.ndarray:
    """(4, 8192) float32: the coded bits, as -1 and 1, of the registers whose oldest and newest bit are 0."""
    registers = range(0, _STATES, 2)
    bits = [[(register & generator).bit_count() & 1 for register in registers] for generator in _GENERATORS]
    return np.array(bits, np.float32) * 2 - 1


@cache
def _checks() -> np.ndarray:
    """(_DATA_BITS, _CHECK_BITS) float32: which bits of the check each written bit changes, last its own."""
    written = [_check(1 << position) for position in range(_KIND_BITS + _IDENTIFIER_BITS - 1, -1, -1)]
    own = [1 << position for position in range(_CHECK_BITS - 1, -1, -1)]
    return np.array([_binary(changed, _CHECK_BITS) for changed in written + own], np.float32)


def _binary(value: int, count: int) -> list[int]:
    """The last `count` bits, the highest first."""
    return [value >> position & 1 for position in range(count - 1, -1, -1)]


def _check(value: int) -> int:
    """The CRC-21 of 64 bits."""
    register, highest = 0, 1 << _CHECK_BITS - 1
    for position in range(63, -1, -1):
        bit = register >> _CHECK_BITS - 1 ^ value >> position & 1
        register = (register & highest - 1) << 1 ^ (_CHECK if bit else 0)
    return register
