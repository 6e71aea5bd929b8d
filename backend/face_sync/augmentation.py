"""Changes of voice made on log-mel features."""

from __future__ import annotations

import numpy as np

from .audio_features import BANDS, COLUMNS


def warped(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another voice saying the same.

    The bands are stretched along the mel axis by up to 12 % (another vocal tract and pitch), coloured a little and
    made up to 15 % more or less distinct. The time stays.

    Args:
        features: (N, PER_FRAME * COLUMNS) from .audio_features.frame_features`.
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
