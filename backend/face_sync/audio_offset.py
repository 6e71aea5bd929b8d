"""Measurement of a clip's audio offset from its audio and the lips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from ..workspace.arrays import correlation, filled, ridge
from .audio_features import BANDS, Spectra, StepFeatures
from .encoders.speech_encoder import encode, opening_weights, pretrained

LIMIT_MS = 800
"""Larger offsets are not measured."""

STEP_MS = 20
CONFIDENT = 0.5
"""Confidence from which to act: the best shift then beats every distant one by 2.5 standard errors."""

NOTABLE_MS = 60.0
"""A smaller offset is below what viewers notice and what training on speech suffers from."""

_BANDS = 20
_TAPS_MS = (-40, 0, 40)
_FOLDS = 5
_RIDGE = 0.3
_APART_MS = 160
"""Shifts closer than this cover the same syllables; only farther ones are rivals of the best."""

_PHASES_MS = (0, 10, 20, 30)


def estimate_offset_ms(audio: np.ndarray, mouth_opening: np.ndarray, fps: float = 25.0) -> tuple[float, float]:
    """Find the shift at which the audio predicts the lips best.

    Two scores are averaged. The first is the correlation of the lips with the opening that the speech encoder predicts,
    for no person in particular. The second is the cross-validated correlation of a ridge regression from log-mel energies
    to the opening of these lips and its speed. The peak over all shifts, refined by a parabola, is the offset.

    Args:
        audio: (samples,) in [-1, 1], 16 kHz mono, starting with the video.
        mouth_opening: (N,) distance between the inner lips in any unit; NaN where it is not known.
        fps: frames a second of `mouth_opening`.

    Returns:
        (offset_ms, confidence): the audio of the frame at time t is at t + offset_ms, within +-`LIMIT_MS`; confidence in
        [0, 1], reliable from `CONFIDENT`. (0, 0) where nothing can be measured: under two seconds, still lips, or silence.
    """
    evidence = OffsetEvidence.of(audio, mouth_opening, fps)
    return evidence.estimate() if evidence is not None else (0.0, 0.0)


_Normal = tuple[np.ndarray, np.ndarray]
"""Both sides of the normal equations of some frames."""


@dataclass(frozen=True)
class OffsetEvidence:
    """A clip's audio and lips, prepared to measure the offset of the clip or any part of it.

    Attributes:
        targets: (N, 2) opening of the lips and its speed, each with mean 0 and deviation 1.
        known: (N,) bool, frames whose lips and audio count.
        coarse: (T, B) log-mel energies, 100 a second.
        predicted: (T, 2) opening that the speech encoder predicts from the audio, and its change, 100 a second.
        fps: frames a second.
    """

    targets: np.ndarray
    known: np.ndarray
    coarse: np.ndarray
    predicted: np.ndarray
    fps: float

    @classmethod
    def of(cls, audio: np.ndarray, mouth_opening: np.ndarray, fps: float = 25.0) -> OffsetEvidence | None:
        """See `estimate_offset_ms`; None where nothing can be measured."""
        opening = np.asarray(mouth_opening, np.float64)
        known = np.isfinite(opening)
        if known.sum() < 2 * fps or np.ptp(opening[known]) < 1e-9:
            return None
        opening = filled(opening, known)
        targets = np.stack([opening, np.gradient(opening)], 1)
        targets = (targets - targets.mean(0)) / np.maximum(targets.std(0), 1e-9)
        spectra = Spectra([audio])
        mel = spectra[np.arange(len(spectra))]
        if mel.std() < 1e-3:
            return None
        coarse = mel[:, :BANDS].reshape(len(mel), _BANDS, BANDS // _BANDS).mean(2).astype(np.float64)
        return cls(targets, known, coarse, _predicted_opening(audio), fps)

    def estimate(self, part: slice = slice(None), like: Sequence[tuple[slice, float]] = ()) -> tuple[float, float]:
        """(offset_ms, confidence) of the frames of a part: see `estimate_offset_ms`.

        Args:
            like: other parts and their offsets, ms, which the regression is fitted on as well.
        """
        known = int(self.known[part].sum())
        if known < 2 * self.fps:
            return 0.0, 0.0
        shifts = np.arange(-LIMIT_MS, LIMIT_MS + 1, STEP_MS)
        with threadpool_limits(1, "blas"):  # for systems of 61 unknowns BLAS threads cost many times what they gain
            others = [self._normal(other, offset) for other, offset in like]
            score = np.array([self._score(part, float(shift), others) for shift in shifts])
        best = int(np.argmax(score))
        rivals = score[np.abs(shifts - shifts[best]) > _APART_MS]
        lead = max(score[best] - rivals.max(), 0) / self.standard_error(part)
        at_edge = best in (0, len(shifts) - 1)
        confidence = 0.0 if at_edge else 1 - math.exp(-((lead / 3) ** 2))
        offset = float(shifts[best])
        if not at_edge:
            before, peak, after = score[best - 1 : best + 2]
            bend = before - 2 * peak + after
            if bend < -1e-12:
                offset += STEP_MS * 0.5 * (before - after) / bend
        return float(offset), float(confidence)

    def standard_error(self, part: slice = slice(None)) -> float:
        """Standard error of a score: there are about six independent mouth shapes a second."""
        return 1 / math.sqrt(max(float(self.known[part].sum()) * 6.25 / self.fps, 1))

    def score(self, part: slice, shift_ms: float) -> float:
        """The mean of both correlations for a part at an offset."""
        return self._score(part, shift_ms, [])

    def _score(self, part: slice, shift_ms: float, others: list[_Normal]) -> float:
        centre, targets, known = self._centres(part, shift_ms), self.targets[part], self.known[part]
        by_encoder = _by_encoder(self.predicted, targets, known, centre, self.fps)
        return 0.5 * by_encoder + 0.5 * _by_this_clip(self.coarse, targets, known, centre, others)

    def _centres(self, part: slice, shift_ms: float) -> np.ndarray:
        """(n,) index of the spectrum, 100 a second, that belongs to each frame of a part."""
        return np.round(np.arange(len(self.targets))[part] * 100 / self.fps + shift_ms / 10).astype(int)

    def _normal(self, part: slice, shift_ms: float) -> _Normal:
        known = self.known[part]
        rows = _rows(self.coarse, self._centres(part, shift_ms))[known]
        return rows.T @ rows, rows.T @ self.targets[part][known]


def _predicted_opening(audio: np.ndarray) -> np.ndarray:
    """(T, 2) opening of the lips that the speech encoder predicts, and its change, 100 a second."""
    encoder, weights = pretrained(), opening_weights()
    phases = [encode(encoder, StepFeatures([audio], offset_ms=phase)) @ weights for phase in _PHASES_MS]
    opening = np.stack(phases, 1).reshape(-1)
    return np.stack([opening, np.gradient(opening)], 1)


def _by_encoder(predicted: np.ndarray, targets: np.ndarray, known: np.ndarray, centre: np.ndarray, fps: float) -> float:
    """Mean correlation of the lips (N, 2) with what the encoder predicts (T, 2) at `centre` (N)."""
    inside = known & (centre >= 0) & (centre < len(predicted))
    if inside.sum() < fps:
        return 0.0
    return float(np.mean(np.nan_to_num(correlation(predicted[centre[inside]], targets[inside]))))


def _by_this_clip(
    coarse: np.ndarray, targets: np.ndarray, known: np.ndarray, centre: np.ndarray, others: list[_Normal]
) -> float:
    """Mean correlation, over held-out folds and targets, between the targets and their prediction from audio at `centre`.

    Args:
        others: normal equations of other frames, used in every fold.
    """
    count, rows = len(targets), _rows(coarse, centre)
    fold = np.where(known, np.minimum(np.arange(count) * _FOLDS // count, _FOLDS - 1), -1)
    parts = [(rows[fold == k], targets[fold == k]) for k in range(_FOLDS)]
    parts = [(x, y) for x, y in parts if len(x) >= 8]
    if not parts:
        return 0.0
    normals = [(x.T @ x, x.T @ y) for x, y in parts]
    normal, right = sum(n for n, _ in [*normals, *others]), sum(r for _, r in [*normals, *others])
    correlations = []
    for (x, y), (own_normal, own_right) in zip(parts, normals, strict=True):
        rest = normal - own_normal
        penalty = np.full(len(rest), _RIDGE * np.trace(rest[:-1, :-1]) / len(rest))
        penalty[-1] = 1e-6
        predicted = x @ ridge(rest, right - own_right, penalty)
        correlations.append(np.nan_to_num(correlation(predicted, y)))
    return float(np.mean(correlations))


def _rows(coarse: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(n, 3 B + 1) energies about each of (n,) hundredths of a second, and 1."""
    taps = [coarse[np.clip(centre + tap // 10, 0, len(coarse) - 1)] for tap in _TAPS_MS]
    return np.concatenate([*taps, np.ones((len(centre), 1))], 1)
