"""Shading many samples, compiled, forward and backward: each thread takes every n-th tile.

A thread keeps its own sums of gradients, so no two threads write the same number; the tables' gradient is summed one table
per thread.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from ....compilation.kernel_cache import njit, prange
from .tile import exponential, forward, harmonics, scratch
from .tile_gradients import backward, grad_scratch, grads_of
from .vectors import TILE


class TiledSamples(NamedTuple):
    """Samples of some frames, tile by tile."""

    tiles: np.ndarray
    """(n, 3), from `tiles_of`."""
    positions: np.ndarray
    """(M, 3), in the unit cube."""
    rays: np.ndarray
    """(M), the ray of each sample."""
    directions: np.ndarray
    """(R, 3)."""


def tiles_of(starts: np.ndarray) -> np.ndarray:
    """Tiles of at most 64 samples, each in one frame: (n, 3) int64 frame, first sample, one beyond the last.

    Args:
        starts: (I + 1) first sample of each frame, and the number of samples.
    """
    rows = []
    for image, (low, high) in enumerate(itertools.pairwise(starts)):
        first = np.arange(low, high, TILE)
        rows.append(np.stack([np.full_like(first, image), first, np.minimum(first + TILE, high)], 1))
    return np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _load(samples, low, high, buffers):
    """Samples `low` to `high`, at most a tile, to the buffers; the last one fills the rest of the tile."""
    points, view = buffers.points, buffers.hidden2[buffers.colour_hidden.shape[0] - 4 :]
    positions, rays, directions = samples.positions, samples.rays, samples.directions
    for s in range(TILE):
        m = min(low + s, high - 1)
        r = rays[m]
        for axis in range(3):
            points[axis, s] = positions[m, axis]
        harmonics(directions[r, 0], directions[r, 1], directions[r, 2], view, s)


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def shade(threads, samples, encoding, networks, density, colour, gates):
    for thread in prange(threads):
        _shade_tiles(thread, threads, samples, encoding, networks, density, colour, gates)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _shade_tiles(thread, threads, samples, encoding, networks, density, colour, gates):
    """One thread's share. No named tuple is made in a `prange` itself, where Numba loses what is written to it."""
    buffers = scratch(3 * encoding.resolutions.shape[0], networks.hidden_bias.shape[0], networks.first_weight)
    out, open_gates = buffers.out, buffers.gates
    for number in range(thread, samples.tiles.shape[0], threads):
        image, low, high = samples.tiles[number]
        _load(samples, low, high, buffers)
        forward(image, encoding, networks, buffers)
        for s in range(TILE):
            out[0, s] = exponential(out[0, s])
        for s in range(high - low):
            density[low + s] = out[0, s]
            for channel in range(3):
                colour[low + s, channel] = out[1 + channel, s]
            gates[low + s, 0], gates[low + s, 1] = open_gates[0, s], open_gates[1, s]


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def shade_backward(threads, samples, encoding, networks, transposed, d_density, d_colour, d_encoding, grads):
    """Adds to each thread's `grads`; writes the gradient of the encodings, (3L, M)."""
    for thread in prange(threads):
        _shade_tiles_backward(
            thread, threads, samples, encoding, networks, transposed, d_density, d_colour, d_encoding, grads
        )


@njit(fastmath=True, nogil=True, error_model="numpy")
def _shade_tiles_backward(
    thread, threads, samples, encoding, networks, transposed, d_density, d_colour, d_encoding, grads
):
    features, hidden = 3 * encoding.resolutions.shape[0], networks.hidden_bias.shape[0]
    buffers, more = scratch(features, hidden, networks.first_weight), grad_scratch(features, hidden)
    own, d_out, d_features = grads_of(grads, thread), more.d_out, more.d_encoding
    for number in range(thread, samples.tiles.shape[0], threads):
        image, low, high = samples.tiles[number]
        _load(samples, low, high, buffers)
        forward(image, encoding, networks, buffers)
        d_out[:] = np.float32(0.0)
        for s in range(high - low):
            d_out[0, s] = d_density[low + s]
            for channel in range(3):
                d_out[1 + channel, s] = d_colour[low + s, channel]
        backward(image, features, networks, transposed, buffers, more, own)
        for column in range(features):
            for s in range(high - low):
                d_encoding[column, low + s] = d_features[column, s]


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def tables_backward(positions, gradient, resolutions, planes, out):
    """`gradient` (3L, M) of the encoding to that of the tables, (3L, T)."""
    points, levels, size = positions.shape[0], resolutions.shape[0], out.shape[1]
    mask = np.uint32(size - 1)
    prime = np.uint32(2654435761)
    for column in prange(3 * levels):
        table, row = out[column], gradient[column]
        a, b = planes[column // levels, 0], planes[column // levels, 1]
        resolution = resolutions[column % levels]
        scale, top, stride = np.float32(resolution), resolution - 1, resolution + 1
        dense = stride * stride <= size
        for m in range(points):
            g = row[m]
            u, v = positions[m, a] * scale, positions[m, b] * scale
            i, j = min(max(int(u), 0), top), min(max(int(v), 0), top)
            fu, fv = u - i, v - j
            if dense:
                k00 = j * stride + i
                k10, k01, k11 = k00 + 1, k00 + stride, k00 + stride + 1
            else:
                h0, h1 = np.uint32(j) * prime, np.uint32(j + 1) * prime
                i0, i1 = np.uint32(i), np.uint32(i + 1)
                k00, k10 = np.int64((i0 ^ h0) & mask), np.int64((i1 ^ h0) & mask)
                k01, k11 = np.int64((i0 ^ h1) & mask), np.int64((i1 ^ h1) & mask)
            table[k00] += g * (1 - fu) * (1 - fv)
            table[k10] += g * fu * (1 - fv)
            table[k01] += g * (1 - fu) * fv
            table[k11] += g * fu * fv
