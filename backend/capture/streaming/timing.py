"""The one clock of a stream: frames and blocks of audio are due at moments that follow from their numbers alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from ...media.audio_rates import DELIVERY_RATE

BLOCK = DELIVERY_RATE // 50
"""Samples of a block of audio, 20 ms: aiortc 1.16 sends blocks of another length only in part."""


@dataclass(frozen=True)
class MediaClock:
    """Times are those of `time.monotonic`, seconds.

    Attributes:
        rate: frames a second.
        start_s: when frame 0 and the first sample of audio are due.
    """

    rate: Fraction
    start_s: float

    def frame_due_s(self, frame: int) -> float:
        return self.start_s + float(frame / self.rate)

    def block_due_s(self, block: int) -> float:
        return self.start_s + block * BLOCK / DELIVERY_RATE

    def frame_from(self, moment_s: float) -> int:
        """The first frame that is due at a moment or after it."""
        return max(0, math.ceil((moment_s - self.start_s) * self.rate))

    def block_from(self, moment_s: float) -> int:
        """The first block that is due at a moment or after it."""
        return max(0, math.ceil((moment_s - self.start_s) * DELIVERY_RATE / BLOCK))
