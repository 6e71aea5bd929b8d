"""From Gaussians to lists of them by tile: project in the fixed order, then count, then fill; compiled.

The Gaussians are split into consecutive parts, one a thread. A part counts its Gaussians in every tile; then each part's
place in every tile's list is known, and the parts fill the lists at the same time with the order kept.
"""

from __future__ import annotations

import numpy as np

from ....compilation.kernel_cache import njit
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
from .numba_project import LOG2_CUTOFF, axes_of, project, project_centres

_SIDE = F(TILE)


@njit(**OPTIONS)
def project_and_count(part, parts, attributes, order, lens, packed, tiles):
    """Project this part's Gaussians into `packed` (N, PACKED) in their order and count them in `tiles.counts[part]`.

    Returns:
        rows of tiles that they touch together: where they are more than `tiles.spans` holds, no list can be filled.
    """
    tiles.counts[part, :] = 0
    total = order.shape[0]
    begin, end = part * total // parts, (part + 1) * total // parts
    block, axes = np.empty(ATTRIBUTES * BLOCK, np.float32), np.empty(9 * BLOCK, np.float32)
    out = np.empty(PROJECTED * BLOCK, np.float32)
    used = 0
    for first in range(begin, end, BLOCK):
        count = min(BLOCK, end - first)
        gather(attributes, ATTRIBUTES, order, first, count, block)
        axes_of(block[3 * BLOCK : 10 * BLOCK], count, axes)
        project(block[: 3 * BLOCK], block[10 * BLOCK :], axes, count, lens, out)
        used = pack_and_count(part, first, count, out, packed, tiles, used)
    tiles.used[part] = used
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
def pack_and_count(part, first, count, out, packed, tiles, used):
    """Pack a block of projected Gaussians from the place `first` on, and count them in their tiles.

    A row of tiles is a place in `tiles.spans`: first its row and its Gaussian, then, for all of a block together, the tiles.
    Counts are differences from one tile to the next, as only a span's ends are counted.

    Returns:
        the number of spans, `used` and those of this block.
    """
    columns, counts, spans = tiles.columns, tiles.counts[part], tiles.spans[part]
    begins, ends, owners = spans[0], spans[1], spans[2]
    capacity, known = spans.shape[1], used
    stop = known  # what does not fit is only counted, here and in every later block
    boxes = np.empty(2 * BLOCK, np.int32)
    _find_rows(count, out, columns, tiles.rows, boxes)
    for n in range(count):
        for k in range(10):
            packed[first + n, k] = out[k * BLOCK + n]
        top, bottom = boxes[n], boxes[BLOCK + n]
        if bottom > top:
            if used + bottom - top <= capacity:
                for row in range(top, bottom):
                    begins[used + row - top], owners[used + row - top] = row, n
                stop = used + bottom - top
            used += bottom - top
    _find_spans(begins[known:stop], ends[known:stop], owners[known:stop], first, out, columns)
    for k in range(known, stop):
        counts[begins[k]] += 1
        counts[ends[k]] -= 1
    return used


@njit(**OPTIONS)
def _find_rows(count, out, columns, rows, boxes):
    """First and last + 1 row of tiles of a block's Gaussians in `boxes` (2 x BLOCK); those outside the image have none."""
    for n in range(count):
        x, y, radius_x, radius_y = (
            out[CENTRE_X * BLOCK + n],
            out[CENTRE_Y * BLOCK + n],
            out[RADIUS_X * BLOCK + n],
            out[RADIUS_Y * BLOCK + n],
        )
        left, right = _between(x - radius_x, columns), _between(x + radius_x + _SIDE, columns)
        top, bottom = _between(y - radius_y, rows), _between(y + radius_y + _SIDE, rows)
        boxes[n] = top
        boxes[BLOCK + n] = bottom if (radius_x > F(0.0)) & (right > left) else top


@njit(**OPTIONS)
def _find_spans(begins, ends, owners, first, out, columns):
    """From a block's rows and Gaussians to first and last + 1 tile, and each Gaussian's place among all."""
    for k in range(begins.shape[0]):
        n, row = np.int64(owners[k]), begins[k]
        x, y, radius_x, radius_y = (
            out[CENTRE_X * BLOCK + n],
            out[CENTRE_Y * BLOCK + n],
            out[RADIUS_X * BLOCK + n],
            out[RADIUS_Y * BLOCK + n],
        )
        xx, xy, yy, reach = (
            out[FORM_XX * BLOCK + n],
            out[FORM_XY * BLOCK + n],
            out[FORM_YY * BLOCK + n],
            out[LOG2_OPACITY * BLOCK + n] - LOG2_CUTOFF,
        )
        turn = F(-0.5) * xy / yy * radius_x  # height of the ellipse's rightmost point
        above, below = max(F(row) * _SIDE - y, -radius_y), min(F(row) * _SIDE + _SIDE - y, radius_y)
        east = _edge(xx, xy, yy, reach, min(max(turn, above), below), F(-1.0))
        west = _edge(xx, xy, yy, reach, min(max(-turn, above), below), F(1.0))
        east = east if east < radius_x else radius_x  # so written that a NaN, of a form that is nearly 0, is the radius
        west = west if west > -radius_x else -radius_x
        low = _between(x + west, columns)
        high = max(_between(x + east + _SIDE, columns), low)
        begins[k] = row * columns + low
        ends[k] = row * columns + high
        owners[k] = first + n


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
    """Mattes (3, N) and motion since `before` (14, N) of this part's Gaussians; not those whose array has none."""
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
            for k in range(3 if has_mattes else 0):
                packed[i, MOUTH + k] = mattes[k, order[i]]
            for k in range(2 if has_motion else 0):
                moved = packed[i, CENTRE_X + k] - centres[k * BLOCK + i - first]
                packed[i, MOVED_X + k] = moved if abs(moved) < F(1e7) else F(0.0)


@njit(**OPTIONS)
def place_lists(tiles):
    """Turn counts into places: `starts`, and in `counts` where each part begins to write. Lists the tiles to draw.

    Returns:
        Gaussians in all lists, and the number of `active` tiles.
    """
    counts, starts, active, painted = tiles.counts, tiles.starts, tiles.active, tiles.painted
    parts, tile_count = counts.shape[0], starts.shape[0] - 1
    in_tile = np.zeros(parts, np.int64)
    total, drawn = np.int64(0), 0
    for tile in range(tile_count):
        starts[tile] = total
        begin = total
        for part in range(parts):
            in_tile[part] += counts[part, tile]
            counts[part, tile] = total
            total += in_tile[part]
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
    places, spans = tiles.counts[part], tiles.spans[part]
    for k in range(tiles.used[part]):
        for tile in range(spans[0, k], spans[1, k]):
            lists[places[tile]] = spans[2, k]
            places[tile] += 1
