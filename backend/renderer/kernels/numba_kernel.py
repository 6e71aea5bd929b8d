"""Compiled loops for the CPU (Numba): marching, encoding and compositing forward and backward.

Encoding backward runs one table a thread, so that no two threads write the same gradient.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from numba import njit, prange

from ..triplane import PLANES, TriplaneLayout
from .interface import CLEARANCE_BLOCK, FADE_CELLS, Samples

_PLANES = np.array(PLANES, np.int32)
_ALONE = threading.RLock()  # numba's simplest threading layer ends the process when two threads enter it at once
_CHUNK = 512  # points encoded together: their features (512 x 42 floats) stay in the second-level cache


@njit(fastmath=True, cache=True, nogil=True, inline="always")
def _beyond(low, high):
    """Which neighbour along an axis is nearer than the fade's depth (-1, 0 for none, 1), and how near, in depths."""
    if low < FADE_CELLS:
        return -1, low / np.float32(FADE_CELLS)
    if high < FADE_CELLS:
        return 1, high / np.float32(FADE_CELLS)
    return 0, np.float32(0.0)


@njit(fastmath=True, cache=True, nogil=True)
def _fade(occupied, i, j, k, x, y, z):
    """Distance of (x, y, z), in cell (i, j, k), to the nearest empty cell by the largest axis, in fade depths, to 1."""
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


@njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _march(origins, directions, occupied, clearance, unit_step, max_samples, jitter, counts, places):
    cells = np.float32(occupied.shape[0])
    grid = occupied.shape[0]
    for r in prange(origins.shape[0]):
        near, far, swiftest = np.float32(0.0), np.float32(1e9), np.float32(0.0)
        for axis in range(3):
            d = directions[r, axis]
            if abs(d) < np.float32(1e-9):
                d = np.float32(1e-9)
            low, high = -origins[r, axis] / d, (np.float32(1.0) - origins[r, axis]) / d
            near, far, swiftest = max(near, min(low, high)), min(far, max(low, high)), max(swiftest, abs(d))
        n = 0
        if far > near:
            # In cells, by step: position of sample k is start + k * stride.
            shift = jitter[r] * unit_step
            x0, y0, z0 = (
                (origins[r, 0] + shift * directions[r, 0]) * cells,
                (origins[r, 1] + shift * directions[r, 1]) * cells,
                (origins[r, 2] + shift * directions[r, 2]) * cells,
            )
            stride = unit_step * cells
            dx, dy, dz = directions[r, 0] * stride, directions[r, 1] * stride, directions[r, 2] * stride
            leap = np.float32(CLEARANCE_BLOCK) / (swiftest * stride)  # steps a block
            k = np.int32(np.ceil(near / unit_step - jitter[r]))
            last = np.int32(np.floor(far / unit_step - jitter[r]))
            while k <= last and n < max_samples:
                of = np.float32(k)
                i = np.int32(np.floor(x0 + of * dx))
                j = np.int32(np.floor(y0 + of * dy))
                m = np.int32(np.floor(z0 + of * dz))
                if min(i, j, m) < 0 or max(i, j, m) >= grid:
                    k += np.int32(1)
                    continue
                clear = clearance[i // CLEARANCE_BLOCK, j // CLEARANCE_BLOCK, m // CLEARANCE_BLOCK]
                if clear == 0:
                    if occupied[i, j, m]:
                        places[r, n] = k
                        n += 1
                    k += np.int32(1)
                else:  # the blocks between this one and the nearest that is not empty are leapt over
                    k += max(np.int32(1), np.int32((clear - 1) * leap))
        counts[r] = n


@njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _pack(
    origins, directions, occupied, unit_step, jitter, places, offsets, box_size, positions, distances, ray_of, fades
):
    grid = occupied.shape[0]
    for r in prange(origins.shape[0]):
        for n in range(offsets[r + 1] - offsets[r]):
            m = offsets[r] + n
            t = (places[r, n] + jitter[r]) * unit_step
            for axis in range(3):
                positions[m, axis] = origins[r, axis] + t * directions[r, axis]
            x, y, z = positions[m, 0] * grid, positions[m, 1] * grid, positions[m, 2] * grid
            i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
            fades[m] = _fade(occupied, i, j, k, x, y, z)
            distances[m] = t * box_size
            ray_of[m] = r


@njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _encode(positions, tables, resolutions, planes, out):
    points, levels, size = positions.shape[0], resolutions.shape[0], tables.shape[1]
    mask = np.uint32(size - 1)
    prime = np.uint32(2654435761)
    for chunk in prange((points + _CHUNK - 1) // _CHUNK):
        low, high = chunk * _CHUNK, min(points, (chunk + 1) * _CHUNK)
        for column in range(3 * levels):
            table = tables[column]
            a, b = planes[column // levels, 0], planes[column // levels, 1]
            resolution = resolutions[column % levels]
            scale, top, stride = np.float32(resolution), resolution - 1, resolution + 1
            dense = stride * stride <= size
            for m in range(low, high):
                u, v = positions[m, a] * scale, positions[m, b] * scale
                i, j = min(max(int(u), 0), top), min(max(int(v), 0), top)
                fu, fv = u - i, v - j
                if dense:
                    k = j * stride + i
                    c00, c10, c01, c11 = table[k], table[k + 1], table[k + stride], table[k + stride + 1]
                else:
                    h0, h1 = np.uint32(j) * prime, np.uint32(j + 1) * prime
                    i0, i1 = np.uint32(i), np.uint32(i + 1)
                    c00, c10 = table[(i0 ^ h0) & mask], table[(i1 ^ h0) & mask]
                    c01, c11 = table[(i0 ^ h1) & mask], table[(i1 ^ h1) & mask]
                top_row, bottom_row = c00 + fu * (c10 - c00), c01 + fu * (c11 - c01)
                out[m, column] = top_row + fv * (bottom_row - top_row)


@njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _encode_backward(positions, gradient, resolutions, planes, out):
    """`gradient` is (3L, M): each table's row is contiguous."""
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


@njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _composite(density, colour, distances, offsets, step, rgba, weights, spread):
    for r in prange(offsets.shape[0] - 1):
        transmittance = np.float32(1.0)
        red = green = blue = alpha = moment = apart = np.float32(0.0)
        origin = distances[offsets[r]] if offsets[r] < offsets[r + 1] else np.float32(0.0)
        for m in range(offsets[r], offsets[r + 1]):
            keep = np.exp(-density[m] * step)
            w = transmittance * (1 - keep)
            place = (distances[m] - origin) / step
            apart += 2 * w * (place * alpha - moment)
            moment += w * place
            red += w * colour[m, 0]
            green += w * colour[m, 1]
            blue += w * colour[m, 2]
            alpha += w
            weights[m] = w
            transmittance *= keep
        rgba[r, 0], rgba[r, 1], rgba[r, 2], rgba[r, 3] = red, green, blue, alpha
        spread[r] = apart


@njit(fastmath=True, cache=True, nogil=True, inline="always")
def _apart(place, ahead, moment, alpha, total_moment, w):
    """Derivative of a ray's spread by the weight of the sample at `place`, given the sums ahead of it and in all."""
    behind, moment_behind = alpha - ahead - w, total_moment - moment - w * place
    return 2 * (place * (ahead - behind) - (moment - moment_behind))


@njit(parallel=True, fastmath=True, cache=True, nogil=True)
def _composite_backward(
    density, colour, distances, offsets, step, weights, gradient, spread_gradient, d_density, d_colour
):
    # d/d(sigma_m) = step * (T_after(m) * v_m - sum of w v behind m), v being what the loss gains by weight at a sample:
    # its colour by channel, alpha's being 1, and how far it lies from the ray's other weights.
    for r in prange(offsets.shape[0] - 1):
        if offsets[r] == offsets[r + 1]:
            continue
        g0, g1, g2, g3, gs = gradient[r, 0], gradient[r, 1], gradient[r, 2], gradient[r, 3], spread_gradient[r]
        origin = distances[offsets[r]]
        alpha = total_moment = np.float32(0.0)
        for m in range(offsets[r], offsets[r + 1]):
            alpha += weights[m]
            total_moment += weights[m] * (distances[m] - origin) / step
        behind = ahead = moment = np.float32(0.0)
        for m in range(offsets[r], offsets[r + 1]):
            w, place = weights[m], (distances[m] - origin) / step
            value = g0 * colour[m, 0] + g1 * colour[m, 1] + g2 * colour[m, 2] + g3
            value += gs * _apart(place, ahead, moment, alpha, total_moment, w)
            behind += w * value
            ahead += w
            moment += w * place
        ahead = moment = np.float32(0.0)
        transmittance = np.float32(1.0)
        for m in range(offsets[r], offsets[r + 1]):
            w, place = weights[m], (distances[m] - origin) / step
            value = g0 * colour[m, 0] + g1 * colour[m, 1] + g2 * colour[m, 2] + g3
            value += gs * _apart(place, ahead, moment, alpha, total_moment, w)
            ahead += w
            moment += w * place
            behind -= w * value
            transmittance *= np.exp(-density[m] * step)
            d_density[m] = step * (transmittance * value - behind)
            d_colour[m, 0], d_colour[m, 1], d_colour[m, 2] = w * g0, w * g1, w * g2


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions, tables, layout):
        out = torch.empty(positions.shape[0], layout.features)
        resolutions = layout.resolutions()
        with _ALONE:
            _encode(positions.numpy(), tables.detach().numpy(), resolutions, _PLANES, out.numpy())
        ctx.positions, ctx.resolutions, ctx.shape = positions, resolutions, tables.shape
        return out

    @staticmethod
    def backward(ctx, gradient):
        out = torch.zeros(ctx.shape)
        rows = gradient.float().t().contiguous()
        with _ALONE:
            _encode_backward(ctx.positions.numpy(), rows.numpy(), ctx.resolutions, _PLANES, out.numpy())
        return None, out, None


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, density, colour, distances, offsets, step):
        density, colour = density.float().contiguous(), colour.float().contiguous()
        rays = len(offsets) - 1
        rgba, weights, spread = torch.empty(rays, 4), torch.empty(len(density)), torch.empty(rays)
        arrays = density.detach().numpy(), colour.detach().numpy(), distances.numpy(), offsets.numpy()
        with _ALONE:
            _composite(*arrays, np.float32(step), rgba.numpy(), weights.numpy(), spread.numpy())
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
            _composite_backward(*arrays, weights.numpy(), *gradients, d_density.numpy(), d_colour.numpy())
        return d_density, d_colour, None, None, None


class NumbaKernel:
    """See `interface.Kernel`."""

    name = "numba"

    def march(self, origins, directions, occupied, clearance, box_size, step, max_samples, jitter) -> Samples:
        rays = origins.shape[0]
        # A sample is kept as its multiple of the step: the list is mostly empty, and its pages cost more than marching.
        counts, places = np.empty(rays, np.int64), np.empty((rays, max_samples), np.int16)
        origins, directions, jitter = origins.contiguous().numpy(), directions.contiguous().numpy(), jitter.numpy()
        occupied, unit_step = occupied.numpy(), np.float32(step / box_size)
        with _ALONE:
            _march(origins, directions, occupied, clearance.numpy(), unit_step, max_samples, jitter, counts, places)
        offsets = np.zeros(rays + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        total = int(offsets[-1])
        positions, distances, fades = torch.empty(total, 3), torch.empty(total), torch.empty(total)
        ray_of = torch.empty(total, dtype=torch.int32)
        packed = positions.numpy(), distances.numpy(), ray_of.numpy(), fades.numpy()
        with _ALONE:
            _pack(
                origins, directions, occupied, unit_step, jitter, places, offsets, np.float32(box_size), *packed
            )  # fmt: skip
        return Samples(positions, distances, ray_of, torch.from_numpy(offsets), fades)

    def encode(self, positions, tables, layout: TriplaneLayout) -> torch.Tensor:
        return _Encode.apply(positions, tables, layout)

    def composite(self, density, colour, samples: Samples, step: float):
        return _Composite.apply(density, colour, samples.distances, samples.offsets, step)
