"""Log-mel spectrogram of speech, one row per step of 40 ms, whatever the frame rate of the video.

100 spectra a second, 80 mel bands from 60 to 7,600 Hz. Each band's mean over the spoken moments of the clip is
subtracted, which removes the microphone, the room and most of a voice's long-term colour. A row holds the four spectra
of its step, so neighbouring rows give context at 100 Hz. `steps.py` leads from steps to the frames of a video and back.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator
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


def log_mel_blocks(audio: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Log-mel energies of audio in blocks of any length, in parts of at most a minute.

    Args:
        audio: blocks of (samples,) in [-1, 1], 16 kHz mono.

    Yields:
        (T, BANDS) float32, natural logarithm of power, 100 a second; spectrum k is centred at k * 10 ms, and there are
        samples // 160 + 1 in all.
    """
    window = np.zeros(FFT, np.float32)
    window[(FFT - WINDOW) // 2 : (FFT + WINDOW) // 2] = np.hanning(WINDOW + 1)[:-1]
    filters = mel_filters().T
    waiting, total, done = np.zeros(FFT // 2, np.float32), 0, 0
    for block in itertools.chain(audio, [None]):
        if block is None:
            waiting = np.concatenate([waiting, np.zeros(FFT, np.float32)])
            ready = total // HOP + 1 - done
        else:
            waiting = np.concatenate([waiting, np.asarray(block, np.float32)])
            total += len(block)
            ready = min((len(waiting) - FFT) // HOP + 1, total // HOP + 1 - done)
        while ready > 0:
            count = min(ready, _BLOCK)
            frames = np.lib.stride_tricks.sliding_window_view(waiting, FFT)[: (count - 1) * HOP + 1 : HOP]
            power = np.abs(scipy.fft.rfft(frames * window, axis=1)) ** 2
            yield np.log(power @ filters + 1e-10)
            waiting = waiting[count * HOP :]
            done += count
            ready -= count


class Spectra:
    """Log-mel energies normalised in level and colour; kept on disk, so memory does not grow with their length.

    Energies more than `FLOOR_DB` below the loud moments are raised to that floor; then each band's mean over the spoken
    moments is subtracted.

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
        loud_moments = np.concatenate(loudness)
        loud = np.quantile(loud_moments, 0.95)
        self._floor = np.float32(loud - FLOOR_DB * DECIBEL)
        spoken = loud_moments > loud - 25 * DECIBEL
        total, quietest = np.zeros(BANDS), np.full(BANDS, np.inf, np.float32)
        for start in range(0, len(loud_moments), _BLOCK):
            lifted = np.maximum(self._read(start, min(start + _BLOCK, len(loud_moments))), self._floor)
            total += lifted[spoken[start : start + _BLOCK]].sum(0, dtype=np.float64)
            quietest = np.minimum(quietest, lifted.min(0))
        self._mean = (total / spoken.sum()).astype(np.float32)
        self.loudness = (np.maximum(loud_moments, self._floor) - loud).astype(np.float32)
        self._silence = np.append(quietest - self._mean, self.loudness.min()).astype(np.float32)

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
        bands = np.maximum(self._read(first, last + 1)[at - first], self._floor) - self._mean
        return np.where(inside[:, None], np.concatenate([bands, self.loudness[at, None]], 1), self._silence)


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
