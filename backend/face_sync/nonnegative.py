"""Many small least-squares problems with bounds, solved side by side."""

from __future__ import annotations

import numpy as np


def bounded_least_squares(
    normal: np.ndarray, right: np.ndarray, lower: np.ndarray, upper: np.ndarray, iterations: int = 200
) -> np.ndarray:
    """Minimise x^T H x / 2 - b^T x subject to lower <= x <= upper, for N problems at once.

    Accelerated projected gradient with restarts (FISTA: Beck and Teboulle 2009; O'Donoghue and Candes 2015) after
    scaling by the diagonal.

    Args:
        normal: (N, K, K) symmetric positive definite H.
        right: (N, K) b.
        lower, upper: (K,), infinite where unbounded.

    Returns:
        (N, K), the dtype of `normal`.
    """
    diagonal = np.arange(normal.shape[1])
    scale = np.sqrt(normal[:, diagonal, diagonal])
    scaled = normal / (scale[:, :, None] * scale[:, None, :])
    target = right / scale
    low, high = (lower * scale).astype(normal.dtype), (upper * scale).astype(normal.dtype)
    # The largest eigenvalue is at most the largest absolute row sum (Gershgorin); a few power steps come closer.
    vector = np.ones_like(target)
    for _ in range(20):
        vector = _apply(scaled, vector)
        vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    lipschitz = np.linalg.norm(_apply(scaled, vector), axis=1, keepdims=True) * 1.1
    solution = np.clip(np.zeros_like(target), low, high)
    ahead, momentum = solution, np.ones((len(target), 1), normal.dtype)
    for _ in range(iterations):
        step = np.clip(ahead - (_apply(scaled, ahead) - target) / lipschitz, low, high)
        restart = ((ahead - step) * (step - solution)).sum(1, keepdims=True) > 0
        momentum = np.where(restart, 1, momentum)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = step + np.where(restart, 0, (momentum - 1) / following) * (step - solution)
        solution, momentum = step, following
    return solution / scale


def _apply(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.matmul(matrices, vectors[..., None])[..., 0]
