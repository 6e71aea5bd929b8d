"""A layer put over a rendered head, compiled: in NumPy it takes as long as the head itself."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit
from .lanes import ALPHA, BLUE, GREEN, RED, between, spread, unrounded_between, wide_level

_HALF, _BYTE, _SHARES, _WIDE = (np.float32(value) for value in (0.5, 1 / 255, 256.0, 1 / (256 * 255)))
_NEXT = np.uint64(1)


@njit(inline="always", error_model="numpy")
def _float(byte):
    """By way of a signed number, which a processor turns into a float in one step."""
    return np.float32(np.int32(byte))


@njit(fastmath=True, nogil=True, error_model="numpy")
def replace_by(part, parts, rgba, top, left, affine, layer, weight, share):
    """Replace what `rgba` shows by a layer: rgba + share · weight · (layer − rgba), sampled linearly.

    Args:
        part, parts: does every `parts`-th row from row `part` on: threads share the window.
        rgba: (h, w, 4) float32, premultiplied, display-encoded: the window's pixels; changed in place.
        top, left: of the window in the image, pixels.
        affine: (2, 3) float32 from places of the image, x and y, to those of the layer; pixel centres at ½ in both.
        layer: (H, W) uint32, `lanes.packed`, premultiplied; weight: (H, W) uint8, nothing beyond its edges.
        share: of the whole layer, in [0, 1].
    """
    height, width = weight.shape
    most_x, most_y, share = np.float32(width - 1), np.float32(height - 1), share * _BYTE
    last_x, last_y = np.int32(width - 2), np.int32(height - 2)
    across, down = affine[0, 0], affine[1, 0]
    for i in range(part, rgba.shape[0], parts):
        line = rgba[i]
        x, y = np.float32(left) + _HALF, np.float32(top + i) + _HALF
        first_u = across * x + affine[0, 1] * y + affine[0, 2] - _HALF
        first_v = down * x + affine[1, 1] * y + affine[1, 2] - _HALF
        for j in range(np.uint64(line.shape[0])):  # places without a sign need no test for negative ones
            u, v = first_u + across * np.float32(np.int32(j)), first_v + down * np.float32(np.int32(j))
            if u < 0 or v < 0 or u > most_x or v > most_y:
                continue
            column, row = min(np.int32(u), last_x), min(np.int32(v), last_y)
            here, above = np.uint64(column), np.uint64(row)
            beside, below = here + _NEXT, above + _NEXT
            w00, w01 = weight[above, here], weight[above, beside]
            w10, w11 = weight[below, here], weight[below, beside]
            if not (w00 | w01 | w10 | w11):
                continue
            l00, l01, l10, l11 = layer[above, here], layer[above, beside], layer[below, here], layer[below, beside]
            if not (l00 | l01 | l10 | l11) and line[j, 3] == 0:
                continue  # nothing by nothing
            u -= np.float32(column)
            v -= np.float32(row)
            first, second, third, fourth = _float(w00), _float(w01), _float(w10), _float(w11)
            upper, lower = first + u * (second - first), third + u * (fourth - third)
            counts = share * (upper + v * (lower - upper))
            share_u, share_v = np.uint64(np.int32(u * _SHARES + _HALF)), np.uint64(np.int32(v * _SHARES + _HALF))
            shown = unrounded_between(
                between(spread(l00), spread(l01), share_u), between(spread(l10), spread(l11), share_u), share_v
            )
            line[j, 0] += counts * (wide_level(shown, RED) * _WIDE - line[j, 0])
            line[j, 1] += counts * (wide_level(shown, GREEN) * _WIDE - line[j, 1])
            line[j, 2] += counts * (wide_level(shown, BLUE) * _WIDE - line[j, 2])
            line[j, 3] += counts * (wide_level(shown, ALPHA) * _WIDE - line[j, 3])
