"""Embeds the watermark in frames."""

from __future__ import annotations

import cv2
import numpy as np

from ...media.samples import LUMINANCE, Planes, SampleFormat
from ..plane_kernels import add_pattern, squared_deviation
from ..planes import add_to_luma, luma_of
from .message import Message, encode
from .pattern import PUBLIC_KEY, pattern_of, tile_side

FLAT = 0.3
"""RMS of the mark's luminance, of 255, on a clean gradient: more can be made out there."""
CONTRAST_GAIN, CONTRAST_FLOOR = 1.2, 0.2
"""How much of the local contrast above the floor, which is that of rounding to 8 bits, is added to it."""
CEILING = 1.4
"""RMS of the mark at most, however small the textured part of a frame is, such as a head alone."""
BLUE_GAIN = 1.5
"""How many times the mark is added to a head's blue beside its luminance: a face has little of its own there, so that a single image
keeps enough, and the eye sees less of it than of anything else."""
MAX_MSE = 1.52
"""Mean square of the mark over a frame: 46.1 dB with rounding."""
_AROUND_PX = 15
"""Contrast is what deviates from the mean of so many pixels, about the mark's longest half wave: a gradient has none."""
_CELL = 4
_LEVELS = 12
"""Halvings of the interval in which the strongest mark is searched."""


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

    def mark_planes(self, planes: Planes, stored: SampleFormat) -> None:
        """Mark the luma of a frame in place."""
        add_to_luma(planes, stored, self._pattern, self._strength(*luma_of(planes, stored)))

    def embed(self, frame: np.ndarray) -> np.ndarray:
        """A marked copy of a frame, (H, W, 3) uint8, RGB."""
        if frame.shape != (*self._pattern.shape, 3) or frame.dtype != np.uint8:
            raise ValueError(f"frame of {frame.shape} {frame.dtype}, wanted {self._pattern.shape} x 3 uint8")
        mark = self._mark(cv2.transform(frame.astype(np.float32), LUMINANCE))
        return cv2.add(frame, cv2.merge([mark, mark, mark]), dtype=cv2.CV_8U)

    def embed_premultiplied(self, rgba: np.ndarray) -> np.ndarray:
        """A marked copy of a head alone, (H, W, 4) float32 in [0, 1], premultiplied, display-encoded: alpha stays as it is.

        What it lies on has no mark, and less of the frame carries one: its blue is marked too, as far as `MAX_MSE` allows.
        """
        if rgba.shape != (*self._pattern.shape, 4):
            raise ValueError(f"frame of {rgba.shape}, wanted {self._pattern.shape} x 4")
        colour, alpha = np.ascontiguousarray(rgba[..., :3], np.float32), rgba[..., 3]
        mark = self._mark(cv2.transform(colour, LUMINANCE) * 255) * alpha
        left = 3 * MAX_MSE / max(float(np.mean(np.square(mark))), 1e-9) - 2  # red and green have the mark once
        blue = min(1 + BLUE_GAIN, float(np.sqrt(max(left, 1))))
        mark *= np.float32(1 / 255)
        return np.dstack(
            [np.clip(colour + cv2.merge([mark, mark, mark * np.float32(blue)]), 0, alpha[..., None]), alpha]
        )

    def _mark(self, luma: np.ndarray) -> np.ndarray:
        """What is to be added to (H, W) float32 of luma, both in levels of 255."""
        mark = np.zeros_like(self._pattern)
        add_pattern(mark, self._pattern, self._strength(luma, 1.0), np.float32(1), np.float32(0))
        return mark

    def _strength(self, luma: np.ndarray, gain: float) -> np.ndarray:
        """(H / 4, W / 4) float32: the mark's RMS, larger where contrast hides it.

        Args:
            luma: (H, W), and what makes levels of 255 of it.
        """
        if luma.shape != self._pattern.shape:
            raise ValueError(f"frame of {luma.shape}, wanted {self._pattern.shape}")
        height, width = luma.shape
        cells = (max(1, width // _CELL), max(1, height // _CELL))
        sums = np.zeros(width, np.float64 if luma.dtype == np.float32 else np.int32)
        squares = np.empty((height, width), np.float32)
        squared_deviation(luma, np.float32(gain), _AROUND_PX // 2, sums, squares)
        square = cv2.resize(squares, cells, interpolation=cv2.INTER_AREA)
        # An edge beside a flat area does not hide a mark in that area.
        # (Running sums in floating point come out a little below zero.)
        local = cv2.sqrt(np.maximum(cv2.blur(square, (3, 3)), 0))
        local = cv2.erode(local, np.ones((3, 3), np.uint8))
        local = cv2.GaussianBlur(local, (5, 5), 0)
        strength = np.minimum(FLAT + CONTRAST_GAIN * np.maximum(local - CONTRAST_FLOOR, 0), CEILING)
        return _limited(strength)


def _limited(strength: np.ndarray) -> np.ndarray:
    """The same with its largest values cut off so that its mean square is `MAX_MSE` at most.

    The flatter the mark, the more of it is read again: what texture hides, texture also disturbs.
    """
    low, high = 0.0, float(strength.max())
    if np.mean(np.square(strength)) <= MAX_MSE:
        return strength
    for _ in range(_LEVELS):
        middle = (low + high) / 2
        low, high = (low, middle) if np.mean(np.square(np.minimum(strength, middle))) > MAX_MSE else (middle, high)
    return np.minimum(strength, low)
