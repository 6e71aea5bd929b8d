"""Blending of the Gaussians in tiles and its gradients, for Triton: a program a tile, which takes some Gaussians at a time.

Tensors are of Gaussians by pixels; what has passed the Gaussians before is a product along the first axis.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .constants import CUTOFF, MAX_ALPHA, OPAQUE
from .triton_project import PACKED

_CUTOFF, _MAX_ALPHA = tl.constexpr(CUTOFF), tl.constexpr(MAX_ALPHA)
_FINISHED = tl.constexpr(OPAQUE / 100)
"""A hundredth of it: the gradient of a Gaussian divides what it hides by what it lets pass, 1 % of it at the least. Whether a tile
ends is asked once in `CHUNK` Gaussians, so more precision costs little."""
_PASSES = tl.constexpr(9)
"""The first column of packed Gaussians that passes are made of."""
SUMS = tl.constexpr(12)
"""Columns of what goes backward, see `numba_buffers.SUMS`."""


@triton.jit
def _pixels(columns, width, height, TILE: tl.constexpr):
    """Of this program's tile: columns, rows, and which are in the image."""
    tile, pixel = tl.program_id(0), tl.arange(0, TILE * TILE)
    x, y = tile % columns * TILE + pixel % TILE, tile // columns * TILE + pixel // TILE
    return x, y, (x < width) & (y < height)


@triton.jit
def _column(packed, n, column):
    """Of some Gaussians, to be combined with pixels."""
    return tl.load(packed + PACKED * n + column)[:, None]


@triton.jit
def _alpha(packed, n, there, x, y):
    """Alphas of Gaussians at pixel centres: before limits, and what is blended; and the distances from their places."""
    dx, dy = x[None, :] - _column(packed, n, 0), y[None, :] - _column(packed, n, 1)
    power = dx * (_column(packed, n, 2) * dx + _column(packed, n, 3) * dy) + _column(packed, n, 4) * dy * dy
    full = tl.exp2(_column(packed, n, 5) + power)
    alpha = tl.maximum(tl.minimum(full, _MAX_ALPHA) - _CUTOFF, 0.0)
    return full, tl.where(there[:, None], alpha, 0.0), dx, dy


@triton.jit
def _through(passed, alpha):
    """What has passed the Gaussians before each one."""
    keep = 1.0 - alpha  # 0.01 at least
    return passed[None, :] * tl.cumprod(keep, 0) / keep


@triton.jit
def _sum_of(weight, packed, n, column):
    return tl.sum(weight * _column(packed, n, column), 0)


@triton.jit
def blend_kernel(
    packed, lists, starts, ends, image, passes, height, width, columns, TILE: tl.constexpr, CHUNK: tl.constexpr,
    PASSES: tl.constexpr,
):  # fmt: skip
    """A tile front to back. `ends` gets how far its list was blended; `passes` (6, height, width) what is wanted besides."""
    x, y, inside = _pixels(columns, width, height, TILE)
    px, py = x + 0.5, y + 0.5
    passed = tl.where(inside, 1.0, 0.0)
    red, green, blue = tl.zeros_like(passed), tl.zeros_like(passed), tl.zeros_like(passed)
    depth, mouth, hair = tl.zeros_like(passed), tl.zeros_like(passed), tl.zeros_like(passed)
    skin, moved_x, moved_y = tl.zeros_like(passed), tl.zeros_like(passed), tl.zeros_like(passed)
    k = tl.load(starts + tl.program_id(0)).to(tl.int32)
    end = tl.load(starts + tl.program_id(0) + 1).to(tl.int32)
    going = k < end
    while going:
        place = k + tl.arange(0, CHUNK)
        there = place < end
        n = tl.load(lists + place, mask=there, other=0)
        _full, alpha, _dx, _dy = _alpha(packed, n, there, px, py)
        weight = _through(passed, alpha) * alpha
        red += _sum_of(weight, packed, n, 6)
        green += _sum_of(weight, packed, n, 7)
        blue += _sum_of(weight, packed, n, 8)
        if PASSES:
            depth += _sum_of(weight, packed, n, _PASSES)
            mouth += _sum_of(weight, packed, n, _PASSES + 1)
            hair += _sum_of(weight, packed, n, _PASSES + 2)
            skin += _sum_of(weight, packed, n, _PASSES + 3)
            moved_x += _sum_of(weight, packed, n, _PASSES + 4)
            moved_y += _sum_of(weight, packed, n, _PASSES + 5)
        passed -= tl.sum(weight, 0)
        k = tl.minimum(k + CHUNK, end)
        going = (k < end) & (tl.max(passed, 0) > _FINISHED)
    tl.store(ends + tl.program_id(0), k)
    pixel, plane = y * width + x, height * width
    tl.store(image + 4 * pixel, red, mask=inside)
    tl.store(image + 4 * pixel + 1, green, mask=inside)
    tl.store(image + 4 * pixel + 2, blue, mask=inside)
    tl.store(image + 4 * pixel + 3, 1.0 - passed, mask=inside)
    if PASSES:
        tl.store(passes + pixel, depth, mask=inside)
        tl.store(passes + plane + pixel, mouth, mask=inside)
        tl.store(passes + 2 * plane + pixel, hair, mask=inside)
        tl.store(passes + 3 * plane + pixel, skin, mask=inside)
        tl.store(passes + 4 * plane + pixel, moved_x, mask=inside)
        tl.store(passes + 5 * plane + pixel, moved_y, mask=inside)


