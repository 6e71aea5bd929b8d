"""Frames warped by their pose onto a reference: with a right pose the skull stands still. For the eye, and as a
measure."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .face_geometry import UPPER_FACE
from .geometry import project
from .head_points_tracker import lift_to_head

SKULL_OUTLINE = np.array(
    [10, 338, 297, 332, 333, 334, 296, 336, 417, 351, 399, 456, 5, 236, 174, 122, 193, 107, 66, 105, 104, 103, 67, 109]
)
"""Landmarks round the forehead and the bridge of the nose, which nothing but the skull should move."""


class StabilizedView:
    """The upper face of a reference frame as a surface that any frame's picture can be taken from.

    Args:
        pose: (4, 4) of the reference frame. face: (478, 3). size: side of the working frame, pixels.
        everything: take the whole frame in (beyond the face the surface runs on, so only the face is to be trusted).
    """

    def __init__(
        self,
        pose: np.ndarray,
        face: np.ndarray,
        focal: float,
        principal: np.ndarray,
        size: int,
        everything: bool = False,
    ) -> None:
        self._focal, self._principal = focal, principal
        outline = project(pose[None], face, focal, principal)[0]
        low, high = outline[UPPER_FACE].min(0).astype(int) - 4, outline[UPPER_FACE].max(0).astype(int) + 4
        if everything:
            low, high = np.zeros(2, int), np.full(2, size)
        columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        self.shape = columns.shape
        # Depth is smooth: found on every fourth pixel, and between them by the warp's own interpolation.
        coarse = np.stack([columns[::4, ::4], rows[::4, ::4]], -1).reshape(-1, 2).astype(np.float64)
        self._surface = lift_to_head(coarse, pose, face, focal, principal)
        self._coarse_shape = columns[::4, ::4].shape
        self.skull = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(self.skull, [(outline[SKULL_OUTLINE] - low).round().astype(np.int32)], 255)
        self.skull = self.skull > 0

    def take(self, picture: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """The picture (S, S) or (S, S, 3) of a frame with `pose` (4, 4), as the reference would see it."""
        at = project(pose[None], self._surface, self._focal, self._principal)[0].reshape(*self._coarse_shape, 2)
        height, width = self.shape
        grid_x, grid_y = np.meshgrid(np.arange(width, dtype=np.float32) / 4, np.arange(height, dtype=np.float32) / 4)
        at = cv2.remap(at.astype(np.float32), grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return cv2.remap(picture, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def stabilized_residual(
    view: StabilizedView, read_grey: Callable[[int], np.ndarray], poses: np.ndarray, frames: np.ndarray
) -> float:
    """How much the skull's picture changes over `frames`: temporal standard deviation of grey, of 255, in forehead
    and nose bridge."""
    total = np.zeros(view.skull.sum())
    squares = np.zeros_like(total)
    for frame in frames:
        grey = view.take(read_grey(int(frame)), poses[frame])[view.skull].astype(np.float64)
        total += grey
        squares += grey**2
    variance = squares / len(frames) - (total / len(frames)) ** 2
    return float(np.sqrt(np.maximum(variance, 0)).mean())
