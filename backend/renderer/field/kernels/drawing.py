"""Drawing a frame, compiled: each thread takes every n-th block of rays, marches, shades and composites them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....compilation.kernel_cache import njit, prange
from .interface import OPAQUE, Grid
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
    """One thread's share. No named tuple is made in a `prange` itself, where Numba loses what is written to it.

    The loop over samples reads plain arrays: an array taken out of a tuple or sliced is counted atomically each time.
    """
    occupied, blocks, box_size, step = grid.occupied, grid.blocks, grid.box_size, grid.step
    rays, cells = directions.shape[0], occupied.shape[0]
    unit_step, half = np.float32(step / box_size), np.float32(0.5)
    radius = np.float32(BLOCK_RADIUS / cells)
    hidden = networks.hidden_bias.shape[0]
    buffers = scratch(3 * encoding.resolutions.shape[0], hidden, networks.first_weight)
    points, view = buffers.points, buffers.hidden2[hidden:]
    waiting, distances, fades = np.empty(TILE, np.int64), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    queue = _Queue(waiting, distances, fades)
    places, counts = np.empty((RAY_BLOCK, grid.max_samples), np.int16), np.empty(RAY_BLOCK, np.int64)
    transmittance = np.empty(RAY_BLOCK, np.float32)
    for first in range(thread * RAY_BLOCK, rays, threads * RAY_BLOCK):
        block = min(RAY_BLOCK, rays - first)
        out[first : first + block] = np.float32(0.0)
        near, far = reach(origin, directions[first : first + block], blocks, radius)
        longest = 0
        for b in range(block if near < far else 0):
            counts[b] = march_between(origin, directions[first + b], occupied, unit_step, half, near, far, places[b])
            longest = max(longest, counts[b])
            transmittance[b] = np.float32(1.0)
        filled = 0
        for n in range(longest):
            for b in range(block):
                if n < counts[b] and transmittance[b] > OPAQUE:
                    r = first + b
                    t = (places[b, n] + half) * unit_step
                    x = origin[0] + t * directions[r, 0]
                    y = origin[1] + t * directions[r, 1]
                    z = origin[2] + t * directions[r, 2]
                    points[0, filled], points[1, filled], points[2, filled] = x, y, z
                    x, y, z = x * cells, y * cells, z * cells
                    fades[filled] = fade_at(occupied, int(np.floor(x)), int(np.floor(y)), int(np.floor(z)), x, y, z)
                    distances[filled] = t * box_size
                    harmonics(directions[r, 0], directions[r, 1], directions[r, 2], view, filled)
                    waiting[filled] = b
                    filled += 1
                    if filled == TILE:
                        forward(0, encoding, networks, buffers)
                        _composite(filled, step, queue, buffers, transmittance, out[first:])
                        filled = 0
        if filled:
            for s in range(filled, TILE):  # the last one fills the rest of the tile
                points[:, s] = points[:, filled - 1]
            forward(0, encoding, networks, buffers)
            _composite(filled, step, queue, buffers, transmittance, out[first:])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _composite(filled, step, queue, buffers, transmittance, out):
    """A tile's samples onto their rays, in the order in which they were queued: front to back."""
    gates, values = buffers.gates, buffers.out
    waiting, distances, fades = queue.rays, queue.distances, queue.fades
    for s in range(TILE):
        values[0, s] = exponential(-exponential(values[0, s]) * fades[s] * step)
    for s in range(filled):
        b = waiting[s]
        weight = transmittance[b] * (np.float32(1.0) - values[0, s])
        transmittance[b] *= values[0, s]
        out[b, 0] += weight * values[1, s]
        out[b, 1] += weight * values[2, s]
        out[b, 2] += weight * values[3, s]
        out[b, 3] += weight
        out[b, 4] += weight * distances[s]
        out[b, 5] += weight * gates[0, s]
        out[b, 6] += weight * gates[1, s]
