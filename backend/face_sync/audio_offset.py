"""How late a clip's sound runs against its picture, from the sound and the lips alone."""

from __future__ import annotations

import math

import numpy as np

from .audio_features import BANDS, FrameFeatures, Spectra
from .encoders.speech_encoder import encode, opening_weights, pretrained

LIMIT_MS = 800
"""Sound that is off by more is not of this picture."""

STEP_MS = 20
CONFIDENT = 0.5
"""Confidence from which to act: the best shift then beats every distant one by 2.5 standard errors."""

NOTABLE_MS = 60.0
"""A smaller offset is below what viewers notice and what speech learning suffers from."""

_BANDS = 20
_TAPS_MS = (-40, 0, 40)
_FOLDS = 5
_RIDGE = 0.3
_APART_MS = 160
"""Shifts closer than this hear the same syllables; only farther ones are rivals of the best."""

_PHASES_MS = (0, 10, 20, 30)


def estimate_offset_ms(audio: np.ndarray, mouth_opening: np.ndarray, fps: float = 25.0) -> tuple[float, float]:
    """Find the shift at which the sound tells most about the lips.

    Two judges, whose correlations are averaged. The speech encoder says, knowing no person, when lips open, which is
    compared with these. And a ridge regression from log-mel energies to the opening of these lips, and to its speed, is
    judged on parts of the clip that it was not fitted on. The peak over all shifts, refined by a parabola, is the offset.

    Args:
        audio: (samples,) in [-1, 1], 16 kHz mono, beginning with the picture.
        mouth_opening: (N,) distance between the inner lips in any unit; NaN where it is not known.
        fps: frames a second of `mouth_opening`.

    Returns:
        (offset_ms, confidence): what belongs to the picture at time t is heard at t + offset_ms, within
        +-`LIMIT_MS`; confidence in [0, 1], trustworthy from `CONFIDENT`. (0, 0) where there is nothing to judge by: under
        two seconds, still lips, or silence.
    """
    opening = np.asarray(mouth_opening, np.float64)
    count = len(opening)
    known = np.isfinite(opening)
    if known.sum() < 2 * fps or np.ptp(opening[known]) < 1e-9:
        return 0.0, 0.0
    opening = np.interp(np.arange(count), np.flatnonzero(known), opening[known])
    targets = np.stack([opening, np.gradient(opening)], 1)
    targets = (targets - targets.mean(0)) / np.maximum(targets.std(0), 1e-9)
    spectra = Spectra([audio])
    mel = spectra[np.arange(len(spectra))]
    if mel.std() < 1e-3:
        return 0.0, 0.0
    coarse = mel[:, :BANDS].reshape(len(mel), _BANDS, BANDS // _BANDS).mean(2).astype(np.float64)
    told = _told_opening(audio)
    shifts = np.arange(-LIMIT_MS, LIMIT_MS + 1, STEP_MS)
    score = np.array(
        [
            0.5 * _by_encoder(told, targets, known, shift, fps)
            + 0.5 * _by_this_clip(coarse, targets, known, shift, fps)
            for shift in shifts
        ]
    )
    best = int(np.argmax(score))
    rivals = score[np.abs(shifts - shifts[best]) > _APART_MS]
    standard_error = 1 / math.sqrt(max(known.sum() * 6.25 / fps, 1))  # about six independent mouth shapes a second
    lead = max(score[best] - rivals.max(), 0) / standard_error
    at_edge = best in (0, len(shifts) - 1)
    confidence = 0.0 if at_edge else 1 - math.exp(-((lead / 3) ** 2))
    offset = float(shifts[best])
    if not at_edge:
        before, peak, after = score[best - 1 : best + 2]
        bend = before - 2 * peak + after
        if bend < -1e-12:
            offset += STEP_MS * 0.5 * (before - after) / bend
    return float(offset), float(confidence)


def _told_opening(audio: np.ndarray) -> np.ndarray:
    """(T, 2) opening of the lips that the speech encoder hears, and its change, 100 a second."""
    encoder, weights = pretrained(), opening_weights()
    phases = [encode(encoder, FrameFeatures([audio], offset_ms=phase)) @ weights for phase in _PHASES_MS]
    opening = np.stack(phases, 1).reshape(-1)
    return np.stack([opening, np.gradient(opening)], 1)


def _centres(count: int, shift_ms: float, fps: float) -> np.ndarray:
    """(count,) of the hundredths of a second that belong to each frame's picture."""
    return np.round(np.arange(count) * 100 / fps + shift_ms / 10).astype(int)


def _by_encoder(told: np.ndarray, targets: np.ndarray, known: np.ndarray, shift_ms: float, fps: float) -> float:
    """Mean correlation of the lips (N, 2) with what the encoder tells (T, 2) of the shifted sound."""
    centre = _centres(len(targets), shift_ms, fps)
    inside = known & (centre >= 0) & (centre < len(told))
    if inside.sum() < fps:
        return 0.0
    return float(np.mean(_correlations(told[centre[inside]], targets[inside])))


def _by_this_clip(coarse: np.ndarray, targets: np.ndarray, known: np.ndarray, shift_ms: float, fps: float) -> float:
    """Mean correlation, over unseen folds and targets, between the targets and their prediction from shifted sound."""
    count = len(targets)
    centre = _centres(count, shift_ms, fps)
    rows = [coarse[np.clip(centre + tap // 10, 0, len(coarse) - 1)] for tap in _TAPS_MS]
    rows = np.concatenate([*rows, np.ones((count, 1))], 1)
    fold = np.where(known, np.minimum(np.arange(count) * _FOLDS // count, _FOLDS - 1), -1)
    parts = [(rows[fold == k], targets[fold == k]) for k in range(_FOLDS)]
    parts = [(x, y) for x, y in parts if len(x) >= 8]
    normals = [(x.T @ x, x.T @ y) for x, y in parts]
    normal, right = sum(n for n, _ in normals), sum(r for _, r in normals)
    correlations = []
    for (x, y), (own_normal, own_right) in zip(parts, normals, strict=True):
        rest = normal - own_normal
        penalty = np.full(len(rest), _RIDGE * np.trace(rest[:-1, :-1]) / len(rest))
        penalty[-1] = 1e-6
        predicted = x @ np.linalg.solve(rest + np.diag(penalty), right - own_right)
        correlations.append(_correlations(predicted, y))
    return float(np.mean(correlations))


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(K,) of the columns of (n, K) twice."""
    a, b = a - a.mean(0), b - b.mean(0)
    scale = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return (a * b).sum(0) / np.maximum(scale, 1e-9)
