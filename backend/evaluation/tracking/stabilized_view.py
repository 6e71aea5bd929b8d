"""Frames warped by their pose onto a reference: with a correct pose the skull does not move."""

from __future__ import annotations

import cv2
import numpy as np

from ...head_sync.head_points_choice import lift_to_head
from ...workspace.camera import PIXEL_CENTRE
from ...workspace.poses import project

_COARSE = 4
"""Depth is smooth: the warp is computed at the centre of blocks of 4 × 4 pixels and interpolated linearly."""


class StabilizedView:
    """A reference frame's head as a surface onto which any frame can be warped. Beyond the face the surface is
    extrapolated, so only the face is exact.

    Args:
        pose: (4, 4) of the reference frame. surface: (M, 3) points of the face's surface. size: side of the working frame,
            pixels.
        window: a part of the frame: left, top, right and bottom, pixels; it may reach beyond the frame.
        shape: height and width of the result in pixels; the window's own when absent.
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
            """Centres of blocks in the frame, from one block before the first to one beyond the last."""
            middle = (np.arange(-1, -(-count // _COARSE) + 1) + 0.5) * _COARSE
            return low[axis] + middle * step[axis]

        columns, rows = np.meshgrid(frame_px(self.shape[1], 0), frame_px(self.shape[0], 1))
        self._coarse_shape = columns.shape
        self._surface = lift_to_head(np.stack([columns.ravel(), rows.ravel()], 1), pose, surface, focal, principal)

    def take(
        self,
        image: np.ndarray,
        pose: np.ndarray,
        outside: tuple[int, int, int] | None = None,
        interpolation: int = cv2.INTER_CUBIC,
    ) -> np.ndarray:
        """The image (S, S) or (S, S, 3) of a frame with `pose` (4, 4), as the reference would see it.

        Args:
            outside: colour beyond the frame; its edge is repeated when absent.
        """
        at = project(pose[None], self._surface, self._focal, self._principal)[0].reshape(*self._coarse_shape, 2)
        at -= PIXEL_CENTRE
        wide = (self._coarse_shape[1] * _COARSE, self._coarse_shape[0] * _COARSE)
        at = cv2.resize(at.astype(np.float32), wide, interpolation=cv2.INTER_LINEAR)
        at = at[_COARSE : _COARSE + self.shape[0], _COARSE : _COARSE + self.shape[1]]
        if outside is None:
            return cv2.remap(image, at, None, interpolation, borderMode=cv2.BORDER_REPLICATE)
        return cv2.remap(image, at, None, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
