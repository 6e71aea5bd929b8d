"""The visible mark “AI” in a corner of a frame, for deliveries that must say to each viewer that they are generated: in what `render`
writes and in Blender's composite alike.

Article 50(4) of the EU's AI Act (Regulation 2024/1689) asks for such a disclosure; two letters are the mark that the
drafts of its code of practice name. The mark lies inside the safe area of titles, 5 % from each edge (SMPTE ST 2046-1,
EBU R 95), which is within the safe area of action (3.5 %).
"""

from __future__ import annotations

import math

import numpy as np

SAFE = 0.05
"""Of a frame's width and height, from its edges."""
HEIGHT = 0.07
"""Of the frame's shorter side."""
MIN_PX = 16
_ASPECT = 1.4
_OVERSAMPLING = 8
_PLATE_ALPHA, _PLATE_LEVEL = 0.85, 16 / 255
_LETTERS = (
    np.array([[0.0, 1.0], [0.37, 0.0], [0.63, 0.0], [1.0, 1.0], [0.76, 1.0], [0.69, 0.79], [0.31, 0.79], [0.24, 1.0]]),
    np.array([[0.375, 0.6], [0.5, 0.24], [0.625, 0.6]]),  # the hole of the A
    np.array([[1.24, 0.0], [1.48, 0.0], [1.48, 1.0], [1.24, 1.0]]),
)
"""“AI” as polygons, y down: the A's width and the height are 1."""
_LETTERS_WIDTH = 1.48
_CAP_HEIGHT = 0.52
"""Of the mark's height."""


def size_px(width: int, height: int) -> tuple[int, int]:
    """Width and height of the mark in frames of this size, pixels."""
    tall = max(MIN_PX, rounded(HEIGHT * min(width, height)))
    return rounded(_ASPECT * tall), tall


def rounded(pixels: float) -> int:
    """The nearest whole number, the larger of two, as a driver in Blender has it."""
    return math.floor(pixels + 0.5)


class Label:
    """Prepared for frames of one size: white letters on a dark plate with a white edge, readable on light and dark.

    Args:
        width, height: of the frames, pixels.

    Attributes:
        corner: x and y of the mark in a frame, and rgba: (h, w, 4) float32, premultiplied, as `mark` has it.
    """

    def __init__(self, width: int, height: int) -> None:
        wide, tall = size_px(width, height)
        top, right = rounded(SAFE * height), width - rounded(SAFE * width)
        self._rows, self._columns = slice(top, top + tall), slice(max(0, right - wide), right)
        self.rgba = mark(wide, tall)[: max(0, height - top), : self._columns.stop - self._columns.start]
        self.corner = self._columns.start, top

    def draw_premultiplied(self, rgba: np.ndarray) -> np.ndarray:
        """A labelled copy of a head alone: (H, W, 4) float32, premultiplied, 0 to 1; opaque beneath the mark."""
        labelled = rgba.copy()
        part = labelled[self._rows, self._columns]
        part[...] = self.rgba + part * (1 - self.rgba[..., 3:])
        return labelled


def mark(wide: int, tall: int) -> np.ndarray:
    """(tall, wide, 4) float32, the mark alone: premultiplied, display-encoded, 0 to 1."""
    scale = _OVERSAMPLING
    size = (wide * scale, tall * scale)
    radius, edge = 0.22 * tall * scale, max(1.0, 0.06 * tall) * scale
    outer, inner = _plate(size, 0.0, radius), _plate(size, edge, radius - edge)
    cap = _CAP_HEIGHT * size[1]
    origin = np.array([(size[0] - _LETTERS_WIDTH * cap) / 2, (size[1] - cap) / 2])
    white = np.maximum(outer - inner, _filled([origin + cap * outline for outline in _LETTERS], size))[..., None]
    cover = np.maximum(white, _PLATE_ALPHA * outer[..., None])
    drawn = np.concatenate([np.repeat(white + (cover - white) * _PLATE_LEVEL, 3, 2), cover], 2)
    return drawn.reshape(tall, scale, wide, scale, 4).mean((1, 3))


def _filled(outlines: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32, 1 where an odd number of the outlines (n, 2), closed polygons in pixels, is around a pixel's middle."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32) + 0.5
    inside = np.zeros(size[::-1], bool)
    for outline in outlines:
        for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, 0), strict=True):
            if y0 != y1:
                inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * np.float32((x1 - x0) / (y1 - y0)))
    return inside.astype(np.float32)


def _plate(size: tuple[int, int], inset: float, radius: float) -> np.ndarray:
    """(H, W) float32 in [0, 1]: a rectangle with round corners."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32) + 0.5
    dx = np.abs(x - size[0] / 2) - (size[0] / 2 - inset - radius)
    dy = np.abs(y - size[1] / 2) - (size[1] / 2 - inset - radius)
    return (np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) <= radius).astype(np.float32)
