"""Audio with an offset against the video that varies along the clip, aligned to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr

from ..workspace.subject import AudioPiece
from .audio_rates import RATE

_FINER = 8
"""Oversampling for reading between samples: linear interpolation is then 60 dB below the signal."""

_BLOCK_S = 10.0
_MARGIN_S = 0.05


def offsets_ms(pieces: Sequence[AudioPiece], time_s: np.ndarray) -> np.ndarray:
    """(n,) how late the audio runs at times (n,) of the video, ms."""
    which = np.searchsorted([piece.start_s for piece in pieces[1:]], time_s, side="right")
    return np.array([pieces[k].offset_ms_at(at) for k, at in zip(which, time_s, strict=True)])


def aligned(samples: np.ndarray, pieces: Sequence[AudioPiece]) -> np.ndarray:
    """Audio as it belongs to the image.

    Args:
        samples: (samples,) float32, 16 kHz mono, as recorded.
        pieces: in order of time, the first from 0 s on.

    Returns:
        (samples,) float32, as long; silence where nothing was recorded for the image.
    """
    result = np.zeros_like(samples)
    ends = [round(piece.start_s * RATE) for piece in pieces[1:]] + [len(samples)]
    starts = [0, *ends[:-1]]
    for piece, start, end in zip(pieces, starts, ends, strict=True):
        if piece.drift_ms_per_s == 0:
            _copy(samples, result, start, min(end, len(samples)), round(piece.offset_ms * RATE / 1000))
            continue
        for first in range(start, min(end, len(samples)), round(_BLOCK_S * RATE)):
            last = min(first + round(_BLOCK_S * RATE), end, len(samples))
            time_s = np.arange(first, last) / RATE
            heard_s = time_s + (piece.offset_ms + piece.drift_ms_per_s * (time_s - piece.start_s)) / 1000
            result[first:last] = _read(samples, heard_s * RATE)
    return result


def _copy(samples: np.ndarray, result: np.ndarray, start: int, end: int, shift: int) -> None:
    """Copy so that what lies at index i + shift comes to i."""
    first, last = max(start, -shift), min(end, len(samples) - shift)
    if last > first:
        result[first:last] = samples[first + shift : last + shift]


def _read(samples: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(n,) of the samples at increasing fractional indices (n,); 0 beyond the ends."""
    margin = round(_MARGIN_S * RATE)
    first, last = max(int(at[0]) - margin, 0), min(int(at[-1]) + margin, len(samples))
    if last <= first:
        return np.zeros(len(at), np.float32)
    finer = soxr.resample(samples[first:last], RATE, RATE * _FINER)
    return np.interp((at - first) * _FINER, np.arange(len(finer)), finer, left=0, right=0).astype(np.float32)
