"""Marching, compiled: rays through the occupied cells of the unit cube, skipping empty blocks."""

from __future__ import annotations

import numpy as np

from ....compilation.kernel_cache import njit, prange
from .interface import BLOCK_CELLS, FADE_CELLS


@njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def _beyond(low, high):
    """Which neighbour along an axis is nearer than the fade's depth (-1, 0 for none, 1), and how near, in depths."""
    if low < FADE_CELLS:
        return -1, low / np.float32(FADE_CELLS)
    if high < FADE_CELLS:
        return 1, high / np.float32(FADE_CELLS)
    return 0, np.float32(0.0)


@njit(fastmath=True, nogil=True, error_model="numpy")
def fade_at(occupied, i, j, k, x, y, z):
    """Chebyshev distance of (x, y, z), in cell (i, j, k), to the nearest empty cell, in fade depths, at most 1."""
    grid = occupied.shape[0]
    if min(i, j, k) < 0 or max(i, j, k) >= grid or not occupied[i, j, k]:
        return np.float32(0.0)  # on the very border, by rounding
    si, near_x = _beyond(x - i, i + 1 - x)
    sj, near_y = _beyond(y - j, j + 1 - y)
    sk, near_z = _beyond(z - k, k + 1 - z)
    fade = np.float32(1.0)
    for corner in range(1, 8):
        a, b, c = corner & 1, (corner >> 1) & 1, corner >> 2
        if (a and not si) or (b and not sj) or (c and not sk):
            continue
        distance = np.float32(0.0)
        if a:
            distance = near_x
        if b:
            distance = max(distance, near_y)
        if c:
            distance = max(distance, near_z)
        if distance < fade:
            ni, nj, nk = i + a * si, j + b * sj, k + c * sk
            outside = ni < 0 or nj < 0 or nk < 0 or ni >= grid or nj >= grid or nk >= grid
            if outside or not occupied[ni, nj, nk]:
                fade = distance
    return fade


@njit(fastmath=True, nogil=True, error_model="numpy")
def _through_cube(origin, direction):
    """Distances at which a ray enters and leaves the unit cube, and the largest component of its direction."""
    near, far, fastest = np.float32(0.0), np.float32(1e9), np.float32(0.0)
    for axis in range(3):
        d = direction[axis]
        if abs(d) < np.float32(1e-9):
            d = np.float32(1e-9)
        low, high = -origin[axis] / d, (np.float32(1.0) - origin[axis]) / d
        near, far, fastest = max(near, min(low, high)), min(far, max(low, high)), max(fastest, abs(d))
    return near, far, fastest


