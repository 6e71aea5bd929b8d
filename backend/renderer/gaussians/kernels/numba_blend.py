"""Blending of a tile's Gaussians front to back, compiled: RGBA alone, or with depth, mattes and motion."""

from __future__ import annotations

import numpy as np

from ...kernel_cache import njit
from .constants import CUTOFF, MAX_ALPHA, OPAQUE
from .numba_buffers import (
    PIXELS,
    TILE,
)
from .numba_maths import OPTIONS, VECTOR_OPTIONS, F
from .numba_vectors import blend_all, blend_colours

_CUTOFF, _MAX_ALPHA, _OPAQUE = F(CUTOFF), F(MAX_ALPHA), F(OPAQUE)
_UNTESTED = 8  # Gaussians between two tests of whether a tile is opaque
PASSES = 6
"""Planes of the passes: depth, the three mattes, motion x and y."""


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
    state = np.empty((4, PIXELS), np.float32)
    height, width = image.shape[0], image.shape[1]
    for place in range(part, active_count, parts):
        tile = active[place]
        left, top = tile % columns * TILE, tile // columns * TILE
        ends[tile] = _blend(packed, lists, starts[tile], starts[tile + 1], F(left), F(top), state)
        for y in range(min(TILE, height - top)):
            for x in range(min(TILE, width - left)):
                i = y * TILE + x
                image[top + y, left + x, 0] = state[1, i]
                image[top + y, left + x, 1] = state[2, i]
                image[top + y, left + x, 2] = state[3, i]
                image[top + y, left + x, 3] = F(1.0) - state[0, i]


@njit(**VECTOR_OPTIONS)
def _blend(packed, lists, begin, end, left, top, state):
    """Transmittance and premultiplied colour of a tile in `state` (4, PIXELS); returns where in its list it ended."""
    state[0, :] = F(1.0)
    state[1:, :] = F(0.0)
    while begin < end:
        stop = min(begin + _UNTESTED, end)
        transmittance = blend_colours(packed, lists, begin, stop, left, top, state)
        begin = stop
        if transmittance < _OPAQUE:
            break
    return begin


@njit(**OPTIONS)
def blend_passes_part(part, parts, packed, lists, tiles, active_count, image, passes):
    """As `blend_part`, and the passes into `passes` (PASSES, height, width) on the way."""
    columns, starts, ends, active = tiles.columns, tiles.starts, tiles.ends, tiles.active
    state = np.empty((4 + PASSES, PIXELS), np.float32)
    height, width = image.shape[0], image.shape[1]
    for place in range(part, active_count, parts):
        tile = active[place]
        left, top = tile % columns * TILE, tile // columns * TILE
        ends[tile] = _blend_passes(packed, lists, starts[tile], starts[tile + 1], F(left), F(top), state)
        for y in range(min(TILE, height - top)):
            for x in range(min(TILE, width - left)):
                i = y * TILE + x
                for k in range(3):
                    image[top + y, left + x, k] = state[1 + k, i]
                image[top + y, left + x, 3] = F(1.0) - state[0, i]
        for k in range(PASSES):
            for y in range(min(TILE, height - top)):
                for x in range(min(TILE, width - left)):
                    i = y * TILE + x
                    passes[k, top + y, left + x] = state[4 + k, i]


@njit(**VECTOR_OPTIONS)
def _blend_passes(packed, lists, begin, end, left, top, state):
    """As `_blend`, with depth, mattes and motion in the further rows of `state` (4 + PASSES, PIXELS)."""
    state[0, :] = F(1.0)
    state[1:, :] = F(0.0)
    while begin < end:
        stop = min(begin + _UNTESTED, end)
        transmittance = blend_all(packed, lists, begin, stop, left, top, state)
        begin = stop
        if transmittance < _OPAQUE:
            break
    return begin
