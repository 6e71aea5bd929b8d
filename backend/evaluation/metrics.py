"""Picture and lip metrics as pure functions on arrays."""

from __future__ import annotations

import numpy as np

PEAK = 255.0

LIPS: tuple[int, ...] = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
"""Outer, then inner border of the lips in MediaPipe's face mesh."""

_UPPER_LIP, _LOWER_LIP = (82, 13, 312), (87, 14, 317)
_EYE_CORNERS = (33, 263)


def psnr(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio: 10 log10(255² / MSE), decibels; infinite for equal pictures.

    Args:
        predicted, truth: (H, W, 3) uint8.
        mask: (H, W) bool, where to compare; everywhere when None.

    Returns:
        Decibels; NaN when the mask is empty.
    """
    _same_shape(predicted, truth)
    difference = predicted.astype(np.float32) - truth.astype(np.float32)
    if mask is not None:
        difference = difference[mask]
        if difference.size == 0:
            return float("nan")
    error = float(np.mean(np.square(difference), dtype=np.float64))
    return float("inf") if error == 0 else 10 * float(np.log10(PEAK**2 / error))


def ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian window, sigma 1.5), mean of pixels and channels; 1 when equal.

    Args:
        predicted, truth: (H, W, 3) uint8, at least 11 pixels a side.
    """
    from skimage.metrics import structural_similarity

    _same_shape(predicted, truth)
    return float(
        structural_similarity(
            truth,
            predicted,
            data_range=PEAK,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def landmark_distance(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """LMD of each frame: mean distance of lip landmarks, each set about its own mean (Chen et al. 2018, LMD).

    The mean is taken out so that the shape of the mouth is compared, not the place of the head.

    Args:
        predicted, truth: (N, 478, 2) in pixels.

    Returns:
        (N) pixels; NaN where a landmark is NaN (no face was found).
    """
    _same_shape(predicted, truth)

    def shape_of(points: np.ndarray) -> np.ndarray:
        lips = points[:, LIPS].astype(np.float64)
        return lips - lips.mean(axis=1, keepdims=True)

    return np.linalg.norm(shape_of(predicted) - shape_of(truth), axis=-1).mean(axis=-1)


def lip_opening(landmarks: np.ndarray) -> np.ndarray:
    """Distance between the inner lips over the distance between the outer corners of the eyes.

    Args:
        landmarks: (N, 478, 2) in pixels.

    Returns:
        (N), about 0 for shut lips and 0.3 for a wide open mouth.
    """
    points = landmarks.astype(np.float64)
    gap = np.linalg.norm(points[:, _UPPER_LIP] - points[:, _LOWER_LIP], axis=-1).mean(axis=-1)
    return gap / np.linalg.norm(points[:, _EYE_CORNERS[0]] - points[:, _EYE_CORNERS[1]], axis=-1)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation over the places where both are finite; NaN when either does not vary."""
    _same_shape(one, other)
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 3 or min(np.std(one[both]), np.std(other[both])) < 1e-9:
        return float("nan")
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _same_shape(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape != other.shape:
        raise ValueError(f"arrays of {one.shape} and {other.shape} cannot be compared")
