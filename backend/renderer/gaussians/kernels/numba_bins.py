"""From Gaussians to lists of them by tile: project in the fixed order, then count, then fill; compiled.

The Gaussians are split into consecutive parts, one a thread. A part counts its Gaussians in every tile; then each part's
place in every tile's list is known, and the parts fill the lists at the same time with the order kept.
"""

from __future__ import annotations

import numpy as np

from ...kernel_cache import njit
from .constants import ATTRIBUTES
from .numba_buffers import (
    BLOCK,
    CENTRE_X,
    CENTRE_Y,
    FORM_XX,
    FORM_XY,
    FORM_YY,
    LOG2_OPACITY,
    MOUTH,
    MOVED_X,
    PROJECTED,
    RADIUS_X,
    RADIUS_Y,
    TILE,
)
from .numba_maths import OPTIONS, F
from .numba_project import LOG2_CUTOFF, project, project_centres

_SIDE = F(TILE)


@njit(**OPTIONS)
def project_and_count(part, parts, attributes, order, lens, packed, tiles):
    """Project this part's Gaussians into `packed` (N, PACKED) in their order and count them in `tiles.counts[part]`.

    Returns:
        rows of tiles that they touch together: where they are more than `tiles.spans` holds, no list can be filled.
    """
    columns, rows = tiles.columns, tiles.rows
    counts, spans, boxes = tiles.counts[part], tiles.spans[part], tiles.boxes
    counts[:] = 0
    total = order.shape[0]
    begin, end = part * total // parts, (part + 1) * total // parts
    block, out = np.empty(ATTRIBUTES * BLOCK, np.float32), np.empty(PROJECTED * BLOCK, np.float32)
    used = 0
    for first in range(begin, end, BLOCK):
        count = min(BLOCK, end - first)
        gather(attributes, ATTRIBUTES, order, first, count, block)
        project(block, count, lens, out)
        for n in range(count):
            i = first + n
            for k in range(10):
                packed[i, k] = out[k * BLOCK + n]
            used = _count(i, n, out, columns, rows, counts, spans, boxes, used)
    return used


@njit(**OPTIONS)
def gather(attributes, rows, order, first, count, block):
    """The first `rows` of `attributes` of `count` Gaussians from the place `first` of `order` into `block` (rows x BLOCK).

    Blocks are flat: between rows whose distance is a constant, LLVM knows that nothing overlaps.
    """
    for row in range(rows):
        for n in range(count):
            block[row * BLOCK + n] = attributes[row, order[first + n]]


@njit(**OPTIONS)
def _count(i, n, out, columns, rows, counts, spans, boxes, used):
    """Count one Gaussian in its tiles; returns the number of spans in use."""
    x, y, radius_x, radius_y = (
        out[CENTRE_X * BLOCK + n],
        out[CENTRE_Y * BLOCK + n],
        out[RADIUS_X * BLOCK + n],
        out[RADIUS_Y * BLOCK + n],
    )
    left, right = _between(x - radius_x, columns), _between(x + radius_x + _SIDE, columns)
    top, bottom = _between(y - radius_y, rows), _between(y + radius_y + _SIDE, rows)
    if radius_x <= F(0.0) or right <= left or bottom <= top:
        boxes[i, 0], boxes[i, 1] = 0, 0
        return used
    boxes[i, 0], boxes[i, 1] = top, bottom
    fits = used + bottom - top <= spans.shape[0]
    if fits:
        xx, xy, yy, reach = (
            out[FORM_XX * BLOCK + n],
            out[FORM_XY * BLOCK + n],
            out[FORM_YY * BLOCK + n],
            out[LOG2_OPACITY * BLOCK + n] - LOG2_CUTOFF,
        )
        tight = right - left > 1 and bottom - top > 1
        turn = F(-0.5) * xy / yy * radius_x  # height of the ellipse's rightmost point
        for row in range(top, bottom):
            low, high = left, right
            if tight:
                above, below = max(F(row) * _SIDE - y, -radius_y), min(F(row) * _SIDE + _SIDE - y, radius_y)
                east = _edge(xx, xy, yy, reach, min(max(turn, above), below), F(-1.0))
                west = _edge(xx, xy, yy, reach, min(max(-turn, above), below), F(1.0))
                low = max(_between(x + west, columns), left)
                high = min(_between(x + east + _SIDE, columns), right)
            for column in range(low, high):
                counts[row * columns + column] += 1
            spans[used + row - top, 0], spans[used + row - top, 1] = low, high
    return used + bottom - top


@njit(**OPTIONS)
def _between(pixel, tiles):
    """The tile of a coordinate, in [0, tiles]."""
    return np.int32(min(max(pixel * (F(1.0) / _SIDE), F(0.0)), F(tiles)))


@njit(**OPTIONS)
def _edge(xx, xy, yy, reach, y, sign):
    """The x of the ellipse's edge at the height y: xx x² + xy x y + yy y² + reach = 0, on the side of `sign`."""
    root = max(xy * xy * y * y - F(4.0) * xx * (yy * y * y + reach), F(0.0))
    return (-xy * y + sign * np.sqrt(root)) / (F(2.0) * xx)


@njit(**OPTIONS)
def pack_passes(part, parts, order, mattes, before, lens, packed):
    """Mattes (3, N) and motion since `before` (14, N) of this part's Gaussians; arrays without Gaussians give 0."""
    total = order.shape[0]
    has_mattes, has_motion = mattes.shape[1] == total, before.shape[1] == total
    begin, end = part * total // parts, (part + 1) * total // parts
    block, centres = np.empty(3 * BLOCK, np.float32), np.empty(2 * BLOCK, np.float32)
    for first in range(begin, end, BLOCK):
        count = min(BLOCK, end - first)
        if has_motion:
            gather(before, 3, order, first, count, block)
            project_centres(block, count, lens, centres)
        for i in range(first, first + count):
            for k in range(3):
                packed[i, MOUTH + k] = mattes[k, order[i]] if has_mattes else F(0.0)
            for k in range(2):
                moved = packed[i, CENTRE_X + k] - centres[k * BLOCK + i - first] if has_motion else F(0.0)
                packed[i, MOVED_X + k] = moved if abs(moved) < F(1e7) else F(0.0)


@njit(**OPTIONS)
def place_lists(tiles):
    """Turn counts into places: `starts`, and in `counts` where each part begins to write. Lists the tiles to draw.

    Returns:
        Gaussians in all lists, and the number of `active` tiles.
    """
    counts, starts, active, painted = tiles.counts, tiles.starts, tiles.active, tiles.painted
    parts, tile_count = counts.shape
    total, drawn = np.int64(0), 0
    for tile in range(tile_count):
        starts[tile] = total
        begin = total
        for part in range(parts):
            count = counts[part, tile]
            counts[part, tile] = total
            total += count
        content = np.uint8(total > begin)
        if content | painted[tile]:
            active[drawn] = tile
            drawn += 1
        painted[tile] = content
    starts[tile_count] = total
    return total, drawn


@njit(**OPTIONS)
def fill_lists(part, parts, tiles, lists):
    """Write this part's Gaussians into the tiles' lists."""
    columns = tiles.columns
    places, spans, boxes = tiles.counts[part], tiles.spans[part], tiles.boxes
    total = boxes.shape[0]
    used = 0
    for i in range(part * total // parts, (part + 1) * total // parts):
        for row in range(boxes[i, 0], boxes[i, 1]):
            for tile in range(row * columns + spans[used, 0], row * columns + spans[used, 1]):
                lists[places[tile]] = i
                places[tile] += 1
            used += 1
