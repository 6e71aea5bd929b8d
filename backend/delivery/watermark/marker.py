"""Embeds the watermark in frames."""

from __future__ import annotations

import cv2
import numpy as np

from .message import Message, encode
from .pattern import PUBLIC_KEY, pattern_of, tile_side

FLOOR = 0.8
"""RMS of the mark where a frame is flat and without grain, of 255: more can be made out on a clean gradient."""
CONTRAST_GAIN = 0.4
"""How much of the local contrast (standard deviation in 4 x 4 pixels and around) is added to it."""
CEILING = 1.25
"""RMS of the mark at most."""
MAX_MSE = 1.45
"""Mean square of the mark over a frame: 46.2 dB with rounding."""
_CELL = 4


class Marker:
    """Prepared for frames of one size; the pattern is the same in all of them, only its strength follows the frame.

    Args:
        width, height: of the frames, pixels.
        message: what the mark carries.
        key: of the pattern; what is marked with another key is not found.
    """

    def __init__(self, width: int, height: int, message: Message, key: bytes = PUBLIC_KEY) -> None:
        tile = pattern_of(key).tile(encode(message), tile_side(width, height))
        repeats = (-(-height // len(tile)), -(-width // len(tile)))
        self._pattern = np.ascontiguousarray(np.tile(tile, repeats)[:height, :width])

    def embed(self, frame: np.ndarray) -> np.ndarray:
        """A marked copy of a frame: (H, W, 3) uint8 or uint16, RGB; or (H, W, 4), whose alpha stays as it is."""
        if frame.shape[:2] != self._pattern.shape or frame.ndim != 3 or frame.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"frame of {frame.shape} {frame.dtype}, wanted {self._pattern.shape} with 3 or 4 channels")
        colour = np.ascontiguousarray(frame[..., :3])
        unit = np.iinfo(frame.dtype).max / 255
        mark = cv2.multiply(self._pattern, self._strength(colour, unit), scale=unit)
        if frame.shape[2] == 4:
            mark[frame[..., 3] == 0] = 0  # what nobody sees stays as it is, and small in a file
        marked = cv2.add(colour, cv2.merge([mark, mark, mark]), dtype=cv2.CV_8U if unit == 1 else cv2.CV_16U)
        return marked if frame.shape[2] == 3 else np.dstack([marked, frame[..., 3:]])

    def _strength(self, colour: np.ndarray, unit: float) -> np.ndarray:
        """(H, W) float32: the mark's RMS of 255, larger where contrast hides it; `unit` is one of 255 in the frame."""
        height, width = colour.shape[:2]
        grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(unit)
        cells = (max(1, width // _CELL), max(1, height // _CELL))
        mean = cv2.resize(grey, cells, interpolation=cv2.INTER_AREA)
        square = cv2.resize(cv2.multiply(grey, grey), cells, interpolation=cv2.INTER_AREA)
        local = cv2.boxFilter(square, -1, (3, 3)) - cv2.boxFilter(mean, -1, (3, 3)) ** 2
        # An edge beside a flat area does not hide a mark in that area.
        local = cv2.GaussianBlur(cv2.erode(np.sqrt(np.maximum(local, 0)), np.ones((3, 3), np.uint8)), (5, 5), 0)
        strength = np.minimum(FLOOR + CONTRAST_GAIN * local, CEILING)
        strength *= min(1.0, float(np.sqrt(MAX_MSE / np.mean(strength**2))))
        return cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)
