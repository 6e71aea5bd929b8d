"""Gradients of the blending, compiled: from those by the image's pixels to sums for each Gaussian."""

from __future__ import annotations

import numpy as np

from ....compilation.kernel_cache import njit
from .constants import CUTOFF, MAX_ALPHA
from .numba_blend import pixel_centres
from .numba_buffers import (
    BLUE,
    BY_BLUE,
    BY_GREEN,
    BY_LOG_ALPHA,
    BY_RED,
    BY_X,
    BY_XX,
    BY_XY,
    BY_Y,
    BY_YY,
    CENTRE_X,
    CENTRE_Y,
    FORM_XX,
    FORM_XY,
    FORM_YY,
    GREEN,
    LOG2_OPACITY,
    PIXELS,
    RED,
    TILE,
    WEIGHT,
)
from .numba_maths import OPTIONS, F, exp2_of_negative

_CUTOFF, _MAX_ALPHA = F(CUTOFF), F(MAX_ALPHA)


@njit(**OPTIONS)
def unblend_part(part, parts, packed, lists, tiles, active_count, image, gradient, sums):
    """Add to `sums` (N, SUMS) what every `parts`-th active tile gives; `image` and `gradient` are (height, width, 4)."""
    columns, starts, ends, active = tiles.columns, tiles.starts, tiles.ends, tiles.active
    centres, state = pixel_centres(), np.empty((6, PIXELS), np.float32)
    height, width = image.shape[0], image.shape[1]
    for place in range(part, active_count, parts):
        tile = active[place]
        if starts[tile] == ends[tile]:
            continue
        left, top = tile % columns * TILE, tile // columns * TILE
        state[:, :] = F(0.0)  # what is outside the image has no weight
        for y in range(min(TILE, height - top)):
            for x in range(min(TILE, width - left)):
                i = y * TILE + x
                state[0, i] = F(1.0)
                for k in range(4):
                    by = gradient[top + y, left + x, k]
                    state[2 + k, i] = by
                    state[1, i] += by * image[top + y, left + x, k]
        _unblend(packed, lists, starts[tile], ends[tile], F(left), F(top), centres, state, sums)


@njit(**OPTIONS)
def _unblend(packed, lists, begin, end, left, top, centres, state, sums):
    """One tile, front to back again.

    Rows of `state` (6, PIXELS): transmittance; the gradient times what the Gaussians from here on add to the image, which
    is what a Gaussian's alpha hides; gradients by red, green, blue and alpha.
    """
    for k in range(begin, end):
        n = lists[k]
        x, y = left - packed[n, CENTRE_X], top - packed[n, CENTRE_Y]
        xx, xy, yy, log2_opacity = (
            packed[n, FORM_XX], packed[n, FORM_XY], packed[n, FORM_YY], packed[n, LOG2_OPACITY],
        )  # fmt: skip
        red, green, blue = packed[n, RED], packed[n, GREEN], packed[n, BLUE]
        by_log_alpha = by_x = by_y = by_xx = by_xy = by_yy = by_red = by_green = by_blue = weights = F(0.0)
        for i in range(PIXELS):
            dx, dy = centres[0, i] + x, centres[1, i] + y
            full = exp2_of_negative(log2_opacity + dx * (xx * dx + xy * dy) + yy * dy * dy)
            alpha = max(min(full, _MAX_ALPHA) - _CUTOFF, F(0.0))
            transmittance = state[0, i]
            weight = transmittance * alpha
            given_red, given_green, given_blue = state[2, i], state[3, i], state[4, i]
            value = red * given_red + green * given_green + blue * given_blue + state[5, i]
            hidden = state[1, i] - weight * value
            state[1, i] = hidden
            state[0, i] = transmittance - weight
            by = (transmittance * value - hidden / (F(1.0) - alpha)) * full
            by = by if (alpha > F(0.0)) & (full < _MAX_ALPHA) else F(0.0)
            by_log_alpha += by
            by_dx, by_dy = by * dx, by * dy
            by_x += by_dx
            by_y += by_dy
            by_xx += by_dx * dx
            by_xy += by_dx * dy
            by_yy += by_dy * dy
            by_red += weight * given_red
            by_green += weight * given_green
            by_blue += weight * given_blue
            weights += weight
        sums[n, BY_LOG_ALPHA] += by_log_alpha
        sums[n, BY_X] += by_x
        sums[n, BY_Y] += by_y
        sums[n, BY_XX] += by_xx
        sums[n, BY_XY] += by_xy
        sums[n, BY_YY] += by_yy
        sums[n, BY_RED] += by_red
        sums[n, BY_GREEN] += by_green
        sums[n, BY_BLUE] += by_blue
        sums[n, WEIGHT] += weights
