"""The foreground's own colour where its matte is soft.

At a soft edge the frame shows I = αF + (1−α)B. Given α and B, F is found coarse to fine, after the multi-level idea of
Germer et al., "Fast Multi-Level Foreground Estimation" (2020), with B known: on every level F minimises
|I − αF − (1−α)B|² + λ|F − F'|², F' being the next coarser level's answer, which has a closed form per pixel.
"""

from __future__ import annotations

import cv2
import numpy as np

SMOOTHNESS = 0.02


def estimate_foreground(frame: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The colour of the foreground alone, also where it is transparent.

    Args:
        frame: (H, W, 3) uint8.
        alpha: (H, W) float32 in [0, 1].
        background: (H, W, 3) uint8 or float32, 0 to 255.

    Returns:
        (H, W, 3) float32, 0 to 255; where alpha is 0 the colour of the nearest foreground.
    """
    alpha = np.ascontiguousarray(alpha, np.float32)
    rest = frame - (1.0 - alpha)[..., None] * background  # = αF, what the foreground adds to the picture
    rest = np.maximum(rest, 0.0, dtype=np.float32)
    levels = [(rest, alpha, alpha * alpha)]
    while min(levels[-1][1].shape) > 1:
        size = tuple(max(1, (side + 1) // 2) for side in levels[-1][1].shape[::-1])
        levels.append(tuple(_shrink(part, size) for part in levels[-1]))
    # Sums of αF and α down the pyramid: their ratio is the mean colour weighted by opacity.
    colour = levels[-1][0] / np.maximum(levels[-1][1], 1e-4)[..., None]
    for rest, opacity, square in reversed(levels[:-1]):
        shape = opacity.shape
        prior = cv2.resize(colour, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR).reshape(*shape, 3)
        gain = opacity / (square + SMOOTHNESS)
        colour = prior + gain[..., None] * (rest - opacity[..., None] * prior)
    return np.clip(colour, 0.0, 255.0)


def decontaminate(frame: np.ndarray, alpha: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The foreground as premultiplied RGBA without the background's colour in its edge.

    Args and ranges as `estimate_foreground`.

    Returns:
        (H, W, 4) float32 in [0, 1], display-encoded, premultiplied: what `blend.over` takes.
    """
    colour = estimate_foreground(frame, alpha, background) * (alpha / 255.0)[..., None]
    return np.dstack([colour, alpha]).astype(np.float32)


def _shrink(part: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return small.reshape(size[1], size[0], *part.shape[2:])
