"""Rays through the occupied cells, for Triton: a block of rays goes forward together, each to its own next sample."""

from __future__ import annotations

import triton
import triton.language as tl

from .interface import BLOCK_CELLS, FADE_CELLS

_BLOCK = tl.constexpr(BLOCK_CELLS)
_FADE = tl.constexpr(FADE_CELLS)


@triton.jit
def _safe(d):
    return tl.where(tl.abs(d) < 1e-9, 1e-9, d)


@triton.jit
def through_cube(x, y, z, dx, dy, dz, unit_step, jitter):
    """The first and the last multiple of the step in the unit cube, int32; the last is before the first where a ray misses."""
    dx, dy, dz = _safe(dx), _safe(dy), _safe(dz)
    ax, bx, ay, by, az, bz = -x / dx, (1 - x) / dx, -y / dy, (1 - y) / dy, -z / dz, (1 - z) / dz
    near = tl.maximum(tl.maximum(tl.minimum(ax, bx), tl.minimum(ay, by)), tl.minimum(az, bz))
    near = tl.maximum(near, 0.0)
    far = tl.minimum(tl.minimum(tl.maximum(ax, bx), tl.maximum(ay, by)), tl.maximum(az, bz))
    hits = far > near
    first = tl.ceil(tl.where(hits, near / unit_step - jitter, 1.0)).to(tl.int32)
    last = tl.floor(tl.where(hits, far / unit_step - jitter, 0.0)).to(tl.int32)
    return first, last