@njit(fastmath=True, nogil=True, error_model="numpy")
def march_ray(origin, direction, occupied, empty_block_distance, unit_step, jitter, places):
    """Write the samples of one ray, as multiples of the step, to `places`; their number."""
    grid = occupied.shape[0]
    cells = np.float32(grid)
    near, far, fastest = _through_cube(origin, direction)
    if far <= near:
        return 0
    # In cells, by step: position of sample k is start + k * stride.
    shift = jitter * unit_step
    x0 = (origin[0] + shift * direction[0]) * cells
    y0 = (origin[1] + shift * direction[1]) * cells
    z0 = (origin[2] + shift * direction[2]) * cells
    stride = unit_step * cells
    dx, dy, dz = direction[0] * stride, direction[1] * stride, direction[2] * stride
    skip = np.float32(BLOCK_CELLS) / (fastest * stride)  # steps a block
    k = np.int32(np.ceil(near / unit_step - jitter))
    last = np.int32(np.floor(far / unit_step - jitter))
    n, most = 0, places.shape[0]
    while k <= last and n < most:
        of = np.float32(k)
        i = np.int32(np.floor(x0 + of * dx))
        j = np.int32(np.floor(y0 + of * dy))
        m = np.int32(np.floor(z0 + of * dz))
        if min(i, j, m) < 0 or max(i, j, m) >= grid:
            k += np.int32(1)
            continue
        distance = empty_block_distance[i // BLOCK_CELLS, j // BLOCK_CELLS, m // BLOCK_CELLS]
        if distance == 0:
            if occupied[i, j, m]:
                places[n] = k
                n += 1
            k += np.int32(1)
        else:  # skip the empty blocks between this one and the nearest that is not
            k += max(np.int32(1), np.int32((distance - 1) * skip))
    return n


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def march(origins, directions, occupied, empty_block_distance, unit_step, jitter, counts, places):
    """The samples of each ray: `places` (R, most) int16 as multiples of the step, `counts` (R)."""
    for r in prange(directions.shape[0]):
        counts[r] = march_ray(
            origins[r], directions[r], occupied, empty_block_distance, unit_step, jitter[r], places[r]
        )


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def pack(
    origins, directions, occupied, unit_step, jitter, places, offsets, box_size, positions, distances, ray_of, fades
):
    """The samples of all rays one after another, with their fade (`interface.Samples`)."""
    grid = occupied.shape[0]
    for r in prange(directions.shape[0]):
        for n in range(offsets[r + 1] - offsets[r]):
            m = offsets[r] + n
            t = (places[r, n] + jitter[r]) * unit_step
            for axis in range(3):
                positions[m, axis] = origins[r, axis] + t * directions[r, axis]
            x, y, z = positions[m, 0] * grid, positions[m, 1] * grid, positions[m, 2] * grid
            fades[m] = fade_at(occupied, int(np.floor(x)), int(np.floor(y)), int(np.floor(z)), x, y, z)
            distances[m] = t * box_size
            ray_of[m] = r


BLOCK_RADIUS = 0.8661 * BLOCK_CELLS
"""Half the diagonal of a block of cells, in cells."""


# -- rays of one image, block by block ---------------------------------------------------------------------------------


def occupied_blocks(empty_block_distance: np.ndarray) -> np.ndarray:
    """Centres, in the unit cube, of the blocks that hold occupied cells: (3, N) float32."""
    blocks = empty_block_distance.shape[0]
    return np.ascontiguousarray((np.argwhere(empty_block_distance == 0).T + 0.5) / blocks, np.float32)


@njit(fastmath=True, nogil=True, error_model="numpy")
def reach(origin, directions, blocks, radius):
    """Nearest and farthest distance at which rays from one point can meet a block; (1, 0) when none can.

    The rays are in a cone about their mean, a block in a sphere of `radius`; the intersection bounds them all.
    """
    x = y = z = np.float32(0.0)
    for r in range(directions.shape[0]):
        x, y, z = x + directions[r, 0], y + directions[r, 1], z + directions[r, 2]
    scale = np.float32(1.0) / max(np.sqrt(x * x + y * y + z * z), np.float32(1e-9))
    x, y, z = x * scale, y * scale, z * scale
    narrowest = np.float32(1.0)
    for r in range(directions.shape[0]):
        narrowest = min(narrowest, x * directions[r, 0] + y * directions[r, 1] + z * directions[r, 2])
    narrowest = max(narrowest, np.float32(1e-3))
    tangent = np.sqrt(max(np.float32(1.0) - narrowest * narrowest, np.float32(0.0))) / narrowest
    slack = radius / narrowest
    near, far = np.float32(1e9), np.float32(-1e9)
    for n in range(blocks.shape[1]):
        cx, cy, cz = blocks[0, n] - origin[0], blocks[1, n] - origin[1], blocks[2, n] - origin[2]
        along, square = cx * x + cy * y + cz * z, cx * cx + cy * cy + cz * cz
        aside = max(along, np.float32(0.0)) * tangent + slack
        if square - along * along <= aside * aside and along > -radius:
            distance = np.sqrt(square)
            near, far = min(near, distance - radius), max(far, distance + radius)
    return max(near, np.float32(0.0)), far


@njit(fastmath=True, nogil=True, error_model="numpy")
def march_between(origin, direction, occupied, unit_step, jitter, near, far, places):
    """As `march_ray`, visiting each step from `near` to `far` (unit cube): fast where they are close together."""
    grid = occupied.shape[0]
    cells = np.float32(grid)
    enters, leaves, _ = _through_cube(origin, direction)
    k = np.int32(np.ceil(max(near, enters) / unit_step - jitter))
    last = np.int32(np.floor(min(far, leaves) / unit_step - jitter))
    top = np.int32(grid - 1)
    shift = jitter * unit_step
    x0 = (origin[0] + shift * direction[0]) * cells
    y0 = (origin[1] + shift * direction[1]) * cells
    z0 = (origin[2] + shift * direction[2]) * cells
    stride = unit_step * cells
    dx, dy, dz = direction[0] * stride, direction[1] * stride, direction[2] * stride
    n, most = 0, places.shape[0]
    while k <= last and n < most:
        of = np.float32(k)
        # Inside the cube up to rounding, so cutting the fraction off is the floor.
        i = max(min(np.int32(x0 + of * dx), top), np.int32(0))
        j = max(min(np.int32(y0 + of * dy), top), np.int32(0))
        m = max(min(np.int32(z0 + of * dz), top), np.int32(0))
        if occupied[i, j, m]:
            places[n] = k
            n += 1
        k += np.int32(1)
    return n
