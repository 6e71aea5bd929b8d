"""Blending of a tile's Gaussians front to back, compiled: RGBA alone, or with depth, mattes and motion."""

from __future__ import annotations

import numpy as np

from ....compilation.kernel_cache import njit
from .constants import CUTOFF, MAX_ALPHA, OPAQUE
from .numba_buffers import (
    PIXELS,
    TILE,
)
from .numba_maths import OPTIONS, VECTOR_OPTIONS, F
from .numba_vectors import add_mattes, add_motion, blend_colours, blend_colours_and_depth

_CUTOFF, _MAX_ALPHA, _OPAQUE = F(CUTOFF), F(MAX_ALPHA), F(OPAQUE)
_UNTESTED = 8  # Gaussians between two tests of whether a tile is opaque


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
    for place in range(part, active_count, parts):
        tile = active[place]
        left, top = tile % columns * TILE, tile // columns * TILE
        ends[tile] = _blend(packed, lists, starts[tile], starts[tile + 1], F(left), F(top), state)
        _write_image(state, left, top, image)


@njit(**OPTIONS)
def _write_image(state, left, top, image):
    """A tile's colours and alpha into the image."""
    rows, columns = min(TILE, image.shape[0] - top), min(TILE, image.shape[1] - left)
    if rows == TILE and columns == TILE:  # as below, in vectors: LLVM knows how many pixels
        for y in range(TILE):
            for x in range(TILE):
                for k in range(3):
                    image[top + y, left + x, k] = state[1 + k, y * TILE + x]
                image[top + y, left + x, 3] = F(1.0) - state[0, y * TILE + x]
        return
    for y in range(rows):
        for x in range(columns):
            for k in range(3):
                image[top + y, left + x, k] = state[1 + k, y * TILE + x]
            image[top + y, left + x, 3] = F(1.0) - state[0, y * TILE + x]


@njit(**OPTIONS)
def _write_plane(values, left, top, width, plane):
    """A tile's values of a pass into its plane, whose rows begin with the `width` pixels of the image."""
    rows, columns = min(TILE, plane.shape[0] - top), min(TILE, width - left)
    if rows == TILE and columns == TILE:
        for y in range(TILE):
            for x in range(TILE):
                plane[top + y, left + x] = values[y * TILE + x]
        return
    for y in range(rows):
        for x in range(columns):
            plane[top + y, left + x] = values[y * TILE + x]


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
def blend_passes_part(part, parts, packed, lists, tiles, active_count, image, passes, has_mattes):
    """As `blend_part`, and the passes on the way into `passes` (planes, height, width): depth, mattes, motion.

    `has_mattes`: whether there are the three planes of the mattes. There is motion where two more planes are left.
    """
    columns, starts, ends, active = tiles.columns, tiles.starts, tiles.ends, tiles.active
    planes = passes.shape[0]
    state, weights = np.empty((4 + planes, PIXELS), np.float32), np.empty((_UNTESTED, PIXELS), np.float32)
    motion = state[8:] if has_mattes else state[5:]
    for place in range(part, active_count, parts):
        tile = active[place]
        left, top = tile % columns * TILE, tile // columns * TILE
        ends[tile] = _blend_passes(
            packed, lists, starts[tile], starts[tile + 1], F(left), F(top), has_mattes, state, weights, motion
        )
        _write_image(state, left, top, image)
        for k in range(planes):
            _write_plane(state[4 + k], left, top, image.shape[1], passes[k])


@njit(**VECTOR_OPTIONS)
def _blend_passes(packed, lists, begin, end, left, top, has_mattes, state, weights, motion):
    """As `_blend`, with depth, mattes and motion in the further rows of `state` (4 + planes, PIXELS).

    More than colours and depth does not fit into the registers: the rest is added from the weights of a few Gaussians at a time.
    """
    state[0, :] = F(1.0)
    state[1:, :] = F(0.0)
    mattes = state[5:]
    while begin < end:
        stop = min(begin + _UNTESTED, end)
        transmittance = blend_colours_and_depth(packed, lists, begin, stop, left, top, state, weights)
        if has_mattes:
            add_mattes(packed, lists, begin, stop, weights, mattes)
        if motion.shape[0] > 0:
            add_motion(packed, lists, begin, stop, weights, motion)
        begin = stop
        if transmittance < _OPAQUE:
            break
    return begin
