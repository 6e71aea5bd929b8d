"""A warped layer put over a rendered head, compiled: in NumPy it takes as long as the head itself."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit
from .lanes import ALPHA, BLUE, GREEN, RED, between, spread, unrounded_between, wide_level

_HALF, _BYTE, _SHARES, _WIDE = (np.float32(value) for value in (0.5, 1 / 255, 256.0, 1 / (256 * 255)))
_NEXT = np.uint64(1)
_ONE = np.float32(1)
_EMPTY, _FAINT, _SOLID = np.float32(0.3), np.float32(0.6), np.float32(0.9)
"""Alpha up to which there is nothing; that says neither; from which on it is solid."""
_ZERO, _EDGE = np.float32(0), np.float32(0.001)
"""So far beyond the outermost pixels a place is theirs: it was rounded."""


@njit(inline="always", error_model="numpy")
def _float(byte):
    """By way of a signed number, which a processor turns into a float in one step."""
    return np.float32(np.int32(byte))


@njit(inline="always", fastmath=True, error_model="numpy")
def _replace(line, first_u, first_v, across, down, layer, weight, doubt, share):
    """Some pixels of a row, whose places in the layer begin at the first ones, less ½, and follow each other evenly."""
    height, width = weight.shape
    most_x, most_y = np.float32(width - 1) + _EDGE, np.float32(height - 1) + _EDGE
    last_x, last_y = np.int32(width - 2), np.int32(height - 2)
    for j in range(np.uint64(line.shape[0])):  # places without a sign need no test for negative ones
        u, v = first_u + across * np.float32(np.int32(j)), first_v + down * np.float32(np.int32(j))
        if u < -_EDGE or v < -_EDGE or u > most_x or v > most_y:
            continue
        u, v = max(u, _ZERO), max(v, _ZERO)
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
        if doubt.size > 0 and (doubt[above, here, 0] > 0 or doubt[above, here, 1] > 0):
            alpha, solid = wide_level(shown, ALPHA) * _WIDE, line[j, 3]
            filled = (_ONE - alpha) * min(max((solid - _FAINT) / (_SOLID - _FAINT), _ZERO), _ONE)
            emptied = alpha * min(max((_FAINT - solid) / (_FAINT - _EMPTY), _ZERO), _ONE)
            counts *= _ONE - filled * _float(doubt[above, here, 0]) * _BYTE
            counts *= _ONE - emptied * _float(doubt[above, here, 1]) * _BYTE
        line[j, 0] += counts * (wide_level(shown, RED) * _WIDE - line[j, 0])
        line[j, 1] += counts * (wide_level(shown, GREEN) * _WIDE - line[j, 1])
        line[j, 2] += counts * (wide_level(shown, BLUE) * _WIDE - line[j, 2])
        line[j, 3] += counts * (wide_level(shown, ALPHA) * _WIDE - line[j, 3])


@njit(fastmath=True, nogil=True, error_model="numpy")
def replace_by(part, parts, rgba, grid, layer, weight, doubt, share):
    """Replace what `rgba` shows by a layer: rgba + share · weight · (layer − rgba), sampled linearly.

    Args:
        part, parts: does every `parts`-th row from row `part` on: threads share the window.
        rgba: (h, w, 4) float32, premultiplied, display-encoded: the window's pixels; changed in place.
        grid: (rows, columns, 2) float32, two of each or more: the places in the layer, x and y, of as many pixels of the window, evenly
            from its first to its last one; pixel centres at ½. Between them it is linear.
        layer: (H, W) uint32, `lanes.packed`, premultiplied; weight: (H, W) uint8, nothing beyond its edges.
        doubt: (H, W, 2) uint8, how far the layer's holes, and what it has, are not believed: where `rgba` has something solid in the
            first, or nothing in the second, that stays; (0, 0, 2) where all is.
        share: of the whole layer, in [0, 1].
    """
    share *= _BYTE
    rows, columns = grid.shape[0], grid.shape[1]
    row_step = np.float32(rows - 1) / np.float32(max(rgba.shape[0] - 1, 1))
    spacing = np.float32(max(rgba.shape[1] - 1, 1)) / np.float32(columns - 1)
    nodes = np.empty((columns, 2), np.float32)
    for i in range(part, rgba.shape[0], parts):
        line = rgba[i]
        at = np.float32(i) * row_step
        above = min(int(at), rows - 2)
        at -= np.float32(above)
        for k in range(columns):
            for c in range(2):
                nodes[k, c] = grid[above, k, c] + at * (grid[above + 1, k, c] - grid[above, k, c]) - _HALF
        begin = 0
        for k in range(columns - 1):
            end = line.shape[0] if k == columns - 2 else min(int(np.float32(k + 1) * spacing) + 1, line.shape[0])
            across, down = (nodes[k + 1, 0] - nodes[k, 0]) / spacing, (nodes[k + 1, 1] - nodes[k, 1]) / spacing
            beyond = np.float32(begin) - np.float32(k) * spacing
            first_u, first_v = nodes[k, 0] + beyond * across, nodes[k, 1] + beyond * down
            _replace(line[begin:end], first_u, first_v, across, down, layer, weight, doubt, share)
            begin = end
