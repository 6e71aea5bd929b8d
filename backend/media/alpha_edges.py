"""Colour where alpha is 0, for codecs with loss."""

from __future__ import annotations

import cv2
import numpy as np

_LEVELS = 4
"""Halvings of the size: colour reaches 16 pixels and more beyond the edge, a block of ProRes."""


def with_colour_beyond_edges(image: np.ndarray) -> np.ndarray:
    """Fill the hidden pixels near visible ones with the colours of those, so that a codec blends no black into the edge.

    Args:
        image: (H, W, 4) uint16, straight.

    Returns:
        (H, W, 4) uint16: visible pixels and all of the alpha as they were.
    """
    hidden = image[..., 3] == 0
    if not hidden.any():
        return image
    alpha = image[..., 3:].astype(np.float32)
    levels = [np.concatenate([image[..., :3] * alpha, alpha], -1)]
    for _ in range(_LEVELS):
        levels.append(cv2.pyrDown(levels[-1]))
    filled = levels.pop()
    while levels:
        level = levels.pop()
        coarse = cv2.pyrUp(filled, dstsize=level.shape[1::-1])
        # A trace of the coarser level, where the finer one has nothing.
        filled = level + 1e-4 * coarse
    colour = filled[..., :3] / np.maximum(filled[..., 3:], 1e-20)
    result = image.copy()
    result[hidden, :3] = np.clip(colour[hidden] + 0.5, 0, 65535).astype(np.uint16)
    return result
