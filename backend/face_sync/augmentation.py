"""Changes of voice made on log-mel features."""

from __future__ import annotations

import numpy as np

from .audio_features import BANDS, COLUMNS

MASKS = 4
"""Bands and moments that `masked` takes out of a window, each."""


def masked(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some bands, and some moments, brought to their mean: what is left must do (Park et al. 2019, SpecAugment).

    Args:
        features: (N, PER_STEP * COLUMNS); the loudness stays.
    """
    spectra = features.reshape(-1, COLUMNS).copy()
    for _ in range(MASKS):
        band, moment = rng.integers(BANDS - 10), rng.integers(max(len(spectra) - 8, 1))
        spectra[:, band : min(band + rng.integers(1, 12), BANDS)] = 0
        spectra[moment : moment + rng.integers(1, 8), :BANDS] = 0
    return spectra.reshape(features.shape)


def warped(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another voice saying the same.

    The bands are stretched along the mel axis by up to 12 % (another vocal tract and pitch), coloured a little and
    made up to 15 % more or less distinct. The time stays.

    Args:
        features: (N, PER_STEP * COLUMNS) from `audio_features.step_features`.
    """
    spectra = features.reshape(-1, COLUMNS).copy()
    place = np.clip(np.arange(BANDS) * np.exp(rng.uniform(-0.12, 0.12)) + rng.uniform(-1, 1), 0, BANDS - 1)
    low = np.minimum(place.astype(int), BANDS - 2)
    share = (place - low).astype(np.float32)
    spectra[:, :BANDS] = spectra[:, low] * (1 - share) + spectra[:, low + 1] * share
    spectra[:, :BANDS] += np.interp(np.arange(BANDS), np.linspace(0, BANDS, 5), rng.normal(0, 0.3, 5)).astype(
        np.float32
    )
    spectra[:, :BANDS] *= np.float32(rng.uniform(0.85, 1.15))
    return spectra.reshape(features.shape)
