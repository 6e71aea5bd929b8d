"""Finds dead audio while the lips move: a microphone that was unplugged, muted, or out of battery."""

from __future__ import annotations

import numpy as np

from ..media.audio_rates import RATE
from ..workspace.intervals import intervals

LEAST_S = 1.0
"""Shorter silences are pauses."""

QUIET_DB, FLOOR_DB, CEILING_DB = 50.0, -90.0, -60.0
"""Dead audio is this far below the loud moments, within these limits (dBFS): room noise is at -60 dBFS or more."""

MOVING = 0.5
"""Share of their speed in speech from which lips are speaking; in pauses it is below 0.3."""

_HOP = RATE // 50
_EDGE_S = 0.2
"""Ignored at both ends of a silence, where the lips close or open."""


def dead_intervals(audio: np.ndarray, mouth_opening: np.ndarray, fps: float = 25.0) -> list[tuple[float, float]]:
    """Intervals in which the audio is silent though the person speaks.

    Args:
        audio: (samples,) in [-1, 1], 16 kHz mono, starting with the video.
        mouth_opening: (N,) distance between the inner lips in any unit; NaN where it is not known.
        fps: frames a second of `mouth_opening`.

    Returns:
        (start, end) in seconds of the audio's time, each at least `LEAST_S` long.
    """
    count = len(audio) // _HOP
    if count == 0:
        return []
    power = np.square(audio[: count * _HOP], dtype=np.float64).reshape(count, _HOP).mean(1)
    level_db = 10 * np.log10(power + 1e-12)
    quiet_db = np.clip(np.quantile(level_db, 0.95) - QUIET_DB, FLOOR_DB, CEILING_DB)
    speed = np.abs(np.gradient(np.asarray(mouth_opening, np.float64))) * fps
    at_s = np.arange(len(speed)) / fps
    loud = level_db[np.minimum((at_s * RATE / _HOP).astype(int), count - 1)] > quiet_db + QUIET_DB / 2
    spoken = speed[loud & np.isfinite(speed)]
    if len(spoken) < fps:
        return []
    found = []
    for first, end in intervals(level_db < quiet_db):
        start_s, end_s = first * _HOP / RATE, end * _HOP / RATE
        inside = speed[(at_s >= start_s + _EDGE_S) & (at_s < end_s - _EDGE_S)]
        inside = inside[np.isfinite(inside)]
        if end_s - start_s >= LEAST_S and len(inside) and inside.mean() >= MOVING * spoken.mean():
            found.append((start_s, end_s))
    return found


def heard_frames(frames: int, fps: float, dead_s: np.ndarray, offset_ms: np.ndarray | float = 0.0) -> np.ndarray:
    """(frames,) bool: those with audio.

    Args:
        dead_s: (S, 2) of `dead_intervals`. offset_ms: (frames,) or one, how late the audio runs.
    """
    at_s = np.arange(frames) / fps + np.asarray(offset_ms) / 1000
    return ~((at_s[:, None] >= dead_s[:, 0]) & (at_s[:, None] < dead_s[:, 1])).any(1)
