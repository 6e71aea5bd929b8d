"""Compiled loops for the CPU (Numba): the field's tiles over many samples, forward and backward, and whole frames.

A thread takes every so many-th tile or block of rays and keeps its own sums of gradients, so that no two threads write
the same number. The tables' gradient is summed one table a thread.
"""

from __future__ import annotations

import itertools
import threading

import numba
import numpy as np
import torch

from ..triplane import TriplaneLayout
from . import compositing, marching
from .interface import OPAQUE, Grid, Networks, Samples
from .kernel_cache import njit, prange
from .marching import BLOCK_RADIUS, fade_at, march_between, reach
from .tile import (
    backward,
    exponential,
    forward,
    gradients,
    harmonics,
    layout_arrays,
    packed,
    scratch,
    scratch_backward,
)
from .vectors import TILE, has_bfloat16

_ALONE = threading.RLock()  # numba's simplest threading layer ends the process when two threads enter it at once
BLOCK = 256
"""Rays drawn together: their samples are shaded front to back, 64 at a time."""


@njit(fastmath=True, nogil=True, error_model="numpy")
def _take(positions, directions, rays, low, high, buffers):
    """Samples `low` to `high`, at most a tile, to the buffers; the last stands in for missing ones."""
    points, view = buffers[0], buffers[3][buffers[4].shape[0] - 4 :]
    for s in range(TILE):
        m = min(low + s, high - 1)
        r = rays[m]
        for axis in range(3):
            points[axis, s] = positions[m, axis]
        harmonics(directions[r, 0], directions[r, 1], directions[r, 2], view, s)


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def _shade(
    threads, tiles, positions, directions, rays, tables, resolutions, planes, networks, density, colour, gates
):  # fmt: skip
    features, hidden = 3 * resolutions.shape[0], networks[8].shape[0]
    for thread in prange(threads):
        buffers = scratch(features, hidden, networks[0])
        for number in range(thread, tiles.shape[0], threads):
            image, low, high = tiles[number]
            _take(positions, directions, rays, low, high, buffers)
            forward(image, features, tables, resolutions, planes, networks, buffers)
            out, open_gates = buffers[7], buffers[5]
            for s in range(TILE):
                out[0, s] = exponential(out[0, s])
            for s in range(high - low):
                density[low + s] = out[0, s]
                for channel in range(3):
                    colour[low + s, channel] = out[1 + channel, s]
                gates[low + s, 0], gates[low + s, 1] = open_gates[0, s], open_gates[1, s]


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def _shade_backward(
    threads, tiles, positions, directions, rays, tables, resolutions, planes, networks, d_density, d_colour, d_encoding,
    sums,
):  # fmt: skip
    """Adds to each thread's `sums`; writes the encodings' gradient, (3L, M)."""
    features, hidden = 3 * resolutions.shape[0], networks[8].shape[0]
    for thread in prange(threads):
        buffers, more = scratch(features, hidden, networks[0]), scratch_backward(features, hidden)
        given, by_encoding = more[4], more[2]
        own = (
            sums[0][thread], sums[1][thread], sums[2][thread], sums[3][thread], sums[4][thread], sums[5][thread],
            sums[6][thread], sums[7][thread], sums[8][thread], sums[9][thread], sums[10][thread], sums[11][thread],
        )  # fmt: skip
        for number in range(thread, tiles.shape[0], threads):
            image, low, high = tiles[number]
            _take(positions, directions, rays, low, high, buffers)
            forward(image, features, tables, resolutions, planes, networks, buffers)
            given[:] = np.float32(0.0)
            for s in range(high - low):
                given[0, s] = d_density[low + s]
                for channel in range(3):
                    given[1 + channel, s] = d_colour[low + s, channel]
            backward(image, features, networks, buffers, more, own)
            for column in range(features):
                for s in range(high - low):
                    d_encoding[column, low + s] = by_encoding[column, s]


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def _tables_backward(positions, gradient, resolutions, planes, out):
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


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def _draw(
    threads, origin, directions, occupied, blocks, box_size, step, most, tables, resolutions, planes, networks, out
):
    features, hidden = 3 * resolutions.shape[0], networks[8].shape[0]
    rays, grid = directions.shape[0], occupied.shape[0]
    unit_step, half = np.float32(step / box_size), np.float32(0.5)
    radius = np.float32(BLOCK_RADIUS / grid)
    for thread in prange(threads):
        buffers = scratch(features, hidden, networks[0])
        points, view = buffers[0], buffers[3][hidden:]
        places, counts = np.empty((BLOCK, most), np.int16), np.empty(BLOCK, np.int64)
        waiting = np.empty(TILE, np.int64)
        distances, fades = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
        transmittance = np.empty(BLOCK, np.float32)
        for first in range(thread * BLOCK, rays, threads * BLOCK):
            block = min(BLOCK, rays - first)
            longest = 0
            out[first : first + block] = np.float32(0.0)
            near, far = reach(origin, directions[first : first + block], blocks, radius)
            for b in range(block if near < far else 0):
                counts[b] = march_between(
                    origin, directions[first + b], occupied, unit_step, half, near, far, places[b]
                )
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
                        x, y, z = x * grid, y * grid, z * grid
                        fades[filled] = fade_at(occupied, int(np.floor(x)), int(np.floor(y)), int(np.floor(z)), x, y, z)
                        distances[filled] = t * box_size
                        harmonics(directions[r, 0], directions[r, 1], directions[r, 2], view, filled)
                        waiting[filled] = b
                        filled += 1
                        if filled == TILE:
                            forward(0, features, tables, resolutions, planes, networks, buffers)
                            _blend(filled, waiting, distances, fades, step, buffers, transmittance, out[first:])
                            filled = 0
            if filled:
                for s in range(filled, TILE):  # the last stands in for missing ones
                    points[:, s] = points[:, filled - 1]
                forward(0, features, tables, resolutions, planes, networks, buffers)
                _blend(filled, waiting, distances, fades, step, buffers, transmittance, out[first:])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _blend(filled, waiting, distances, fades, step, buffers, transmittance, out):
    """A tile's samples onto their rays, in the order in which they were queued: front to back."""
    gates, values = buffers[5], buffers[7]
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


