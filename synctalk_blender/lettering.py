"""A sentence drawn into an image: an error is shown where the head would have been. No `bpy` here.

The glyphs are DejaVu Sans Mono (free licence), rendered once at 20 pixels with Pillow into `letters.npz`: Blender draws
text into an image only from 4.5 on, and only on the main thread.
"""

from __future__ import annotations

import functools
import textwrap
from pathlib import Path

import numpy as np

_BACKGROUND = (0.05, 0.004, 0.004, 0.92)
_MARGIN = 1
"""Cells between the text and the border of its card."""


def card(text: str, width: int, height: int, *, most: float = 0.9) -> np.ndarray:
    """`text` on a dark card in the middle of a transparent image.

    Args:
        most: the part of the image's sides that the card may fill.

    Returns:
        (height, width, 4) float32, premultiplied scene-linear, bottom row first.
    """
    # Not higher than a sixteenth of the image.
    coverage = _fitted(text, max(1, int(width * most)), max(1, int(height * most)), height / 16)[..., None]
    colour = coverage + (1 - coverage) * np.float32(_BACKGROUND[:3])
    alpha = np.float32(_BACKGROUND[3])
    return _in_the_middle(np.concatenate([colour * alpha, np.full_like(coverage, alpha)], -1), width, height)


def letters(text: str, width: int, height: int) -> np.ndarray:
    """`text` as large as it fits: (height, width, 1) float32 of coverage, 0 to 1, bottom row first."""
    return _in_the_middle(_fitted(text, width, height, float(height))[..., None], width, height)


def _in_the_middle(part: np.ndarray, width: int, height: int) -> np.ndarray:
    rows, columns, channels = part.shape
    image = np.zeros((height, width, channels), np.float32)
    y, x = (height - rows) // 2, (width - columns) // 2
    image[y : y + rows, x : x + columns] = part
    return image[::-1]


def _fitted(text: str, width: int, height: int, largest: float) -> np.ndarray:
    """(rows, columns) coverage of the text, wrapped so that it is largest within `width` x `height`, with letters no
    higher than `largest` or their native size."""
    cell_height, cell_width = _letters()[1].shape[1:]

    def scale(lines: list[str]) -> float:
        columns = max(map(len, lines)) + 2 * _MARGIN
        return min(width / (columns * cell_width), height / ((len(lines) + 2 * _MARGIN) * cell_height))

    wrapped = [textwrap.wrap(text, columns) or [""] for columns in range(10, 61)]
    best = max(wrapped, key=scale)
    return _resized(_set(best), min(scale(best), max(1.0, largest / cell_height)))


def _set(lines: list[str]) -> np.ndarray:
    """(rows, columns) coverage of centred lines of text, with a margin around them."""
    places, glyphs = _letters()
    columns = max(map(len, lines))
    unknown = glyphs[places["?"]]
    cells = [[" "] * (columns + 2 * _MARGIN)] * _MARGIN
    cells += [[*(" " * _MARGIN), *line.center(columns), *(" " * _MARGIN)] for line in lines]
    cells += [[" "] * (columns + 2 * _MARGIN)] * _MARGIN
    rows = [np.hstack([glyphs[places[c]] if c in places else unknown for c in row]) for row in cells]
    return np.vstack(rows).astype(np.float32) / 255


def _resized(coverage: np.ndarray, scale: float) -> np.ndarray:
    """Scaled by `scale`: averaged when smaller, interpolated when larger."""
    for axis in (0, 1):
        count = coverage.shape[axis]
        wanted = max(1, int(count * scale))
        edges = np.arange(wanted + 1) * count / wanted
        total = np.concatenate([np.zeros_like(coverage.take([0], axis)), coverage.cumsum(axis)], axis)
        low = np.minimum(edges.astype(int), count - 1)
        part = (edges - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        at_edges = total.take(low, axis) + part * coverage.take(low, axis)
        coverage = np.diff(at_edges, axis=axis) * np.float32(wanted / count)
    return coverage.clip(0, 1)


@functools.cache
def _letters() -> tuple[dict[str, int], np.ndarray]:
    """Where each character is in the glyphs, and the glyphs: (N, rows, columns) uint8 coverage."""
    with np.load(Path(__file__).with_name("letters.npz"), allow_pickle=False) as data:
        return {character: index for index, character in enumerate(str(data["characters"]))}, data["glyphs"]
