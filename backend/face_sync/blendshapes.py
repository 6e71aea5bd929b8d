"""The 52 blendshape coefficients of each frame of the footage."""

from __future__ import annotations

import numpy as np

from ..protocol import BLENDSHAPE_NAMES


def from_scores(scores: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The face landmarker's own scores, steadied.

    Args:
        scores: (N, 52) in [0, 1], in the order of `BLENDSHAPE_NAMES`.
        valid: (N,) bool; other frames are filled from their neighbours in time.

    Returns:
        (N, 52) float32 in [0, 1].
    """
    return steadied(filled(scores, valid))


def filled(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(N, C): frames that are not `valid` interpolated between those that are; all zero where none is."""
    values = np.asarray(values, np.float64)
    good = np.flatnonzero(valid)
    if not len(good):
        return np.zeros_like(values)
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, good, values[good, k]) for k in range(values.shape[1])], 1)


def steadied(values: np.ndarray, tolerance: float = 0.04) -> np.ndarray:
    """Remove jitter and keep motion: a bilateral filter over five frames.

    A neighbour counts for less the farther its value lies from the frame's own, so changes of a few hundredths are
    averaged while a blink of three frames keeps its depth.

    Args:
        values: (N, 52) coefficients.
        tolerance: standard deviation of what counts as jitter.
    """
    values = np.asarray(values, np.float64)
    if values.shape[1] != len(BLENDSHAPE_NAMES):
        raise ValueError(f"expected {len(BLENDSHAPE_NAMES)} coefficients a frame, not {values.shape[1]}")
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    total, weight = np.zeros_like(values), np.zeros_like(values)
    for shift, near in zip(range(5), (0.4, 0.8, 1.0, 0.8, 0.4), strict=True):
        other = padded[shift : shift + len(values)]
        share = near * np.exp(-0.5 * ((other - values) / tolerance) ** 2)
        total += share * other
        weight += share
    return np.clip(total / weight, 0, 1).astype(np.float32)
