"""Sparse optical flow between two images: by a compiled kernel, or by OpenCV where Numba is not installed.

Both find the same. The kernel takes a quarter of the time: it fits the processor's vectors, a pyramid serves several matches, and
half the size is left as soon as the full one can continue.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..compilation import has_numba
from ..workspace.shapes import Bool, Float, UInt8

MAX_STEPS = 20
MIN_EIGENVALUE = 1e-4
"""Of OpenCV: texture below which a patch is not matched. Its derivatives are 32 times ours, its sums 2^-20 of them."""

FINE_PX, COARSE_PX = 0.01, 0.05
"""A step below this is the last one, in pixels of the image and of its half."""

_MIN_TEXTURE = MIN_EIGENVALUE * 2**20 / 32**2
_MARGIN = 36
"""Border around an image, pixels: half a patch, and what the kernel reads beyond it."""


@dataclass(frozen=True)
class Pyramid:
    """An image and its half. `padded`: both with a border, for the kernel."""

    image: UInt8[np.ndarray, "h w"]
    padded: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def of(cls, image: UInt8[np.ndarray, "h w"]) -> Pyramid:
        if not has_numba():
            return cls(image, None)
        levels = image, cv2.pyrDown(image)
        full, half = (
            cv2.copyMakeBorder(level, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_REFLECT_101) for level in levels
        )
        return cls(image, (full, half))


def match(
    before: Pyramid, after: Pyramid, start: Float[np.ndarray, "k 2"], guess: Float[np.ndarray, "k 2"], window: int
) -> tuple[Float[np.ndarray, "k 2"], Bool[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Find patches of one image in another (Lucas and Kanade 1981, on a pyramid of two levels).

    Args:
        start: centres of the patches in `before`, OpenCV's pixels: the first one's centre is 0.
        guess: about where they are in `after`.
        window: odd side of a patch, pixels, at most 41.

    Returns:
        Where they are, float64; whether each was found; and the mean absolute difference of the patches, 8-bit levels.
    """
    if before.padded is None or after.padded is None:
        return match_by_opencv(before.image, after.image, start, guess, window)
    from .patch_flow_kernel import match_patches

    count = len(start)
    there = np.array(guess, np.float64)
    found, difference = np.zeros(count, bool), np.zeros(count, np.float32)
    match_patches(
        *before.padded,
        *after.padded,
        _MARGIN,
        np.array(start, np.float64),
        there,
        found,
        difference,
        window,
        (MAX_STEPS, _MIN_TEXTURE),
        (COARSE_PX, FINE_PX),
    )
    return there, found, difference


def match_by_opencv(
    before: UInt8[np.ndarray, "h w"],
    after: UInt8[np.ndarray, "h w"],
    start: Float[np.ndarray, "k 2"],
    guess: Float[np.ndarray, "k 2"],
    window: int,
) -> tuple[Float[np.ndarray, "k 2"], Bool[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """`match` by OpenCV: the kernel's oracle."""
    there, found, difference = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        start.astype(np.float32).reshape(-1, 1, 2),
        guess.astype(np.float32).reshape(-1, 1, 2),
        winSize=(window, window),
        maxLevel=1,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, MAX_STEPS, FINE_PX),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=MIN_EIGENVALUE,
    )
    return there[:, 0].astype(np.float64), found[:, 0] > 0, difference[:, 0]


def compile_kernel() -> None:
    """Compile or read what `match` calls."""
    image, centre = Pyramid.of(np.zeros((64, 64), np.uint8)), np.full((1, 2), 32.0)
    match(image, image, centre, centre, 9)
