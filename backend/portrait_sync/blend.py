"""Compositing a rendered head over the plate, and the working square back into the source frame."""

from __future__ import annotations

import cv2
import numpy as np

from ..workspace.subject import Crop


def over(head: np.ndarray, plate: np.ndarray, soften_px: float = 0.0) -> np.ndarray:
    """Composite the head over the plate: C + (1 − α)·plate, in display-encoded values, as in training.

    Args:
        head: (H, W, 4) float32 RGBA in [0, 1], premultiplied, display-encoded (sRGB).
        plate: (H, W, 3) uint8.
        soften_px: standard deviation of a blur of the edge; colour and alpha are blurred together, so there is no dark or
            light fringe, and only near the edge, so the face keeps its detail.

    Returns:
        (H, W, 3) uint8.
    """
    if soften_px > 0:
        blurred = cv2.GaussianBlur(head, (0, 0), soften_px)
        # 4·α(1−α) of the blurred matte: 1 on the edge, 0 inside and outside.
        edge = np.clip(4.0 * blurred[..., 3:] * (1.0 - blurred[..., 3:]), 0.0, 1.0)
        head = head + edge * (blurred - head)
    image = 255.0 * head[..., :3] + (1.0 - head[..., 3:]) * plate
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def behind_cover(head: np.ndarray, cover: np.ndarray | None) -> np.ndarray:
    """A head (H, W, 4), premultiplied, without what is behind a cover (H, W) float32 in [0, 1]; itself where that is None."""
    return head if cover is None else head * (1.0 - cover)[..., None]


def place(image: np.ndarray, crop: Crop, source: np.ndarray, feather: float = 0.03) -> np.ndarray:
    """Put a working square back into the full source frame.

    A point (u, v) of the working frame is at (x + u·size/S, y + v·size/S) of the source (docs/workspace.md).

    Args:
        image: (S, S, 3) uint8.
        crop: the square in the source; it may extend beyond it.
        source: (H, W, 3) uint8.
        feather: width of the ramp from the image to the source at the square's border, as a share of its side. Sides on
            or beyond the source's border have none.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = source.shape[:2]
    step = image.shape[0] / crop.size
    left, top = max(0, int(np.floor(crop.x))), max(0, int(np.floor(crop.y)))
    right, bottom = min(width, int(np.ceil(crop.x + crop.size))), min(height, int(np.ceil(crop.y + crop.size)))
    if right <= left or bottom <= top:
        return source.copy()
    patch = resample(image, ((left - crop.x) * step, (top - crop.y) * step), step, (right - left, bottom - top))

    ramp = max(1.0, feather * crop.size)
    columns, rows = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    across = _ramp(columns, crop.x, crop.x + crop.size, width, ramp)
    along = _ramp(rows, crop.y, crop.y + crop.size, height, ramp)
    weight = (along[:, None] * across[None])[..., None]
    result = source.copy()
    region = result[top:bottom, left:right]
    region[...] = np.rint(region + weight * (patch.astype(np.float32) - region)).astype(np.uint8)
    return result


def resample(image: np.ndarray, origin: tuple[float, float], step: float, size: tuple[int, int]) -> np.ndarray:
    """Sample `image` at origin + step·(pixel + ½), pixel centres at ½, edges repeated; `size` is (width, height)."""
    if step > 1.0:  # the Gaussian that takes a unit pixel's blur to one of `step` pixels, or fine detail would alias
        image = cv2.GaussianBlur(image, (0, 0), 0.5 * float(np.sqrt(step * step - 1.0)))
    matrix = np.array([[step, 0.0, origin[0] + 0.5 * step - 0.5], [0.0, step, origin[1] + 0.5 * step - 0.5]])
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if step > 1.0 else cv2.INTER_CUBIC)
    return cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _ramp(positions: np.ndarray, low: float, high: float, limit: int, width: float) -> np.ndarray:
    """1 inside [low, high], falling to 0 at its ends over `width`, except at an end on or beyond [0, limit]."""
    weight = np.ones_like(positions)
    if low > 0.5:
        weight = np.minimum(weight, (positions - low) / width)
    if high < limit - 0.5:
        weight = np.minimum(weight, (high - positions) / width)
    return np.clip(weight, 0.0, 1.0)
