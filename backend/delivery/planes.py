"""What a delivery changes of a frame's planes: a head composited over them, and the watermark's pattern added."""

from __future__ import annotations

import cv2
import numpy as np

from ..media.samples import FLOAT, LUMINANCE, RGB, Planes, SampleFormat, signal
from .plane_kernels import add_pattern, blend_chroma, blend_plane

_TAPS = {0: [1], 1: [1, 2, 1], 2: [1, 2, 3, 4, 3, 2, 1]}
"""Weights of the columns about a sample of chroma that has so many times half of them: [1, 2, 1] once and twice."""


def composite(planes: Planes, stored: SampleFormat, corner: tuple[int, int], rgba: np.ndarray) -> None:
    """Composite an image over a frame; where its alpha is 0 the frame's values stay.

    Args:
        planes: changed in place.
        corner: x and y of the image in the frame, multiples of the chroma's steps.
        rgba: (h, w, 4) float32, premultiplied R'G'B' as the frame encodes it; within the frame.
    """
    (x, y), peak = corner, _peak(stored)
    # The matrix is linear: what is added for black times alpha is its offset times alpha.
    mixes = np.diag([stored.peak] * 3 + [0])[:3] if stored.matrix == RGB else stored.from_rgb
    mixes = mixes.astype(np.float32)
    across, down = (0, 0) if stored.matrix == RGB else stored.chroma
    if not (across or down):
        for plane, mix in zip(planes, mixes, strict=True):
            blend_plane(plane, y, x, rgba, mix, peak)
        return
    blend_plane(planes[0], y, x, rgba, mixes[0], peak)
    taps = np.array(_TAPS[across], np.float32) / np.float32(4**across)
    blend_chroma(*planes[1:], y >> down, x >> across, rgba, mixes[1:], taps, 1 << down, peak)


def luma_of(planes: Planes, stored: SampleFormat) -> tuple[np.ndarray, float]:
    """(H, W) samples of a frame's luma, and what they are multiplied with for levels of 255; black may be at another value than 0.

    It is Y', or what BT.709 makes of R'G'B'.
    """
    if stored.matrix == RGB:
        return cv2.transform(signal(planes, stored), LUMINANCE), 255.0
    return planes[0], 255 / stored.levels(False)[1]


def add_to_luma(planes: Planes, stored: SampleFormat, pattern: np.ndarray, strength: np.ndarray) -> None:
    """Add a pattern to the luma of a frame in place.

    Args:
        pattern: (H, W) float32.
        strength: (h, w) float32, by which it is multiplied, interpolated linearly: then levels of 255.
    """
    scale = np.float32(stored.levels(False)[1] / 255)
    for plane in planes if stored.matrix == RGB else planes[:1]:
        add_pattern(plane, pattern, strength, scale, _peak(stored))


def _peak(stored: SampleFormat) -> np.float32:
    return np.float32(0 if stored.bits == FLOAT else stored.peak)
