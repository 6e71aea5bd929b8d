"""Log-mel spectrogram of speech, laid out a row a video frame.

100 spectra a second, 80 mel bands from 60 to 7,600 Hz. The mean of each band over the spoken moments of the clip is
taken out, which removes microphone, room and most of a voice's long-term colour. A row holds the four spectra of its
video frame's 40 ms, so a row's neighbours give any context at 100 Hz.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.fft

RATE = 16000
HOP = 160
WINDOW = 400
FFT = 512
BANDS = 80
COLUMNS = BANDS + 1
"""Numbers a spectrum: the bands, then its loudness."""

LOW_HZ, HIGH_HZ = 60.0, 7600.0
PER_FRAME = 4
"""Spectra a video frame, at 25 frames a second."""

DECIBEL = np.log(10) / 10
"""One decibel in natural logarithm of power."""

FLOOR_DB = 50.0
"""What lies further below the loud moments is noise: it is lifted to this floor."""

_BLOCK = 6000  # spectra a block: one minute, so that memory does not grow with an hour of sound


@cache
def mel_filters() -> np.ndarray:
    """(BANDS, FFT // 2 + 1) triangles of unit area, evenly spaced on the mel scale, 2595 log10(1 + f / 700)."""

    def to_mel(hertz):
        return 2595 * np.log10(1 + np.asarray(hertz) / 700)

    edges_mel = np.linspace(to_mel(LOW_HZ), to_mel(HIGH_HZ), BANDS + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    frequency = np.arange(FFT // 2 + 1) * RATE / FFT
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequency - low) / (centre - low)
    falling = (high - frequency) / (high - centre)
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    # The narrowest triangles can fall between two bins: give those the nearest bin.
    empty = filters.sum(1) == 0
    filters[empty, np.abs(frequency[None] - edges[1:-1, None]).argmin(1)[empty]] = 1
    return filters / filters.sum(1, keepdims=True)


def log_mel(audio: np.ndarray) -> np.ndarray:
    """Log-mel energies, 100 a second.

    Args:
        audio: (samples,) in [-1, 1], 16 kHz mono.

    Returns:
        (T, BANDS) float32, natural logarithm of power; T = samples // 160 + 1; spectrum k is centred at k * 10 ms.
    """
    audio = np.asarray(audio, np.float32)
    count = len(audio) // HOP + 1
    padded = np.pad(audio, (FFT // 2, FFT))
    window = np.zeros(FFT, np.float32)
    window[(FFT - WINDOW) // 2 : (FFT + WINDOW) // 2] = np.hanning(WINDOW + 1)[:-1]
    filters = mel_filters().T
    result = np.empty((count, BANDS), np.float32)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[start * HOP : (stop - 1) * HOP + 1 : HOP]
        power = np.abs(scipy.fft.rfft(frames * window, axis=1)) ** 2
        result[start:stop] = np.log(power @ filters + 1e-10)
    return result


def normalised(mel: np.ndarray) -> np.ndarray:
    """Log-mel energies without the clip's own colour and level.

    Energies more than `FLOOR_DB` below the loud moments are lifted to that floor; then each band's mean over the spoken
    moments is taken out.

    Args:
        mel: (T, BANDS) from `log_mel`.

    Returns:
        (T, COLUMNS) float32: the bands, about zero mean where there is speech; then the loudness against the loud
        moments, from -FLOOR_DB to about 0. All in natural logarithm of power.
    """
    loudness = mel.max(1)
    loud = np.quantile(loudness, 0.95)
    floor = loud - FLOOR_DB * DECIBEL
    lifted = np.maximum(mel, floor)
    spoken = loudness > loud - 25 * DECIBEL
    bands = lifted - lifted[spoken].mean(0)
    return np.concatenate([bands, np.maximum(loudness, floor)[:, None] - loud], 1).astype(np.float32)


def frame_features(audio: np.ndarray, frames: int | None = None, offset_ms: float = 0.0) -> np.ndarray:
    """Normalised log-mel of each video frame at 25 frames a second.

    Args:
        audio: (samples,) in [-1, 1], 16 kHz mono.
        frames: rows wanted; None for as many as the sound fills.
        offset_ms: how late the sound runs: row i looks at the sound around i * 40 ms + `offset_ms`.

    Returns:
        (frames, PER_FRAME * COLUMNS) float32: the spectra at -20, -10, 0 and +10 ms around the frame's time, in this
        order; silence beyond the ends.
    """
    if frames is None:
        frames = max(1, round(len(audio) / RATE * 25))
    mel = normalised(log_mel(audio))
    first = round(offset_ms / 10) - PER_FRAME // 2
    index = np.arange(frames * PER_FRAME) + first
    inside = (index >= 0) & (index < len(mel))
    result = np.where(inside[:, None], mel[np.clip(index, 0, len(mel) - 1)], mel.min(0))
    return result.reshape(frames, PER_FRAME * COLUMNS)
