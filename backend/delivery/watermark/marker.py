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

    def mark(self, luma: np.ndarray) -> np.ndarray:
        """What is to be added to the luma of a frame, (H, W) float32, for the luma itself, both in levels of 255."""
        if luma.shape != self._pattern.shape:
            raise ValueError(f"frame of {luma.shape}, wanted {self._pattern.shape}")
        return cv2.multiply(self._pattern, self._strength(luma))

    def embed(self, frame: np.ndarray) -> np.ndarray:
        """A marked copy of a frame, (H, W, 3) uint8, RGB."""
        if frame.shape != (*self._pattern.shape, 3) or frame.dtype != np.uint8:
            raise ValueError(f"frame of {frame.shape} {frame.dtype}, wanted {self._pattern.shape} x 3 uint8")
        mark = self.mark(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32))
        return cv2.add(frame, cv2.merge([mark, mark, mark]), dtype=cv2.CV_8U)

    def embed_premultiplied(self, rgba: np.ndarray) -> np.ndarray:
        """A marked copy of a head alone, (H, W, 4) float32 in [0, 1], premultiplied, display-encoded: alpha stays as it is."""
        if rgba.shape != (*self._pattern.shape, 4):
            raise ValueError(f"frame of {rgba.shape}, wanted {self._pattern.shape} x 4")
        colour, alpha = np.ascontiguousarray(rgba[..., :3], np.float32), rgba[..., 3]
        strength = self._strength(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY) * 255)
        mark = self._pattern * strength * alpha / 255
        return np.dstack([np.clip(colour + mark[..., None], 0, alpha[..., None]), alpha])

    def _strength(self, grey: np.ndarray) -> np.ndarray:
        """(H, W) float32: the mark's RMS, larger where contrast hides it, for (H, W) luminance of 255."""
        height, width = grey.shape
        cells = (max(1, width // _CELL), max(1, height // _CELL))
        mean = cv2.resize(grey, cells, interpolation=cv2.INTER_AREA)
        square = cv2.resize(cv2.multiply(grey, grey), cells, interpolation=cv2.INTER_AREA)
        local = cv2.boxFilter(square, -1, (3, 3)) - cv2.boxFilter(mean, -1, (3, 3)) ** 2
        # An edge beside a flat area does not hide a mark in that area.
        local = cv2.GaussianBlur(cv2.erode(np.sqrt(np.maximum(local, 0)), np.ones((3, 3), np.uint8)), (5, 5), 0)
        strength = np.minimum(FLOOR + CONTRAST_GAIN * local, CEILING)
        strength *= min(1.0, float(np.sqrt(MAX_MSE / np.mean(strength**2))))
        return cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)
