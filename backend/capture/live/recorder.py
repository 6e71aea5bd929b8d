"""Keeps the faces of a live source as a take."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.files import atomic_path
from ...workspace.frame_rate import STANDARD
from ..axes import angles_of
from ..face_capture import FaceCapture
from .sample import LiveSample

HEAD_ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll")

LONGEST_S = 3600.0
"""A longer recording ends there: it is held in memory, 50 MB an hour."""


class Recorder:
    """Add samples on one thread, read on any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: list[LiveSample] = []

    def add(self, sample: LiveSample) -> None:
        """Keep a sample."""
        with self._lock:
            if not self._samples or sample.received_s - self._samples[0].received_s < LONGEST_S:
                self._samples.append(sample)

    @property
    def seconds(self) -> float:
        """How long the recording is so far."""
        with self._lock:
            return self._samples[-1].received_s - self._samples[0].received_s if len(self._samples) > 1 else 0.0

    def write(self, path: Path) -> float:
        """Write the take as CSV (docs/capture.md): a row a sample, its time in seconds, ARKit's names, and the head's angles.

        Returns:
            How long it is, seconds; 0 where there is nothing to write.

        Raises:
            StorageError: the place cannot be written to.
        """
        capture = self.capture()
        if capture is None:
            return 0.0
        columns = [capture.times_s[:, None], capture.blendshapes]
        names = ["time_s", *BLENDSHAPE_NAMES]
        if capture.head_turn is not None:
            columns.append(angles_of(capture.head_turn))
            names += HEAD_ANGLES
        with atomic_path(path) as temporary:
            np.savetxt(temporary, np.hstack(columns), "%.6f", ",", header=",".join(names), comments="")
        return float(capture.times_s[-1])

    def capture(self) -> FaceCapture | None:
        """The take so far; None with fewer than two samples.

        Times are those at which each face was so, as far as that is known: what the network delayed does not make it late.
        """
        with self._lock:
            samples = list(self._samples)
        times = np.array([sample.received_s - sample.delay_s for sample in samples])
        if len(times):
            times = np.maximum.accumulate(times)
            rising = np.append(True, np.diff(times) > 0)
            samples, times = [sample for sample, keep in zip(samples, rising, strict=True) if keep], times[rising]
        if len(times) < 2:
            return None
        turns = [sample.face.head_turn for sample in samples]
        known = [turn for turn in turns if turn is not None]
        filled, last = [], known[0] if known else np.eye(3)
        for turn in turns:
            last = last if turn is None else turn
            filled.append(last)
        interval_s = float(np.median(np.diff(times)))
        return FaceCapture(
            times_s=times - times[0],
            blendshapes=np.stack([sample.face.blendshapes for sample in samples]).astype(np.float64),
            present=np.any([sample.face.present for sample in samples], axis=0),
            rate=_nearest_rate(1 / interval_s),
            head_turn=np.stack(filled) if known else None,
        )


def _nearest_rate(rate: float) -> Fraction:
    return min(STANDARD, key=lambda standard: abs(float(standard) - rate))
