"""Log-mel spectrogram of speech, one row per step of 40 ms, whatever the frame rate of the video.

100 spectra a second, 80 mel bands from 60 to 7,600 Hz. Each band's mean over the spoken moments of the clip is
subtracted, which removes the microphone, the room and most of a voice's long-term colour. A row holds the four spectra
of its step, so neighbouring rows give context at 100 Hz. `steps.py` leads from steps to the frames of a video and back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft

from ..media.audio_rates import RATE

HOP = 160
WINDOW = 400
FFT = 512
BANDS = 80
COLUMNS = BANDS + 1
"""Values per spectrum: the bands, then the loudness."""

LOW_HZ, HIGH_HZ = 60.0, 7600.0
PER_STEP = 4
"""Spectra per step."""

DECIBEL = np.log(10) / 10
"""One decibel in natural logarithm of power."""

FLOOR_DB = 50.0
"""Energies further below the loud moments are noise: they are raised to this floor."""

_BLOCK = 6000  # spectra per block, one minute: memory does not grow with the length of the audio


@cache
def mel_filters() -> np.ndarray:
    """(BANDS, FFT // 2 + 1) float32: triangles of unit sum, evenly spaced on HTK's mel scale."""
    from librosa.filters import mel  # imports Numba: only once it is needed

    return mel(sr=RATE, n_fft=FFT, n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ, htk=True, norm=1)


class LogMelStream:
    """Log-mel energies of audio that comes block by block; spectrum k is centred at k * 10 ms."""

    def __init__(self) -> None:
        self._window = np.zeros(FFT, np.float32)
        self._window[(FFT - WINDOW) // 2 : (FFT + WINDOW) // 2] = np.hanning(WINDOW + 1)[:-1]
        self._filters = mel_filters().T
        self._waiting, self._total, self._done = np.zeros(FFT // 2, np.float32), 0, 0

    def push(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """Take (samples,) in [-1, 1], 16 kHz mono, and give the spectra that are complete with it, `FFT // 2` samples after their
        centre: (T, BANDS) float32, natural logarithm of power, in parts of at most a minute."""
        self._waiting = np.concatenate([self._waiting, np.asarray(block, np.float32)])
        self._total += len(block)
        return self._spectra(min((len(self._waiting) - FFT) // HOP + 1, self._total // HOP + 1 - self._done))

    def finish(self) -> Iterator[np.ndarray]:
        """The last spectra, with silence after the end: samples // 160 + 1 are there in all."""
        self._waiting = np.concatenate([self._waiting, np.zeros(FFT, np.float32)])
        return self._spectra(self._total // HOP + 1 - self._done)

    def _spectra(self, ready: int) -> Iterator[np.ndarray]:
        while ready > 0:
            count = min(ready, _BLOCK)
            frames = np.lib.stride_tricks.sliding_window_view(self._waiting, FFT)[: (count - 1) * HOP + 1 : HOP]
            power = np.abs(scipy.fft.rfft(frames * self._window, axis=1)) ** 2
            self._waiting = self._waiting[count * HOP :]
            self._done += count
            ready -= count
            yield np.log(power @ self._filters + 1e-10)


def log_mel_blocks(audio: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Log-mel energies of audio in blocks of any length; see `LogMelStream`."""
    stream = LogMelStream()
    for block in audio:
        yield from stream.push(block)
    yield from stream.finish()


@dataclass(frozen=True)
class Levels:
    """What makes log-mel energies independent of level, microphone and room.

    Energies more than `FLOOR_DB` below the loud moments are raised to that floor; then each band's mean over the spoken
    moments is subtracted.

    Attributes:
        loud: natural logarithm of power of the loud moments.
        mean: of each band over the spoken moments.
        silence: what is beyond the ends: the quietest of each band, and of the loudness.
    """

    loud: np.float32
    mean: np.ndarray
    silence: np.ndarray

    @classmethod
    def of(cls, loudest: np.ndarray, spectra: Iterable[np.ndarray]) -> Levels:
        """Measure them.

        Args:
            loudest: (T,) the loudest band of each spectrum.
            spectra: (T, BANDS) in blocks.
        """
        loud = np.quantile(loudest, 0.95)
        floor = np.float32(loud - FLOOR_DB * DECIBEL)
        spoken = is_spoken(loudest, loud)
        total, quietest, start = np.zeros(BANDS), np.full(BANDS, np.inf, np.float32), 0
        for block in spectra:
            lifted = np.maximum(block, floor)
            total += lifted[spoken[start : start + len(block)]].sum(0, dtype=np.float64)
            quietest = np.minimum(quietest, lifted.min(0))
            start += len(block)
        mean = (total / spoken.sum()).astype(np.float32)
        quietest_moment = (np.maximum(loudest, floor) - loud).astype(np.float32).min()
        return cls(loud, mean, np.append(quietest - mean, quietest_moment).astype(np.float32))

    @property
    def floor(self) -> np.float32:
        return np.float32(self.loud - FLOOR_DB * DECIBEL)

    def loudness(self, loudest: np.ndarray) -> np.ndarray:
        """(T,) relative to the loud moments: from -FLOOR_DB to about 0, natural logarithm of power."""
        return (np.maximum(loudest, self.floor) - self.loud).astype(np.float32)

    def columns(self, spectra: np.ndarray, loudness: np.ndarray) -> np.ndarray:
        """(T, COLUMNS) of (T, BANDS) spectra and their `loudness`."""
        return np.concatenate([np.maximum(spectra, self.floor) - self.mean, loudness[:, None]], 1)


def is_spoken(loudest: np.ndarray, loud: float) -> np.ndarray:
    """(T,) bool: moments of which the band means are taken."""
    return loudest > loud - 25 * DECIBEL


class Spectra:
    """Log-mel energies normalised in level and colour (`Levels`); kept on disk, so memory does not grow with their length.

    Attributes:
        loudness: (T,) relative to the loud moments, natural logarithm of power: from -FLOOR_DB to about 0.
    """

    def __init__(self, audio: Iterable[np.ndarray]) -> None:
        """Read all of `audio`: blocks of (samples,) float32 in [-1, 1], 16 kHz mono."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as this is)
        loudness = []
        for block in log_mel_blocks(audio):
            self._file.write(block.astype(np.float32).tobytes())
            loudness.append(block.max(1))
        self._file.flush()
        loudest = np.concatenate(loudness)
        blocks = (self._read(start, min(start + _BLOCK, len(loudest))) for start in range(0, len(loudest), _BLOCK))
        self.levels = Levels.of(loudest, blocks)
        self.loudness = self.levels.loudness(loudest)

    def __len__(self) -> int:
        return len(self.loudness)

    def _read(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, BANDS) as stored."""
        self._file.seek(start * BANDS * 4)
        return np.frombuffer(self._file.read((stop - start) * BANDS * 4), np.float32).reshape(-1, BANDS)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """(n, COLUMNS) float32 at (n,) indices: the bands, then the loudness; silence beyond the ends."""
        inside = (index >= 0) & (index < len(self))
        at = np.clip(index, 0, len(self) - 1)
        first, last = (int(at.min()), int(at.max())) if len(at) else (0, -1)
        columns = self.levels.columns(self._read(first, last + 1)[at - first], self.loudness[at])
        return np.where(inside[:, None], columns, self.levels.silence)


class StepFeatures:
    """Features of each step, 25 a second, computed on demand.

    A slice gives (n, PER_STEP * COLUMNS) float32: the spectra at -20, -10, 0 and +10 ms around each step's time.
    """

    def __init__(self, audio: Iterable[np.ndarray], steps: int | None = None, offset_ms: float = 0.0) -> None:
        """See `step_features`; `audio` comes in blocks."""
        self._spectra = Spectra(audio)
        self._steps = max(1, round((len(self._spectra) - 1) / PER_STEP)) if steps is None else steps
        self._first = round(offset_ms / 10) - PER_STEP // 2

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        index = np.arange(start * PER_STEP, max(stop, start) * PER_STEP) + self._first
        return self._spectra[index].reshape(-1, PER_STEP * COLUMNS)


def step_features(audio: np.ndarray, steps: int | None = None, offset_ms: float = 0.0) -> np.ndarray:
    """Normalised log-mel of each step, 25 a second.

    Args:
        audio: (samples,) in [-1, 1], 16 kHz mono.
        steps: number of rows; None for as many as the audio fills.
        offset_ms: delay of the audio: row i describes the audio around i * 40 ms + `offset_ms`.

    Returns:
        (steps, PER_STEP * COLUMNS) float32: see `StepFeatures`; silence beyond the ends.
    """
    return StepFeatures([audio], steps, offset_ms)[:]


def step_loudness(features: np.ndarray | StepFeatures) -> np.ndarray:
    """(N,) float32: the loudest spectrum of each step, natural logarithm of power relative to the clip's loud moments."""
    parts = [
        features[start : start + _BLOCK].reshape(-1, PER_STEP, COLUMNS)[:, :, -1].max(1)
        for start in range(0, len(features), _BLOCK)
    ]
    return np.concatenate(parts)