def _tiles(starts: np.ndarray) -> np.ndarray:
    """Tiles of at most 64 samples that each lie in one frame: (n, 3) int64 frame, first sample, one beyond the last."""
    rows = []
    for image, (low, high) in enumerate(itertools.pairwise(starts)):
        first = np.arange(low, high, TILE)
        rows.append(np.stack([np.full_like(first, image), first, np.minimum(first + TILE, high)], 1))
    return np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, samples, directions, starts, tables, layout, words, *weights):
        networks = Networks(*weights)
        total, threads = len(samples.positions), numba.get_num_threads()
        tiles = _tiles(starts.numpy())
        arrays = (
            threads, tiles, samples.positions.numpy(), directions.numpy(), samples.rays.numpy(),
            tables.detach().numpy(), *layout_arrays(layout),
        )  # fmt: skip
        density, colour, gates = torch.empty(total), torch.empty(total, 3), torch.empty(total, 2)
        given = packed(networks, words, backward=any(ctx.needs_input_grad))
        with _ALONE:
            _shade(*arrays, given[:14], density.numpy(), colour.numpy(), gates.numpy())
        ctx.arrays, ctx.networks, ctx.shapes = arrays, given, [weight.shape for weight in weights]
        ctx.mark_non_differentiable(gates)
        return density, colour, gates

    @staticmethod
    def backward(ctx, d_density, d_colour, _):
        threads, positions, tables, resolutions, planes = ctx.arrays[0], *(ctx.arrays[i] for i in (2, 5, 6, 7))
        features, hidden, images = 3 * len(resolutions), ctx.networks[8].shape[0], ctx.networks[11].shape[0]
        sums = gradients(threads, images, hidden)
        d_encoding, d_tables = np.empty((features, len(positions)), np.float32), torch.zeros(tables.shape)
        given = (gradient.contiguous().numpy() for gradient in (d_density, d_colour))
        with _ALONE:
            _shade_backward(*ctx.arrays, ctx.networks, *given, d_encoding, sums)
            _tables_backward(positions, d_encoding, resolutions, planes, d_tables.numpy())
        first, second, colour, view, bias, *others = (part.sum(0) for part in sums)
        colour = np.concatenate([colour[:, :hidden], view[:, : ctx.shapes[9][1] - hidden]], 1)
        gate_weight, gate_bias, density_weight, density_bias, out_weight, out_bias, condition = others
        by_weight = (
            first[:, :features], bias[0], gate_weight, gate_bias, condition, second[:, :hidden], bias[1, :hidden],
            density_weight, density_bias, colour, bias[2, :hidden], out_weight, out_bias,
        )  # fmt: skip
        return None, None, None, d_tables, None, None, *(torch.from_numpy(g.copy()) for g in by_weight), None


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, density, colour, distances, offsets, step):
        density, colour = density.float().contiguous(), colour.float().contiguous()
        rays = len(offsets) - 1
        rgba, weights, spread = torch.empty(rays, 4), torch.empty(len(density)), torch.empty(rays)
        arrays = density.detach().numpy(), colour.detach().numpy(), distances.numpy(), offsets.numpy()
        with _ALONE:
            compositing.composite(*arrays, np.float32(step), rgba.numpy(), weights.numpy(), spread.numpy())
        ctx.save_for_backward(density, colour, distances, offsets, weights)
        ctx.step = step
        ctx.mark_non_differentiable(weights)
        return rgba, weights, spread

    @staticmethod
    def backward(ctx, gradient, _, spread_gradient):
        density, colour, distances, offsets, weights = (tensor.detach() for tensor in ctx.saved_tensors)
        d_density, d_colour = torch.empty_like(density), torch.empty_like(colour)
        arrays = density.numpy(), colour.numpy(), distances.numpy(), offsets.numpy(), np.float32(ctx.step)
        gradients = (given.float().contiguous().numpy() for given in (gradient, spread_gradient))
        with _ALONE:
            compositing.composite_backward(
                *arrays, weights.numpy(), *gradients, d_density.numpy(), d_colour.numpy()
            )  # fmt: skip
        return d_density, d_colour, None, None, None