@triton.jit
def _add_up(sums, column, values, there):
    """Sums over pixels, to those of the Gaussians' other tiles. Relaxed: nothing reads them before the kernel has ended, and
    Triton's default would order all other memory about each of them."""
    tl.atomic_add(sums + column, tl.sum(values, 1), mask=there, sem="relaxed")


@triton.jit
def unblend_kernel(
    packed, lists, starts, ends, image, gradient, sums, height, width, columns, TILE: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """A tile front to back again; each Gaussian's sums over its pixels are added to `sums` (N, SUMS)."""
    x, y, inside = _pixels(columns, width, height, TILE)
    px, py, pixel = x + 0.5, y + 0.5, 4 * (y * width + x)
    by_red = tl.load(gradient + pixel, mask=inside, other=0.0)
    by_green = tl.load(gradient + pixel + 1, mask=inside, other=0.0)
    by_blue = tl.load(gradient + pixel + 2, mask=inside, other=0.0)
    by_alpha = tl.load(gradient + pixel + 3, mask=inside, other=0.0)
    # The gradient times what the Gaussians from here on add to the image, which is what a Gaussian's alpha hides.
    hidden = by_red * tl.load(image + pixel, mask=inside, other=0.0)
    hidden += by_green * tl.load(image + pixel + 1, mask=inside, other=0.0)
    hidden += by_blue * tl.load(image + pixel + 2, mask=inside, other=0.0)
    hidden += by_alpha * tl.load(image + pixel + 3, mask=inside, other=0.0)
    passed = tl.where(inside, 1.0, 0.0)
    begin = tl.load(starts + tl.program_id(0)).to(tl.int32)
    end = tl.load(ends + tl.program_id(0))
    for k in range(begin, end, CHUNK):
        place = k + tl.arange(0, CHUNK)
        there = place < end
        n = tl.load(lists + place, mask=there, other=0)
        full, alpha, dx, dy = _alpha(packed, n, there, px, py)
        through = _through(passed, alpha)
        weight = through * alpha
        value = _column(packed, n, 6) * by_red[None, :] + _column(packed, n, 7) * by_green[None, :]
        value += _column(packed, n, 8) * by_blue[None, :] + by_alpha[None, :]
        added = weight * value
        behind = hidden[None, :] - tl.cumsum(added, 0)
        by = (through * value - behind / (1.0 - alpha)) * full
        by = tl.where((alpha > 0.0) & (full < _MAX_ALPHA), by, 0.0)
        hidden -= tl.sum(added, 0)
        passed -= tl.sum(weight, 0)
        to = sums + SUMS * n
        _add_up(to, 0, by, there)
        _add_up(to, 1, by * dx, there)
        _add_up(to, 2, by * dy, there)
        _add_up(to, 3, by * dx * dx, there)
        _add_up(to, 4, by * dx * dy, there)
        _add_up(to, 5, by * dy * dy, there)
        _add_up(to, 6, weight * by_red[None, :], there)
        _add_up(to, 7, weight * by_green[None, :], there)
        _add_up(to, 8, weight * by_blue[None, :], there)
        _add_up(to, 9, weight, there)
