"""Blending of a tile's Gaussians front to back, compiled: RGBA alone, or with depth, mattes and motion."""

from __future__ import annotations

import numpy as np

from ...kernel_cache import njit
from .constants import CUTOFF, MAX_ALPHA, OPAQUE
from .numba_buffers import (
    BLUE,
    CENTRE_X,
    CENTRE_Y,
    DEPTH,
    FORM_XX,
    FORM_XY,
    FORM_YY,
    GREEN,
    HAIR,
    LOG2_OPACITY,
    MOUTH,
    MOVED_X,
    MOVED_Y,
    PIXELS,
    RED,
    SKIN,
    TILE,
)
from .numba_maths import OPTIONS, F, exp2_of_negative

_CUTOFF, _MAX_ALPHA, _OPAQUE = F(CUTOFF), F(MAX_ALPHA), F(OPAQUE)
_UNTESTED = 8  # Gaussians between two tests of whether a tile is opaque
PASSES = 6
"""Columns of the passes: depth, the three mattes, motion x and y."""


@njit(**OPTIONS)
def pixel_centres():
    """Centres of a tile's pixels (2, PIXELS) from its corner, row by row."""
    centres = np.empty((2, PIXELS), np.float32)
    for i in range(PIXELS):
        centres[0, i], centres[1, i] = F(i % TILE) + F(0.5), F(i // TILE) + F(0.5)
    return centres


@njit(**OPTIONS)
def blend_part(part, parts, packed, lists, tiles, active_count, image):
    """Draw every `parts`-th active tile into `image` (height, width, 4)."""
    columns, starts, ends, active = tiles.columns, tiles.starts, tiles.ends, tiles.active
    centres, state = pixel_centres(), np.empty((4, PIXELS), np.float32)
    height, width = image.shape[0], image.shape[1]
    for place in range(part, active_count, parts):
        tile = active[place]
        left, top = tile % columns * TILE, tile // columns * TILE
        ends[tile] = _blend(packed, lists, starts[tile], starts[tile + 1], F(left), F(top), centres, state)
        for y in range(min(TILE, height - top)):
            for x in range(min(TILE, width - left)):
                i = y * TILE + x
                image[top + y, left + x, 0] = state[1, i]
                image[top + y, left + x, 1] = state[2, i]
                image[top + y, left + x, 2] = state[3, i]
                image[top + y, left + x, 3] = F(1.0) - state[0, i]


@njit(**OPTIONS)
def _blend(packed, lists, begin, end, left, top, centres, state):
    """Transmittance and premultiplied colour of a tile in `state` (4, PIXELS); returns where in its list it ended."""
    state[0, :] = F(1.0)
    state[1:, :] = F(0.0)
    while begin < end:
        stop = min(begin + _UNTESTED, end)
        for k in range(begin, stop):
            n = lists[k]
            x, y = left - packed[n, CENTRE_X], top - packed[n, CENTRE_Y]
            xx, xy, yy, log2_opacity = (
                packed[n, FORM_XX], packed[n, FORM_XY], packed[n, FORM_YY], packed[n, LOG2_OPACITY],
            )  # fmt: skip
            red, green, blue = packed[n, RED], packed[n, GREEN], packed[n, BLUE]
            for i in range(PIXELS):
                dx, dy = centres[0, i] + x, centres[1, i] + y
                alpha = exp2_of_negative(log2_opacity + dx * (xx * dx + xy * dy) + yy * dy * dy)
                alpha = max(min(alpha, _MAX_ALPHA) - _CUTOFF, F(0.0))
                weight = state[0, i] * alpha
                state[0, i] -= weight
                state[1, i] += weight * red
                state[2, i] += weight * green
                state[3, i] += weight * blue
        begin = stop
        most = F(0.0)
        for i in range(PIXELS):
            most = max(most, state[0, i])
        if most < _OPAQUE:
            break
    return begin


@njit(**OPTIONS)
def blend_passes_part(part, parts, packed, lists, tiles, active_count, image, passes):
    """As `blend_part`, and the passes into `passes` (height, width, PASSES) on the way."""
    columns, starts, ends, active = tiles.columns, tiles.starts, tiles.ends, tiles.active
    centres, state = pixel_centres(), np.empty((4 + PASSES, PIXELS), np.float32)
    height, width = image.shape[0], image.shape[1]
    for place in range(part, active_count, parts):
        tile = active[place]
        left, top = tile % columns * TILE, tile // columns * TILE
        ends[tile] = _blend_passes(packed, lists, starts[tile], starts[tile + 1], F(left), F(top), centres, state)
        for y in range(min(TILE, height - top)):
            for x in range(min(TILE, width - left)):
                i = y * TILE + x
                for k in range(3):
                    image[top + y, left + x, k] = state[1 + k, i]
                image[top + y, left + x, 3] = F(1.0) - state[0, i]
                for k in range(PASSES):
                    passes[top + y, left + x, k] = state[4 + k, i]


@njit(**OPTIONS)
def _blend_passes(packed, lists, begin, end, left, top, centres, state):
    """As `_blend`, with depth, mattes and motion in the further rows of `state` (4 + PASSES, PIXELS)."""
    state[0, :] = F(1.0)
    state[1:, :] = F(0.0)
    while begin < end:
        stop = min(begin + _UNTESTED, end)
        for k in range(begin, stop):
            n = lists[k]
            x, y = left - packed[n, CENTRE_X], top - packed[n, CENTRE_Y]
            xx, xy, yy, log2_opacity = (
                packed[n, FORM_XX], packed[n, FORM_XY], packed[n, FORM_YY], packed[n, LOG2_OPACITY],
            )  # fmt: skip
            red, green, blue, depth = packed[n, RED], packed[n, GREEN], packed[n, BLUE], packed[n, DEPTH]
            mouth, hair, skin = packed[n, MOUTH], packed[n, HAIR], packed[n, SKIN]
            moved_x, moved_y = packed[n, MOVED_X], packed[n, MOVED_Y]
            for i in range(PIXELS):
                dx, dy = centres[0, i] + x, centres[1, i] + y
                alpha = exp2_of_negative(log2_opacity + dx * (xx * dx + xy * dy) + yy * dy * dy)
                alpha = max(min(alpha, _MAX_ALPHA) - _CUTOFF, F(0.0))
                weight = state[0, i] * alpha
                state[0, i] -= weight
                state[1, i] += weight * red
                state[2, i] += weight * green
                state[3, i] += weight * blue
                state[4, i] += weight * depth
                state[5, i] += weight * mouth
                state[6, i] += weight * hair
                state[7, i] += weight * skin
                state[8, i] += weight * moved_x
                state[9, i] += weight * moved_y
        begin = stop
        most = F(0.0)
        for i in range(PIXELS):
            most = max(most, state[0, i])
        if most < _OPAQUE:
            break
    return begin
