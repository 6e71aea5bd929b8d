"""Drawing a frame, compiled: each thread takes every so many-th block of rays, marches, shades and composites them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .interface import OPAQUE, Grid
from .kernel_cache import njit, prange
from .marching import BLOCK_RADIUS, fade_at, march_between, occupied_blocks, reach
from .tile import exponential, forward, harmonics, scratch
from .vectors import TILE

RAY_BLOCK = 256
"""Rays drawn together: their samples are shaded front to back, 64 at a time."""


class DrawnGrid(NamedTuple):
    """`interface.Grid` for `draw`."""

    occupied: np.ndarray
    blocks: np.ndarray
    """`occupied_blocks`."""
    box_size: np.float32
    step: np.float32
    max_samples: int


class _Queue(NamedTuple):
    """Samples of a block's rays that wait for their tile to be full."""

    rays: np.ndarray
    distances: np.ndarray
    fades: np.ndarray


def drawn_grid(grid: Grid) -> DrawnGrid:
    """The arrays of a grid."""
    blocks = occupied_blocks(grid.empty_block_distance.numpy())
    return DrawnGrid(grid.occupied.numpy(), blocks, np.float32(grid.box_size), np.float32(grid.step), grid.max_samples)


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def draw(threads, origin, directions, grid, encoding, networks, out):
    """(R, 7) of `interface.Kernel.draw`."""
    for thread in prange(threads):
        _draw_blocks(thread, threads, origin, directions, grid, encoding, networks, out)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _draw_blocks(thread, threads, origin, directions, grid, encoding, networks, out):
    """One thread's share. No named tuple is made in a `prange` itself, where Numba loses what is written to it."""
    rays, most = directions.shape[0], grid.max_samples
    unit_step, half = np.float32(grid.step / grid.box_size), np.float32(0.5)
    radius = np.float32(BLOCK_RADIUS / grid.occupied.shape[0])
    buffers = scratch(3 * encoding.resolutions.shape[0], networks.hidden_bias.shape[0], networks.first_weight)
    queue = _Queue(np.empty(TILE, np.int64), np.empty(TILE, np.float32), np.empty(TILE, np.float32))
    places, counts = np.empty((RAY_BLOCK, most), np.int16), np.empty(RAY_BLOCK, np.int64)
    transmittance = np.empty(RAY_BLOCK, np.float32)
    for first in range(thread * RAY_BLOCK, rays, threads * RAY_BLOCK):
        block = min(RAY_BLOCK, rays - first)
        out[first : first + block] = np.float32(0.0)
        near, far = reach(origin, directions[first : first + block], grid.blocks, radius)
        longest = 0
        for b in range(block if near < far else 0):
            counts[b] = march_between(
                origin, directions[first + b], grid.occupied, unit_step, half, near, far, places[b]
            )
            longest = max(longest, counts[b])
            transmittance[b] = np.float32(1.0)
        filled = 0
        for n in range(longest):
            for b in range(block):
                if n < counts[b] and transmittance[b] > OPAQUE:
                    t = (places[b, n] + half) * unit_step
                    _enqueue(filled, b, t, origin, directions[first + b], grid, buffers, queue)
                    filled += 1
                    if filled == TILE:
                        forward(0, encoding, networks, buffers)
                        _composite(filled, grid.step, queue, buffers, transmittance, out[first:])
                        filled = 0
        if filled:
            for s in range(filled, TILE):  # the last one fills the rest of the tile
                buffers.points[:, s] = buffers.points[:, filled - 1]
            forward(0, encoding, networks, buffers)
            _composite(filled, grid.step, queue, buffers, transmittance, out[first:])


@njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def _enqueue(filled, ray, t, origin, direction, grid, buffers, queue):
    """The sample at distance `t` (unit cube) of a ray to column `filled` of the tile."""
    points, cells = buffers.points, grid.occupied.shape[0]
    x, y, z = origin[0] + t * direction[0], origin[1] + t * direction[1], origin[2] + t * direction[2]
    points[0, filled], points[1, filled], points[2, filled] = x, y, z
    x, y, z = x * cells, y * cells, z * cells
    queue.fades[filled] = fade_at(grid.occupied, int(np.floor(x)), int(np.floor(y)), int(np.floor(z)), x, y, z)
    queue.distances[filled] = t * grid.box_size
    queue.rays[filled] = ray
    view = buffers.hidden2[buffers.colour_hidden.shape[0] - 4 :]
    harmonics(direction[0], direction[1], direction[2], view, filled)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _composite(filled, step, queue, buffers, transmittance, out):
    """A tile's samples onto their rays, in the order in which they were queued: front to back."""
    gates, values = buffers.gates, buffers.out
    for s in range(TILE):
        values[0, s] = exponential(-exponential(values[0, s]) * queue.fades[s] * step)
    for s in range(filled):
        b = queue.rays[s]
        weight = transmittance[b] * (np.float32(1.0) - values[0, s])
        transmittance[b] *= values[0, s]
        out[b, 0] += weight * values[1, s]
        out[b, 1] += weight * values[2, s]
        out[b, 2] += weight * values[3, s]
        out[b, 3] += weight
        out[b, 4] += weight * queue.distances[s]
        out[b, 5] += weight * gates[0, s]
        out[b, 6] += weight * gates[1, s]
