"""The loops of `blend.resample` for four channels of 8 bits, compiled: once along the rows, then across them."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit
from .taps import Taps


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
    lines, kept = np.empty((4, width, 4), np.float32), np.full(4, -1)
    mixed = np.empty(4 * width, np.float32)
    for row in range(out.shape[0]):
        mixed[:] = np.float32(0)
        for tap in range(4):
            source, weight = rows.places[row, tap], rows.weights[row, tap]
            slot = source & 3
            if kept[slot] != source:
                line, pixels = lines[slot], image[source]
                for column in range(width):
                    for channel in range(4):
                        line[column, channel] = np.float32(0)
                    for other in range(4):
                        place, share = columns.places[column, other], columns.weights[column, other]
                        for channel in range(4):
                            line[column, channel] += share * np.float32(pixels[place, channel])
                kept[slot] = source
            line = lines[slot].ravel()
            for k in range(mixed.size):
                mixed[k] += weight * line[k]
        values = out[row].ravel()
        for k in range(mixed.size):
            values[k] = np.uint8(np.int32(min(max(mixed[k] + np.float32(0.5), np.float32(0)), np.float32(255))))
        if is_premultiplied:
            pixels = out[row]
            for column in range(width):
                for channel in range(3):
                    pixels[column, channel] = min(pixels[column, channel], pixels[column, 3])


def compile_kernels() -> None:
    """Compile or read what `blend.resample` calls."""
    taps = Taps(np.zeros((2, 4), np.int32), np.zeros((2, 4), np.float32))
    image = np.zeros((2, 2, 4), np.uint8)
    resample_bytes(image, taps, taps, True, image.copy())
