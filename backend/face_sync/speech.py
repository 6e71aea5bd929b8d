"""From sound to this subject's mouth: fitted on the subject's own clip, saved as `speech.safetensors`.

A ridge regression carries log-mel features with their context (speech shapes the mouth before it is heard, so the
sound ahead counts most) to the subject's mouth blendshapes. Least squares damps what it is unsure of, to about 0.6 of
the real motion; each coefficient is therefore brought back to the subject's own distribution by a monotone curve, found
on predictions for parts of the clip that the regression had not seen. In silence the mouth goes to the pose in which
this subject rests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..errors import ModelError
from ..protocol import BLENDSHAPE_NAMES, MOUTH_NAMES
from ..workspace import atomic_path
from .audio_features import COLUMNS, DECIBEL, PER_FRAME

MOUTH_INDEX = np.array([BLENDSHAPE_NAMES.index(name) for name in MOUTH_NAMES])
"""Places of the mouth's blendshapes among all 52."""

CONTEXT = (-2, 5)
"""Rows of features before and after the frame's own: 0.1 s of the past, 0.2 s ahead."""

RIDGE = (1.0, 3.0, 10.0, 30.0)
"""Strengths that cross-validation chooses from, as multiples of the mean squared norm of a row."""

KNOTS = np.linspace(0.02, 0.98, 13)
"""Quantiles that the amplitude curves go through."""

FOLDS = 5
SILENCE_DB = 38.0
LEAST_SILENCE_DB = 20.0
"""Moments more than 38 dB below the loud ones are pauses, those less than 20 dB below never; between, it is the clip's
background that decides."""

FORMAT = "synctalk-speech-1"


@dataclass
class SpeechModel:
    """A subject's map from sound to mouth.

    Attributes:
        weights: (context * PER_FRAME / 2 * COLUMNS, M) and `bias` (M): the regression.
        knots_in, knots_out: (M, K): amplitude curve of each coefficient, increasing.
        rest: (M,) the mouth in a pause.
        correlation: (M,) between prediction and tracking on unseen parts of the clip; NaN where the mouth did not move.
    """

    weights: np.ndarray
    bias: np.ndarray
    knots_in: np.ndarray
    knots_out: np.ndarray
    rest: np.ndarray
    correlation: np.ndarray
    names: tuple[str, ...] = MOUTH_NAMES
    context: tuple[int, int] = CONTEXT

    def save(self, path: Path) -> None:
        """Write as safetensors, settings in the metadata, atomically."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self, name), np.float32) for name in _ARRAYS}
        metadata = {"settings": json.dumps({"format": FORMAT, "names": self.names, "context": self.context})}
        with atomic_path(path) as temporary:
            save_file(arrays, temporary, metadata)

    @classmethod
    def load(cls, path: Path) -> SpeechModel:
        """Read what `save` wrote.

        Raises:
            ModelError: missing, damaged, or of another format.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as file:
                settings = json.loads((file.metadata() or {}).get("settings", "{}"))
                if settings.get("format") != FORMAT:
                    raise ModelError(
                        f"{path} is not a speech model of this version: run process on this workspace again."
                    )
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        except FileNotFoundError as error:
            raise ModelError(f"{path} is missing: run process on this workspace first.") from error
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{path} is damaged ({error}): delete it and run process on this workspace again."
            ) from error
        return cls(**arrays, names=tuple(settings["names"]), context=tuple(settings["context"]))


_ARRAYS = ("weights", "bias", "knots_in", "knots_out", "rest", "correlation")


