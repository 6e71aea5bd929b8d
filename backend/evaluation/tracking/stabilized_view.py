"""Frames warped by their pose onto a reference: with a right pose the skull stands still."""

from __future__ import annotations

import cv2
import numpy as np

from ...head_sync.head_points_choice import lift_to_head
from ...workspace.camera import PIXEL_CENTRE
from ...workspace.poses import project

_COARSE = 4
"""Depth is smooth: the warp is found in the middle of blocks of 4 × 4 pixels, and between them linearly."""


class StabilizedView:
    """A reference frame's head as a surface that any frame's picture can be taken from; beyond the face the surface
    runs on, so only the face is to be trusted.

    Args:
        pose: (4, 4) of the reference frame. surface: (M, 3) what the face's surface runs through. size: side of the
            working frame, pixels.
        window: a part of the frame to take instead of the whole: left, top, right and bottom, in pixels from the frame's corner; it
            may reach beyond the frame.
        shape: height and width of what is taken of a window, in pixels; the window's own when absent.
    """

    def __init__(
        self,
        pose: np.ndarray,
        surface: np.ndarray,
        focal: float,
        principal: np.ndarray,
        size: int,
        window: tuple[float, float, float, float] | None = None,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self._focal, self._principal = focal, principal
        low, high = np.array((0, 0, size, size) if window is None else window, np.float64).reshape(2, 2)
        width, height = np.round(high - low).astype(int)
        self.shape = (height, width) if shape is None else shape
        step = (high - low) / self.shape[::-1]

        def frame_px(count: int, axis: int) -> np.ndarray:
            """Where the centres of blocks of pixels lie in the frame, from one block before the first to one beyond the last."""
            middle = (np.arange(-1, -(-count // _COARSE) + 1) + 0.5) * _COARSE
            return low[axis] + middle * step[axis]

        columns, rows = np.meshgrid(frame_px(self.shape[1], 0), frame_px(self.shape[0], 1))
        self._coarse_shape = columns.shape
        self._surface = lift_to_head(np.stack([columns.ravel(), rows.ravel()], 1), pose, surface, focal, principal)

    def take(
        self,
        picture: np.ndarray,
        pose: np.ndarray,
        outside: tuple[int, int, int] | None = None,
        interpolation: int = cv2.INTER_CUBIC,
    ) -> np.ndarray:
        """The picture (S, S) or (S, S, 3) of a frame with `pose` (4, 4), as the reference would see it.

        Args:
            outside: colour of what lies beyond the frame; its edge is repeated when absent.
        """
        at = project(pose[None], self._surface, self._focal, self._principal)[0].reshape(*self._coarse_shape, 2)
        at -= PIXEL_CENTRE
        wide = (self._coarse_shape[1] * _COARSE, self._coarse_shape[0] * _COARSE)
        at = cv2.resize(at.astype(np.float32), wide, interpolation=cv2.INTER_LINEAR)
        at = at[_COARSE : _COARSE + self.shape[0], _COARSE : _COARSE + self.shape[1]]
        if outside is None:
            return cv2.remap(picture, at, None, interpolation, borderMode=cv2.BORDER_REPLICATE)
        return cv2.remap(picture, at, None, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
