"""The foreground's colour where its matte is soft."""

from __future__ import annotations

import numpy as np


def foreground_colour(colour: np.ndarray, alpha: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """The colour F in C = a·F + (1 - a)·plate where a is large enough, else the frame's colour.

    Args:
        colour, plate: (H, W, 3) uint8.
        alpha: (H, W) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    result = colour.copy()
    mixed = (alpha > 5) & (alpha < 250)  # few pixels: the rest are one or the other
    a = alpha[mixed].astype(np.float32)[:, None] / 255
    estimate = (colour[mixed] - (1 - a) * plate[mixed]) / np.maximum(a, 0.25)
    result[mixed] = np.clip(estimate + 0.5, 0, 255)
    return result
