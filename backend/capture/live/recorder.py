"""Keeps the faces of a live source as a take."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...media.audio import write_wav
from ...media.audio_rates import RATE
from ...protocol import BLENDSHAPE_NAMES
from ...workspace.files import atomic_path
from ...workspace.frame_rate import STANDARD
from ..axes import angles_of
from ..face_capture import FaceCapture
from .sample import LiveSample

HEAD_ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll")

LONGEST_S = 3600.0
"""A longer recording ends there: it is held in memory, 50 MB an hour, and 230 MB with audio."""

_MOST_BLOCKS = round(LONGEST_S * 100)


class AudioKeeper:
    """Keeps what is heard between `begin` and `end`. One thread adds."""

    def __init__(self) -> None:
        self._kept: list[tuple[np.ndarray, float]] | None = None

    def begin(self) -> None:
        """Keep what is heard from now on."""
        self._kept = []

    def add(self, samples: np.ndarray, ends_s: float) -> None:
        """Samples (n,) at `RATE`, and when the last of them was so, `time.monotonic`."""
        if self._kept is not None and len(self._kept) < _MOST_BLOCKS:
            self._kept.append((samples, ends_s))

    def end(self) -> tuple[np.ndarray, float] | None:
        """What was heard, and when its first sample was so; None where nothing was."""
        kept, self._kept = self._kept, None
        if not kept:
            return None
        first, ends_s = kept[0]
        return np.concatenate([samples for samples, _ in kept]), ends_s - len(first) / RATE


class Recorder:
    """Add samples on one thread, read on any.

    Args:
        audio: what the source hears; None where it hears nothing.
    """

    def __init__(self, audio: AudioKeeper | None = None) -> None:
        self._lock = threading.Lock()
        self._samples: list[LiveSample] = []
        self._audio = audio
        self._heard: tuple[np.ndarray, float] | None = None
        self._audio_path: Path | None = None
        if audio is not None:
            audio.begin()

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

    def end(self) -> None:
        """Nothing is added from now on."""
        if self._audio is not None:
            self._heard = self._audio.end()

    def write(self, path: Path) -> float:
        """Write the take as CSV (docs/capture.md): a row a sample, its time in seconds, ARKit's names, and the head's angles; what was
        heard is a WAV of the same name beside it.

        Returns:
            How long it is, seconds; 0 where there is nothing to write.

        Raises:
            StorageError: the place cannot be written to.
        """
        capture = self.capture()
        if capture is None:
            return 0.0
        if self._heard is not None:
            self._audio_path = path.with_suffix(".wav")
            write_wav(self._audio_path, [self._heard[0]])
        columns = [capture.times_s[:, None], capture.blendshapes]
        names = ["time_s", *BLENDSHAPE_NAMES]
        if capture.head_turn is not None:
            columns.append(angles_of(capture.head_turn))
            names += HEAD_ANGLES
        with atomic_path(path) as temporary:
            np.savetxt(temporary, np.hstack(columns), "%.6f", ",", header=",".join(names), comments="")
        return float(capture.times_s[-1])

    def capture(self) -> FaceCapture | None:
        """The take so far; None with fewer than two samples. Its time 0 is the start of the audio, where that was kept.

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
        began_s = times[0] if self._heard is None else self._heard[1]
        interval_s = float(np.median(np.diff(times)))
        return FaceCapture(
            times_s=times - began_s,
            blendshapes=np.stack([sample.face.blendshapes for sample in samples]).astype(np.float64),
            present=np.any([sample.face.present for sample in samples], axis=0),
            rate=_nearest_rate(1 / interval_s),
            head_turn=np.stack(filled) if known else None,
            audio=self._audio_path,
        )


def _nearest_rate(rate: float) -> Fraction:
    return min(STANDARD, key=lambda standard: abs(float(standard) - rate))
