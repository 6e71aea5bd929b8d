"""Audio in blocks, read forwards as intervals of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..audio_features import HOP, PER_STEP

STEP_SAMPLES = HOP * PER_STEP
"""Samples per step of 40 ms."""


class SampleWindow:
    """Audio in blocks, read forwards as intervals of samples; silent before its start and after its end.

    Samples before the last interval are dropped, so memory does not grow with the length of the audio.
    """

    def __init__(self, audio: Iterable[np.ndarray]) -> None:
        """`audio`: blocks of (samples,) float32 in [-1, 1], 16 kHz mono, of any length."""
        self._blocks = iter(audio)
        self._parts: list[np.ndarray] = []
        self._start = 0  # of the first part
        self.received = 0
        self.ended = False

    def fill(self, stop: int) -> None:
        """Receive blocks until sample `stop - 1` is in, or the audio ends."""
        while not self.ended and self.received < stop:
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
            elif len(block):
                # A copy, since a reader may fill the same array again.
                self._parts.append(np.array(block, np.float32))
                self.received += len(block)

    def read(self, start: int, stop: int) -> np.ndarray:
        """(stop - start,) float32 samples; neither may be below an earlier call's `start`."""
        self.fill(stop)
        while self._parts and self._start + len(self._parts[0]) <= start:
            self._start += len(self._parts.pop(0))
        result = np.zeros(stop - start, np.float32)
        at = self._start
        for part in self._parts:
            first, last = max(start, at), min(stop, at + len(part))
            if first < last:
                result[first - start : last - start] = part[first - at : last - at]
            at += len(part)
        return result

    def batches(self, steps: int | None, size: int) -> Iterator[tuple[int, int]]:
        """(first, stop) of at most `size` steps at a time.

        Args:
            steps: total number; None for as many as the audio fills, at least one, as in `step_features`.
        """
        first = 0
        while steps is None or first < steps:
            stop = first + size
            if steps is None:
                self.fill((stop + 1) * STEP_SAMPLES)
                if self.ended:
                    steps = max(1, round(self.received // HOP / PER_STEP))
                    continue
            else:
                stop = min(stop, steps)
            yield first, stop
            first = stop