@triton.jit
def next_sample(x, y, z, dx, dy, dz, k, last, jitter, unit_step, occupied, blocks, CELLS: tl.constexpr):
    """From multiple k of the step on, the first one in an occupied cell; whether there is one up to `last`."""
    # Steps that surely stay within one block of cells; of a unit vector's components one is above 0.57.
    fastest = tl.maximum(tl.maximum(tl.abs(dx), tl.abs(dy)), tl.abs(dz))
    skip = _BLOCK / (tl.maximum(fastest, 0.5) * unit_step * CELLS)
    searching = k <= last
    found = k > last
    found = found & searching
    while tl.max(searching.to(tl.int32), 0) > 0:
        t = (k + jitter) * unit_step
        i = tl.floor((x + t * dx) * CELLS).to(tl.int32)
        j = tl.floor((y + t * dy) * CELLS).to(tl.int32)
        m = tl.floor((z + t * dz) * CELLS).to(tl.int32)
        within = (tl.minimum(tl.minimum(i, j), m) >= 0) & (tl.maximum(tl.maximum(i, j), m) < CELLS)
        read = searching & within
        block = ((i // _BLOCK) * (CELLS // _BLOCK) + j // _BLOCK) * (CELLS // _BLOCK) + m // _BLOCK
        distance = tl.load(blocks + block, mask=read, other=1).to(tl.int32)
        cell = tl.load(occupied + (i * CELLS + j) * CELLS + m, mask=read & (distance == 0), other=0)
        hit = cell.to(tl.int32) > 0
        found = found | hit
        searching = searching & (hit == 0)
        ahead = tl.maximum(((distance - 1) * skip).to(tl.int32), 1)
        k = tl.where(searching, k + ahead, k)
        searching = searching & (k <= last)
    return k, found


@triton.jit
def fade_at(x, y, z, inside, occupied, CELLS: tl.constexpr):
    """Chebyshev distance of points in occupied cells to the nearest empty cell, in fade depths, at most 1."""
    x, y, z = x * CELLS, y * CELLS, z * CELLS
    i, j, m = tl.floor(x), tl.floor(y), tl.floor(z)
    fx, fy, fz = x - i, y - j, z - m
    i, j, m = i.to(tl.int32), j.to(tl.int32), m.to(tl.int32)
    si, sj, sm = tl.where(fx < 0.5, -1, 1), tl.where(fy < 0.5, -1, 1), tl.where(fz < 0.5, -1, 1)
    fx = tl.minimum(fx, 1 - fx) / _FADE
    fy = tl.minimum(fy, 1 - fy) / _FADE
    fz = tl.minimum(fz, 1 - fz) / _FADE
    fade = tl.where(inside, 1.0, 0.0)
    for corner in tl.static_range(1, 8):
        a = corner % 2
        b = (corner // 2) % 2
        c = corner // 4
        ni, nj, nm = i + a * si, j + b * sj, m + c * sm
        within = (tl.minimum(tl.minimum(ni, nj), nm) >= 0) & (tl.maximum(tl.maximum(ni, nj), nm) < CELLS)
        cell = tl.load(occupied + (ni * CELLS + nj) * CELLS + nm, mask=inside & within, other=0)
        distance = tl.maximum(tl.maximum(a * fx, b * fy), c * fz)
        fade = tl.where(cell.to(tl.int32) == 0, tl.minimum(fade, distance), fade)
    return fade


@triton.jit
def read_row(start, row, inside, other):
    """The three numbers of a row."""
    return (
        tl.load(start + 3 * row, mask=inside, other=other),
        tl.load(start + 3 * row + 1, mask=inside, other=other),
        tl.load(start + 3 * row + 2, mask=inside, other=other),
    )


@triton.jit
def march_kernel(
    origins, directions, jitters, occupied, blocks, counts, places, rays, unit_step, most,
    CELLS: tl.constexpr, RAYS: tl.constexpr,
):  # fmt: skip
    """How many samples each ray has, and which multiples of the step they are: `places` (rays, most) int32."""
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    inside = ray < rays
    x, y, z = read_row(origins, ray, inside, 0.0)
    dx, dy, dz = read_row(directions, ray, inside, 1.0)
    jitter = tl.load(jitters + ray, mask=inside, other=0.0)
    k, last = through_cube(x, y, z, dx, dy, dz, unit_step, jitter)
    k, last = tl.where(inside, k, 1), tl.where(inside, last, 0)
    count = tl.zeros([RAYS], tl.int32)
    k, found = next_sample(x, y, z, dx, dy, dz, k, last, jitter, unit_step, occupied, blocks, CELLS)
    while tl.max(found.to(tl.int32), 0) > 0:
        tl.store(places + ray * most + count, k, mask=found)
        count += found.to(tl.int32)
        last = tl.where(found & (count < most), last, k)
        k, found = next_sample(x, y, z, dx, dy, dz, k + 1, last, jitter, unit_step, occupied, blocks, CELLS)
    tl.store(counts + ray, count, mask=inside)


@triton.jit
def pack_kernel(
    origins, directions, jitters, occupied, places, offsets, positions, distances, ray_of, fades, rays, unit_step,
    box_size, most, CELLS: tl.constexpr, RAYS: tl.constexpr,
):  # fmt: skip
    """The samples of all rays one after another, with their fade (`interface.Samples`)."""
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    inside = ray < rays
    x, y, z = read_row(origins, ray, inside, 0.0)
    dx, dy, dz = read_row(directions, ray, inside, 1.0)
    jitter = tl.load(jitters + ray, mask=inside, other=0.0)
    begin = tl.load(offsets + ray, mask=inside, other=0)
    count = (tl.load(offsets + ray + 1, mask=inside, other=0) - begin).to(tl.int32)
    for n in range(tl.max(count, 0)):
        real = n < count
        k = tl.load(places + ray * most + n, mask=real, other=0)
        t = (k + jitter) * unit_step
        px, py, pz = x + t * dx, y + t * dy, z + t * dz
        at = begin + n
        tl.store(positions + 3 * at, px, mask=real)
        tl.store(positions + 3 * at + 1, py, mask=real)
        tl.store(positions + 3 * at + 2, pz, mask=real)
        tl.store(distances + at, t * box_size, mask=real)
        tl.store(ray_of + at, ray, mask=real)
        tl.store(fades + at, fade_at(px, py, pz, real, occupied, CELLS), mask=real)