class NumbaKernel:
    """See `interface.Kernel`. Matrix products in bfloat16 where the processor has them (`bfloat16=None`: it decides)."""

    name = "numba"

    def __init__(self, bfloat16: bool | None = None) -> None:
        self.bfloat16 = has_bfloat16() if bfloat16 is None else bfloat16

    def march(self, origins, directions, grid: Grid, jitter) -> Samples:
        rays = directions.shape[0]
        # A sample is kept as its multiple of the step: the list is mostly empty, and its pages cost more than marching.
        counts, places = np.empty(rays, np.int64), np.empty((rays, grid.max_samples), np.int16)
        origins, directions, jitter = origins.contiguous().numpy(), directions.contiguous().numpy(), jitter.numpy()
        occupied, unit_step = grid.occupied.numpy(), np.float32(grid.step / grid.box_size)
        with _ALONE:
            marching.march(origins, directions, occupied, grid.clearance.numpy(), unit_step, jitter, counts, places)
        offsets = np.zeros(rays + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        total = int(offsets[-1])
        positions, distances, fades = torch.empty(total, 3), torch.empty(total), torch.empty(total)
        ray_of = torch.empty(total, dtype=torch.int32)
        results = positions.numpy(), distances.numpy(), ray_of.numpy(), fades.numpy()
        given = origins, directions, occupied, unit_step, jitter, places, offsets, np.float32(grid.box_size)
        with _ALONE:
            marching.pack(*given, *results)
        return Samples(positions, distances, ray_of, torch.from_numpy(offsets), fades)

    def shade(self, samples: Samples, directions, starts, tables, layout: TriplaneLayout, networks: Networks):
        weights = tuple(vars(networks).values())
        return _Shade.apply(samples, directions.contiguous(), starts, tables, layout, self.bfloat16, *weights)

    def composite(self, density, colour, samples: Samples, step: float):
        return _Composite.apply(density, colour, samples.distances, samples.offsets, step)

    def draw(self, origin, directions, grid: Grid, tables, layout: TriplaneLayout, networks: Networks):
        out = torch.empty(len(directions), 7)
        arrays = (
            numba.get_num_threads(), origin.numpy(), directions.contiguous().numpy(),
            grid.occupied.numpy(), marching.occupied_blocks(grid.clearance.numpy()), np.float32(grid.box_size), np.float32(grid.step),
            grid.max_samples, tables.detach().numpy(), *layout_arrays(layout), packed(networks, self.bfloat16),
        )  # fmt: skip
        with _ALONE:
            _draw(*arrays, out.numpy())
        return out