def fit(features: np.ndarray, mouth: np.ndarray, valid: np.ndarray | None = None) -> SpeechModel:
    """Fit the map on a clip.

    Args:
        features: (N, PER_FRAME * COLUMNS) from `audio_features.frame_features`, the offset of the sound mended.
        mouth: (N, M) the tracked mouth coefficients, in the order of `MOUTH_NAMES`.
        valid: (N,) bool, frames whose tracking can be trusted; None for all.
    """
    rows = _with_context(features, CONTEXT)
    valid = np.ones(len(rows), bool) if valid is None else np.asarray(valid, bool)
    used = np.flatnonzero(valid)
    rows, target = rows[used].astype(np.float64), np.asarray(mouth, np.float64)[used]
    spoken = ~pauses(features)[used]
    # Contiguous folds: neighbouring frames share their context, so scattered ones would not be unseen.
    fold = np.minimum(np.arange(len(used)) * FOLDS // max(len(used), 1), FOLDS - 1)
    best = None
    for strength in RIDGE:
        unseen = np.zeros_like(target)
        for k in range(FOLDS):
            held = fold == k
            if held.all() or not held.any():
                continue
            weights, bias = _ridge(rows[~held], target[~held], strength)
            unseen[held] = rows[held] @ weights + bias
        error = ((unseen - target) ** 2).sum()
        if best is None or error < best[0]:
            best = error, strength, unseen
    _, strength, unseen = best
    weights, bias = _ridge(rows, target, strength)
    correlation = _correlation(unseen[spoken], target[spoken])
    knots_in, knots_out = _amplitude_curves(unseen[spoken], target[spoken], correlation)
    quiet = target[~spoken]
    rest = np.median(quiet, axis=0) if len(quiet) >= 5 else np.quantile(target, 0.2, axis=0)
    return SpeechModel(weights, bias, knots_in, knots_out, rest, correlation)


def predict(model: SpeechModel, features: np.ndarray) -> np.ndarray:
    """The mouth that speaks the sound.

    Args:
        features: (N, PER_FRAME * COLUMNS) of the new sound.

    Returns:
        (N, M) float32 in [0, 1], in the order of `model.names`.
    """
    raw = _with_context(features, model.context) @ np.asarray(model.weights, np.float32) + model.bias
    mouth = np.empty_like(raw)
    for k in range(raw.shape[1]):
        mouth[:, k] = _curve(raw[:, k], model.knots_in[k], model.knots_out[k])
    silent = gaussian_filter1d(pauses(features).astype(np.float32), 1.5, axis=0)[:, None]
    mouth = mouth * (1 - silent) + model.rest * silent
    return np.clip(gaussian_filter1d(mouth, 0.6, axis=0), 0, 1).astype(np.float32)


def pauses(features: np.ndarray) -> np.ndarray:
    """(N,) bool: frames inside pauses of at least 0.2 s: as quiet as the clip gets, and far below its loud moments."""
    loudness = features.reshape(len(features), PER_FRAME, COLUMNS)[:, :, -1].max(1)
    background = np.quantile(loudness, 0.05) + 6 * DECIBEL
    loud = np.quantile(loudness, 0.95)
    quiet = loudness < np.clip(background, loud - SILENCE_DB * DECIBEL, loud - LEAST_SILENCE_DB * DECIBEL)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start < 5:  # a stop consonant is silent for up to 0.15 s
            quiet[start:stop] = False
    return quiet


def _with_context(features: np.ndarray, context: tuple[int, int]) -> np.ndarray:
    """(N, rows * PER_FRAME / 2 * COLUMNS) float32: the spectra of the neighbouring frames, two by two averaged."""
    count = len(features)
    pairs = features.reshape(count, PER_FRAME // 2, 2, COLUMNS).mean(2).reshape(count, -1)
    index = np.clip(np.arange(count)[:, None] + np.arange(context[0], context[1] + 1), 0, count - 1)
    return pairs[index].reshape(count, -1).astype(np.float32)


def _ridge(rows: np.ndarray, target: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """(D, M), (M,): argmin |rows w + b - target|^2 + strength * mean |row|^2 * |w|^2, in whichever space is smaller."""
    mean, offset = rows.mean(0), target.mean(0)
    centred = rows - mean
    penalty = strength * (centred**2).sum(1).mean()
    if len(rows) < rows.shape[1]:
        kernel = centred @ centred.T
        weights = centred.T @ np.linalg.solve(kernel + penalty * np.eye(len(kernel)), target - offset)
    else:
        gram = centred.T @ centred
        weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), centred.T @ (target - offset))
    return weights, offset - mean @ weights


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(0), b - b.mean(0)
    scale = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.where(scale > 1e-9, (a * b).sum(0) / np.maximum(scale, 1e-9), np.nan)


def _amplitude_curves(
    predicted: np.ndarray, tracked: np.ndarray, correlation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(M, K) twice: quantiles of the prediction and what they become.

    A coefficient that the sound tells (correlation from 0.4) takes the subject's own distribution; one that it does not
    tell keeps the damped one, as restoring its amplitude would only add noise.
    """
    knots_in = np.quantile(predicted, KNOTS, axis=0).T
    own = np.quantile(tracked, KNOTS, axis=0).T
    trust = np.clip((np.nan_to_num(correlation) - 0.1) / 0.3, 0, 1)[:, None]
    knots_out = trust * own + (1 - trust) * knots_in
    steps = np.maximum(np.diff(knots_in, axis=1), 1e-6)
    return np.concatenate([knots_in[:, :1], knots_in[:, :1] + np.cumsum(steps, 1)], 1), knots_out


def _curve(value: np.ndarray, knots_in: np.ndarray, knots_out: np.ndarray) -> np.ndarray:
    """Piecewise linear through the knots, going on at the mean slope beyond them."""
    inside = np.interp(value, knots_in, knots_out)
    slope = (knots_out[-1] - knots_out[0]) / (knots_in[-1] - knots_in[0])
    return inside + slope * (np.maximum(value - knots_in[-1], 0) + np.minimum(value - knots_in[0], 0))
