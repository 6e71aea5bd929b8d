"""The loops of `blend.resample` for four channels of 8 bits, compiled: once along the rows, then across them."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit
from .taps import Taps

_1, _2, _3, _4 = (np.uint64(value) for value in (1, 2, 3, 4))


@njit(inline="always", error_model="numpy")
def mirrored(index, count):
    """An index within `count`: mirrored at the ends, which are not repeated."""
    if count == 1:
        return 0
    index = abs(index) % (2 * count - 2)
    return min(index, 2 * count - 2 - index)


@njit(inline="always", error_model="numpy")
def resample_line(pixels, columns, line):
    """A row of pixels of four channels at other places, as one vector: places without a sign need no test for negative ones.

    Args:
        pixels: (4 W) float32.
        columns: `Taps` from it to the result.
        line: (4 w) float32, written.
    """
    for column in range(columns.places.shape[0]):
        places, weights = columns.places[column], columns.weights[column]
        a, b = np.uint64(places[0]) * _4, np.uint64(places[1]) * _4
        c, d = np.uint64(places[2]) * _4, np.uint64(places[3]) * _4
        by_a, by_b, by_c, by_d = weights[0], weights[1], weights[2], weights[3]
        red = by_a * pixels[a] + by_b * pixels[b] + by_c * pixels[c] + by_d * pixels[d]
        green = by_a * pixels[a + _1] + by_b * pixels[b + _1] + by_c * pixels[c + _1] + by_d * pixels[d + _1]
        blue = by_a * pixels[a + _2] + by_b * pixels[b + _2] + by_c * pixels[c + _2] + by_d * pixels[d + _2]
        alpha = by_a * pixels[a + _3] + by_b * pixels[b + _3] + by_c * pixels[c + _3] + by_d * pixels[d + _3]
        first = np.uint64(column) * _4
        line[first], line[first + _1], line[first + _2], line[first + _3] = red, green, blue, alpha


@njit(nogil=True, error_model="numpy")
def resample_bytes(image, rows, columns, is_premultiplied, out):
    """
    Args:
        image: (H, W, 4) uint8.
        rows, columns: `Taps` from it to the result.
        is_premultiplied: the first three channels are at most the fourth, beyond which a cubic overshoots.
        out: (h, w, 4) uint8, written.
    """
    width = out.shape[1]
    lines, kept = np.empty((4, 4 * width), np.float32), np.full(4, -1)
    pixels = np.empty(4 * image.shape[1], np.float32)
    for row in range(out.shape[0]):
        for tap in range(4):
            source = rows.places[row, tap]
            if kept[source & 3] != source:
                levels = image[source].ravel()
                for k in range(levels.size):
                    pixels[k] = levels[k]
                resample_line(pixels, columns, lines[source & 3])
                kept[source & 3] = source
        places, weights = rows.places[row], rows.weights[row]
        first, second = lines[places[0] & 3], lines[places[1] & 3]
        third, fourth = lines[places[2] & 3], lines[places[3] & 3]
        by_first, by_second, by_third, by_fourth = weights[0], weights[1], weights[2], weights[3]
        values = out[row].ravel()
        for k in range(values.size):
            mixed = by_first * first[k] + by_second * second[k] + by_third * third[k] + by_fourth * fourth[k]
            values[k] = np.uint8(np.int32(min(max(mixed + np.float32(0.5), np.float32(0)), np.float32(255))))
        if is_premultiplied:
            line = out[row]
            for column in range(width):
                for channel in range(3):
                    line[column, channel] = min(line[column, channel], line[column, 3])


def compile_kernels() -> None:
    """Compile or read what `blend.resample` calls."""
    taps = Taps(np.zeros((2, 4), np.int32), np.zeros((2, 4), np.float32))
    image = np.zeros((2, 2, 4), np.uint8)
    resample_bytes(image, taps, taps, True, image.copy())
