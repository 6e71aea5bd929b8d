"""Image and lip metrics as pure functions on arrays."""

from __future__ import annotations

import cv2
import numpy as np

from ..workspace.arrays import require_same_shape
from ..workspace.landmarks import LIPS

PEAK = 255.0

_SSIM_SIGMA, _SSIM_WINDOW = 1.5, 11
_SSIM_C1, _SSIM_C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of Wang, Simoncelli, Bovik 2003, from the finest scale to the coarsest; fitted to the judgement of viewers."""


def psnr(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio: 10 log10(255² / MSE), decibels; infinite for equal images.

    Args:
        predicted, truth: (H, W, 3) uint8.
        mask: (H, W) bool, where to compare; everywhere when None.

    Returns:
        Decibels; NaN when the mask is empty.
    """
    require_same_shape(predicted, truth)
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

    require_same_shape(predicted, truth)
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


def ms_ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003), mean of the channels; 1 when equal.

    MS-SSIM = mean(l_M · cs_M)^w_M · Π_{j<M} mean(cs_j)^w_j over the scales j = 1 … M, as in the authors' program: cs_j
    is the term of contrast and structure at each place of scale j, l_M that of luminance at the coarsest. Window,
    constants and covariance are those of `ssim`, and only places where the window lies wholly inside count. From scale
    to scale four pixels become their mean; an odd last row or column is dropped. A negative mean counts as 0, since a
    power of it would not be real.

    There are five scales where the shorter side has 176 pixels. A smaller image has as many as leave it 11 pixels a
    side, their weights divided by their sum; so figures of small and of large images do not compare.

    Args:
        predicted, truth: (H, W, 3) uint8, at least 11 pixels a side.
    """
    require_same_shape(predicted, truth)
    if min(truth.shape[:2]) < _SSIM_WINDOW:
        raise ValueError(f"images of {truth.shape[:2]} are smaller than the window of {_SSIM_WINDOW} pixels")
    scales = 1
    while scales < len(_SCALE_WEIGHTS) and min(truth.shape[:2]) >> scales >= _SSIM_WINDOW:
        scales += 1
    weights = np.array(_SCALE_WEIGHTS[:scales]) / sum(_SCALE_WEIGHTS[:scales])
    one, other = predicted.astype(np.float64), truth.astype(np.float64)
    product = np.ones(truth.shape[2])
    for weight in weights[:-1]:
        _, contrast = _similarity(one, other)
        product *= np.maximum(contrast.mean(axis=(0, 1)), 0) ** weight
        one, other = _halved(one), _halved(other)
    luminance, contrast = _similarity(one, other)
    product *= np.maximum((luminance * contrast).mean(axis=(0, 1)), 0) ** weights[-1]
    return float(product.mean())


def _similarity(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance term, and contrast times structure, where the Gaussian window lies inside: (H - 10, W - 10, C)."""
    edge = _SSIM_WINDOW // 2

    def local_mean(image: np.ndarray) -> np.ndarray:
        blurred = cv2.GaussianBlur(image, (_SSIM_WINDOW, _SSIM_WINDOW), _SSIM_SIGMA)
        return blurred[edge:-edge, edge:-edge]

    mean_one, mean_other = local_mean(one), local_mean(other)
    squares = mean_one**2 + mean_other**2
    product = mean_one * mean_other
    variances = local_mean(one * one) + local_mean(other * other) - squares
    covariance = local_mean(one * other) - product
    luminance = (2 * product + _SSIM_C1) / (squares + _SSIM_C1)
    return luminance, (2 * covariance + _SSIM_C2) / (variances + _SSIM_C2)


def _halved(image: np.ndarray) -> np.ndarray:
    height, width = (side // 2 for side in image.shape[:2])
    return image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean(axis=(1, 3))


def border_band(head: np.ndarray) -> np.ndarray:
    """Where the border of the head runs: hair against what is behind it, and jaw against neck.

    Args:
        head: (H, W) bool, inside the head's matte.

    Returns:
        (H, W) bool, 1.5 % of the longer side to both sides of the border; the image's own border is none.
    """
    reach = max(round(0.015 * max(head.shape)), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    inside = head.astype(np.uint8)
    return cv2.dilate(inside, disc) > cv2.erode(inside, disc)


def change_error(
    predicted: np.ndarray,
    truth: np.ndarray,
    predicted_before: np.ndarray,
    truth_before: np.ndarray,
    mask: np.ndarray | None = None,
) -> float:
    """How differently from the truth an image changes from one frame to the next, 0 when it changes equally.

    mean |(P_t − P_{t−1}) − (T_t − T_{t−1})| over pixels and channels, in grey levels of 255. A constant error
    (a wrong colour, a blur on skin at rest) counts nothing; flicker, swimming and motion of another size do. The
    footage's own noise, which no model of a head repeats, is in it too.

    Args:
        predicted, truth: (H, W, 3) uint8, and `predicted_before`, `truth_before` of the frame before.
        mask: (H, W) bool, where to compare; everywhere when None.

    Returns:
        Grey levels; NaN when the mask is empty.
    """
    require_same_shape(predicted, truth)
    require_same_shape(predicted_before, truth_before)
    require_same_shape(predicted, predicted_before)
    error = predicted.astype(np.int16) - truth
    difference = np.abs(error - (predicted_before.astype(np.int16) - truth_before))
    if mask is not None:
        difference = difference[mask]
    return float(difference.mean()) if difference.size else float("nan")


def landmark_distance(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """LMD of each frame: mean distance of lip landmarks, each set about its own mean (Chen et al. 2018, LMD).

    The mean is taken out so that the shape of the mouth is compared, not the place of the head.

    Args:
        predicted, truth: (N, 478, 2) in pixels.

    Returns:
        (N) pixels; NaN where a landmark is NaN (no face was found).
    """
    require_same_shape(predicted, truth)

    def shape_of(points: np.ndarray) -> np.ndarray:
        lips = points[:, LIPS].astype(np.float64)
        return lips - lips.mean(axis=1, keepdims=True)

    return np.linalg.norm(shape_of(predicted) - shape_of(truth), axis=-1).mean(axis=-1)


def range_ratio(one: np.ndarray, other: np.ndarray) -> float:
    """Range from the 5th to the 95th percentile of `one` over that of `other`, where both are finite.

    Unlike a ratio of standard deviations it measures how far the usual extremes reach, and a few outliers do not move it.

    Returns:
        1 when both reach as far; NaN when `other` does not vary or fewer than 3 values are there.
    """
    require_same_shape(one, other)
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 3:
        return float("nan")
    reach = [float(np.subtract(*np.percentile(values[both], (95, 5)))) for values in (one, other)]
    return reach[0] / reach[1] if reach[1] > 1e-9 else float("nan")
