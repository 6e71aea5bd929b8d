"""Frames warped by their pose onto a reference: with a right pose the skull stands still."""

from __future__ import annotations

import cv2
import numpy as np

from .face_geometry import RIGID, UPPER_FACE
from .geometry import project
from .head_points_tracker import lift_to_head

_COARSE = 4
"""Depth is smooth: the warp is found in the middle of blocks of 4 × 4 pixels, and between them linearly."""


class StabilizedView:
    """The upper face of a reference frame as a surface that any frame's picture can be taken from.

    Args:
        pose: (4, 4) of the reference frame. face: (478, 3). size: side of the working frame, pixels.
        everything: take the whole frame in (beyond the face the surface runs on, so only the face is to be trusted).
        window: a part of the frame to take instead: left, top, right and bottom, in pixels from the frame's corner; it
            may reach beyond the frame.
        shape: height and width of what is taken of a window, in pixels; the window's own when absent.
        surface: (M, 3) what the face's surface runs through; the face's rigid landmarks when absent.
    """

    def __init__(
        self,
        pose: np.ndarray,
        face: np.ndarray,
        focal: float,
        principal: np.ndarray,
        size: int,
        everything: bool = False,
        window: tuple[float, float, float, float] | None = None,
        shape: tuple[int, int] | None = None,
        surface: np.ndarray | None = None,
    ) -> None:
        self._focal, self._principal = focal, principal
        outline = project(pose[None], face, focal, principal)[0]
        if window is not None:
            low, high = np.array(window[:2], np.float64), np.array(window[2:], np.float64)
        elif everything:
            low, high = np.zeros(2), np.full(2, float(size))
        else:
            low, high = np.trunc(outline[UPPER_FACE].min(0)) - 4, np.trunc(outline[UPPER_FACE].max(0)) + 4
        width, height = np.round(high - low).astype(int)
        self.shape = (height, width) if shape is None else shape
        step = (high - low) / self.shape[::-1]

        def frame_px(count: int, axis: int) -> np.ndarray:
            """Where the centres of blocks of pixels lie in the frame, from one block before the first to one beyond the last."""
            middle = (np.arange(-1, -(-count // _COARSE) + 1) + 0.5) * _COARSE
            return low[axis] + middle * step[axis] - 0.5

        columns, rows = np.meshgrid(frame_px(self.shape[1], 0), frame_px(self.shape[0], 1))
        self._coarse_shape = columns.shape
        through = face[RIGID] if surface is None else surface
        self._surface = lift_to_head(np.stack([columns.ravel(), rows.ravel()], 1), pose, through, focal, principal)

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
        wide = (self._coarse_shape[1] * _COARSE, self._coarse_shape[0] * _COARSE)
        at = cv2.resize(at.astype(np.float32), wide, interpolation=cv2.INTER_LINEAR)
        at = at[_COARSE : _COARSE + self.shape[0], _COARSE : _COARSE + self.shape[1]]
        if outside is None:
            return cv2.remap(picture, at, None, interpolation, borderMode=cv2.BORDER_REPLICATE)
        return cv2.remap(picture, at, None, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
