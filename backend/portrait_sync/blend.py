"""Compositing a rendered head over the plate, and the working square into the source frame."""

from __future__ import annotations

import cv2
import numpy as np

from ..compilation import has_numba
from ..workspace.subject import Subject
from .taps import Taps


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


def working_ramp(subject: Subject, feather: float = 0.03) -> np.ndarray:
    """(S, S) float32: 1 in the working frame, falling to 0 at its borders, but for those on or beyond the source's.

    Args:
        feather: width of the ramp, as a share of the side.
    """
    crop = subject.place
    ramp = max(1.0, feather * crop.size)
    pixels = (np.arange(subject.size) + 0.5) * subject.scale
    across, along = (
        _ramp(first + pixels, first, first + crop.size, limit, ramp)
        for first, limit in zip((crop.x, crop.y), subject.source_size, strict=True)
    )
    return (along[:, None] * across[None]).astype(np.float32)


def resample(image: np.ndarray, origin: tuple[float, float], step: float, size: tuple[int, int]) -> np.ndarray:
    """Sample `image` at origin + step·(pixel + ½), pixel centres at ½, edges repeated; `size` is (width, height)."""
    if step <= 1.0 and image.dtype == np.uint8 and image.shape[2:] == (4,) and has_numba():
        return resampled_bytes(image, origin, (step, step), size)
    if step > 1.0:  # or fine detail would alias
        image = cv2.GaussianBlur(image, (0, 0), unit_blur(step))
    matrix = np.array([[step, 0.0, origin[0] + 0.5 * step - 0.5], [0.0, step, origin[1] + 0.5 * step - 0.5]])
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if step > 1.0 else cv2.INTER_CUBIC)
    return cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def resampled_bytes(
    image: np.ndarray,
    origin: tuple[float, float],
    steps: tuple[float, float],
    size: tuple[int, int],
    is_premultiplied: bool = False,
) -> np.ndarray:
    """`resample` of (H, W, 4) uint8 by the cubic, in a third of the time; `steps` are across and down, up to 1.

    Args:
        is_premultiplied: colours stay at most their alpha.
    """
    from .resample_kernels import resample_bytes

    columns, rows = (
        Taps.at(at, step, count, length)
        for at, step, count, length in zip(origin, steps, size, image.shape[1::-1], strict=True)
    )
    out = np.empty((size[1], size[0], 4), np.uint8)
    resample_bytes(np.ascontiguousarray(image), rows, columns, is_premultiplied, out)
    return out


def unit_blur(step: float) -> float:
    """Standard deviation of the Gaussian that takes a unit pixel's blur to one of `step` pixels."""
    return 0.5 * float(np.sqrt(step * step - 1.0))


def _ramp(positions: np.ndarray, low: float, high: float, limit: int, width: float) -> np.ndarray:
    """1 inside [low, high], falling to 0 at its ends over `width`, except at an end on or beyond [0, limit]."""
    weight = np.ones_like(positions)
    if low > 0.5:
        weight = np.minimum(weight, (positions - low) / width)
    if high < limit - 0.5:
        weight = np.minimum(weight, (high - positions) / width)
    return np.clip(weight, 0.0, 1.0)
