"""Display-encoded and scene-linear colour (IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np

from ..workspace.arrays import decode_srgb


def to_scene_linear(rgba: np.ndarray) -> np.ndarray:
    """Premultiplied display-encoded (H, W, 4) float32 to premultiplied scene-linear.

    The encoding belongs to the colour itself, so alpha is divided out and multiplied back in.
    """
    alpha = rgba[..., 3:]
    straight = np.clip(rgba[..., :3] / np.maximum(alpha, 1e-6), 0, 1)
    linear = decode_srgb(straight)
    return np.concatenate([linear * alpha, alpha], -1).astype(np.float32)


def to_straight_uint8(rgba: np.ndarray) -> np.ndarray:
    """Premultiplied display-encoded (H, W, 4) float32 to straight 8-bit RGBA, as PNG stores it."""
    return (_straight(rgba) * 255 + 0.5).astype(np.uint8)


def to_straight_uint16(rgba: np.ndarray) -> np.ndarray:
    """The same with 16 bits."""
    return (_straight(rgba) * 65535 + 0.5).astype(np.uint16)


def _straight(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:]
    return np.clip(np.concatenate([rgba[..., :3] / np.maximum(alpha, 1e-6), alpha], -1), 0, 1)
