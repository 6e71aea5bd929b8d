"""Small mathematics on arrays that several stages need."""

from __future__ import annotations

import numpy as np


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, value: float | np.ndarray) -> np.ndarray:
    """Hermite ramp from 0 at `low` to 1 at `high` (`low` may exceed `high`)."""
    t = np.minimum(np.maximum((value - low) / (high - low), 0.0), 1.0)  # np.clip takes five times as long
    return t * t * (3.0 - 2.0 * t)


def filled(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(N, ...) with the rows that are not `known` (N) interpolated linearly in time; zero where none is known."""
    columns, good = values.reshape(len(values), -1), np.flatnonzero(known)
    if not len(good):
        return np.zeros(values.shape)
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, good, column[good]) for column in columns.T], 1).reshape(values.shape)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) area-weighted unit normals of a mesh with (T, 3) triangles."""
    corners = vertices[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normal, triangles[:, k], face)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the first axis, where both are finite.

    Args:
        one, other: (N, ...).

    Returns:
        (...); NaN where either does not vary, or fewer than 3 places are known.
    """
    require_same_shape(one, other)
    known = np.isfinite(one) & np.isfinite(other)
    count = np.maximum(known.sum(0), 1)
    a, b = (np.where(known, values, 0.0) for values in (one, other))
    a, b = (np.where(known, values - values.sum(0) / count, 0.0) for values in (a, b))
    deviations = np.sqrt((a**2).sum(0) / count), np.sqrt((b**2).sum(0) / count)
    varies = (known.sum(0) >= 3) & (np.minimum(*deviations) >= 1e-9)
    found = np.where(varies, (a * b).sum(0) / count / np.maximum(np.prod(deviations, axis=0), 1e-18), np.nan)
    return found[()]  # a number for one column


def concordance(one: np.ndarray, other: np.ndarray) -> float:
    """Lin's concordance correlation coefficient of (N) twice: 1 only where both are equal."""
    covariance = ((one - one.mean()) * (other - other.mean())).mean()
    return float(2 * covariance / max(one.var() + other.var() + (one.mean() - other.mean()) ** 2, 1e-12))


def ridge(normal: np.ndarray, right: np.ndarray, penalty: float | np.ndarray) -> np.ndarray:
    """Weights (D, ...) of a ridge regression.

    Args:
        normal: (D, D) rows.T @ rows. right: (D, ...) rows.T @ values.
        penalty: of the squared weights: one number, or (D) of each weight.
    """
    return np.linalg.solve(normal + penalty * np.eye(len(normal)), right)


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] as sRGB's code value in [0, 1] (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def decode_srgb(signal: np.ndarray) -> np.ndarray:
    """sRGB's code value in [0, 1] as linear light: the inverse of `encode_srgb`."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def require_same_shape(one: np.ndarray, other: np.ndarray) -> None:
    """
    Raises:
        ValueError: the arrays cannot be compared.
    """
    if one.shape != other.shape:
        raise ValueError(f"arrays of {one.shape} and {other.shape} cannot be compared")
