"""Poses are fitted along with the Gaussians, by the gradients that a drawn image gives for them."""

from __future__ import annotations

import numpy as np

from ...workspace.poses import rotation_exp
from ...workspace.shapes import Float

RATES = np.array([2e-5] * 3 + [2e-4] * 3)
"""Of a step: metres, radians."""
FINAL_RATE = 0.2
"""Rates fall to this share, exponentially."""
START_STEPS = 200
"""Steps before which the head is too coarse to align a frame with."""
_MEAN, _SQUARE = 0.8, 0.95
"""How much of the running mean of a frame's gradients, and of their squares, stays."""


class PoseFit:
    """Small motions of each frame's pose: shift (metres, camera axes), then turn about the head's origin (rotation vector)."""

    def __init__(self, frames: int) -> None:
        self.motion = np.zeros((frames, 6))
        self._mean, self._square = np.zeros((frames, 6)), np.zeros((frames, 6))

    def moved(
        self, poses: Float[np.ndarray, "*frames 4 4"], frames: int | slice = slice(None)
    ) -> Float[np.ndarray, "*frames 4 4"]:
        """Poses with the motions of their frames: all, or one."""
        motion, result = self.motion[frames], poses.copy()
        result[..., :3, :3] = rotation_exp(motion[..., 3:]) @ poses[..., :3, :3]
        result[..., :3, 3] += motion[..., :3]
        return result

    def step(self, frame: int, gradient: Float[np.ndarray, " 6"], share: float) -> None:
        """Move one frame, by the gradient of its loss."""
        if not np.isfinite(gradient).all():
            return
        mean, square = self._mean[frame], self._square[frame]
        mean *= _MEAN
        mean += (1 - _MEAN) * gradient
        square *= _SQUARE
        square += (1 - _SQUARE) * gradient.astype(np.float64) ** 2
        self.motion[frame] -= RATES * FINAL_RATE**share * mean / (np.sqrt(square) + 1e-12)
