"""Arrays and numbers that the compiled rasteriser's parts share, as named tuples that Numba reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....workspace.shapes import Float, Int, UInt8

TILE = 8
"""Side of a tile, pixels. Faster than 4 and 16."""
PIXELS = TILE * TILE
BLOCK = 128
"""Gaussians that are projected together: their numbers stay in the nearest cache."""

(
    CENTRE_X, CENTRE_Y, FORM_XX, FORM_XY, FORM_YY, LOG2_OPACITY, RED, GREEN, BLUE, DEPTH, MOUTH, HAIR, SKIN, MOVED_X, MOVED_Y,
    _UNUSED,
) = range(16)  # fmt: skip
PACKED = 16
"""Columns of a projected Gaussian: one line of the cache. Its alpha at the distance (x, y) from its centre is
2^(form_xx x² + form_xy x y + form_yy y² + log2_opacity)."""

RADIUS_X, RADIUS_Y = 10, 11
PROJECTED = 12
"""Rows of a block of projected Gaussians: the first ten of the columns above, then where alpha is `CUTOFF`, in pixels from
the centre; 0 for what is not drawn."""

(
    BY_LOG_ALPHA, BY_X, BY_Y, BY_XX, BY_XY, BY_YY, BY_RED, BY_GREEN, BY_BLUE, WEIGHT, _UNUSED_SUM, _UNUSED_SUM,
) = range(12)  # fmt: skip
SUMS = 12
"""Columns of what the backward pass sums for each Gaussian: gradient g by the logarithm of its alpha, g times x, y, x², x y and
y², gradients by its colour, and its weights."""


class Lens(NamedTuple):
    """A view as the kernels read it; see `interface.View`."""

    focal_px: np.float32
    principal_x: np.float32
    principal_y: np.float32
    limit_x: np.float32
    limit_y: np.float32
    filter_m: np.float32
    rotation: Float[np.ndarray, "3 3"]
    shift: Float[np.ndarray, " 3"]


class Tiles(NamedTuple):
    """Which Gaussians each tile of an image of `columns` x `rows` tiles blends.

    Attributes:
        counts: for each part of the Gaussians, how many more each tile has than the one before; then where each part writes
            next in a tile's list.
        starts: where each tile's list begins; the last entry is the number of all.
        ends: how far each tile's list was blended.
        spans: for each part and each row of tiles that a Gaussian touches: first tile, last tile + 1 and the Gaussian.
        used: spans in use, for each part.
        active: tiles to draw in this frame, with content or to be cleared of it.
        painted: tiles with content.
    """

    columns: int
    rows: int
    counts: Int[np.ndarray, "parts tiles1"]
    starts: Int[np.ndarray, " tiles1"]
    ends: Int[np.ndarray, " tiles"]
    spans: Int[np.ndarray, "parts 3 capacity"]
    used: Int[np.ndarray, " parts"]
    active: Int[np.ndarray, " tiles"]
    painted: UInt8[np.ndarray, " tiles"]
