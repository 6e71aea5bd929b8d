"""Filling holes in images smoothly."""

from __future__ import annotations

import cv2
import numpy as np

from ..compilation import has_numba


def push_pull(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fill where `weights` is small from the weighted surroundings, coarse to fine (Gortler et al. 1996, push-pull).

    Args:
        values: (H, W, C) float32.
        weights: (H, W) float32 in [0, 1]; 1 keeps the value, 0 replaces it.

    Returns:
        (H, W, C) float32. All zero where no weight is positive anywhere.
    """
    return push_pull_by_kernel(values, weights) if has_numba() else push_pull_by_numpy(values, weights)


def push_pull_by_kernel(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`push_pull` with colour and weight in one image, and what is between OpenCV's operations compiled."""
    from .fill_kernels import blend, normalise, premultiply

    level = np.empty((*weights.shape, values.shape[2] + 1), np.float32)
    premultiply(np.ascontiguousarray(values, np.float32), np.ascontiguousarray(weights, np.float32), level)
    levels = [level]
    while min(level.shape[:2]) > 1:
        size = _half(*level.shape[:2])
        level = cv2.resize(level, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        normalise(level)
        levels.append(level)
    filled = level[..., :-1] / np.maximum(level[..., -1:], 1e-6)
    for level in reversed(levels[:-1]):
        height, width = level.shape[:2]
        filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)
        blend(level, filled)
    return filled


def push_pull_by_numpy(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`push_pull_by_kernel`'s oracle, and what runs without Numba."""
    height, width = weights.shape
    premultiplied = values * weights[..., None]
    levels = [(premultiplied, weights)]
    while min(levels[-1][1].shape) > 1:
        colour, weight = levels[-1]
        size = _half(*weight.shape)
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        weight = cv2.resize(weight, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0])
        # A coarse pixel counts as known when a quarter of it is; its colour stays the weighted mean.
        gain = np.minimum(1.0 / np.maximum(weight, 0.25), 1.0 / np.maximum(weight, 1e-6))
        levels.append((colour * gain[..., None], weight * gain))
    colour, weight = levels[-1]
    filled = colour / np.maximum(weight, 1e-6)[..., None]
    for colour, weight in reversed(levels[:-1]):
        shape = weight.shape
        filled = cv2.resize(filled, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR).reshape(*shape, -1)
        filled = colour + (1.0 - weight)[..., None] * filled
    return filled.reshape(height, width, -1)


def _half(height: int, width: int) -> tuple[int, int]:
    """Width and height of the next coarser level."""
    return max(1, (width + 1) // 2), max(1, (height + 1) // 2)


def disc(radius_px: float) -> np.ndarray:
    """A round structuring element for `cv2.dilate` and `cv2.erode`; at least one pixel."""
    size = 2 * max(0, round(radius_px)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def dilated(image: np.ndarray, radius_px: float) -> np.ndarray:
    """`cv2.dilate` of (H, W) uint8 by a `disc`, many times faster for a large one."""
    if not has_numba():
        return cv2.dilate(image, disc(radius_px))
    from .fill_kernels import dilate_rows

    halves = disc(radius_px).sum(1).astype(int) // 2
    order = np.argsort(halves, kind="stable")
    out = np.zeros(image.shape, np.uint8)
    dilate_rows(np.ascontiguousarray(image), halves[order], order - len(halves) // 2, out)
    return out


def without_notches(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """(H, W) uint8 closed by a `disc`; what reaches the image's edge continues beyond it."""
    margin = round(radius_px) + 1
    whole = cv2.copyMakeBorder(mask, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    return cv2.morphologyEx(whole, cv2.MORPH_CLOSE, disc(radius_px))[margin:-margin, margin:-margin]
