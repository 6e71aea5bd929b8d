"""Density and colour of packed samples (Eq. 10 to 12) and their gradients, for Triton.

Backward computes a block's layers again. Its programs are few: each keeps the sums of the weights' gradients in registers over
many blocks, so that only the tables and the frames' conditions are added to by atomics.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .interface import GATE_HIDDEN, SPHERICAL_HARMONICS, STEEPEST_DENSITY
from .triton_field import (
    VIEW_PADDED,
    colours_of,
    conditions_of,
    corners,
    density_of,
    encode,
    field_at,
    gates_of,
    layers,
    matrix,
    places,
    product,
    spherical_harmonics,
    vector,
)  # fmt: skip
from .triton_marching import read_row

_GATE = tl.constexpr(GATE_HIDDEN)
_VIEW = tl.constexpr(SPHERICAL_HARMONICS)
_STEEPEST = tl.constexpr(STEEPEST_DENSITY)


@triton.jit
def _sample(positions, rays, frames, directions, at, inside):
    """Position, view direction's harmonics and frame of a block of samples."""
    x, y, z = read_row(positions, at, inside, 0.0)
    dx, dy, dz = read_row(directions, tl.load(rays + at, mask=inside, other=0), inside, 0.0)
    return x, y, z, spherical_harmonics(dx, dy, dz), tl.load(frames + at, mask=inside, other=0)


@triton.jit
def shade_kernel(
    positions, rays, frames, directions, total, tables, resolutions, weights, density, colour, gates,
    LEVELS: tl.constexpr, LOG2_SIZE: tl.constexpr, HIDDEN: tl.constexpr, PADDED: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr, DTYPE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    count = tl.load(total).to(tl.int32)
    if tl.program_id(0) * BLOCK < count:
        inside = at < count
        x, y, z, view, frame = _sample(positions, rays, frames, directions, at, inside)
        sigma, red, green, blue, lips, face = field_at(
            x, y, z, view, frame, inside, tables, resolutions, weights,
            LEVELS, LOG2_SIZE, HIDDEN, PADDED, HIDDEN_PADDED, DTYPE,
        )  # fmt: skip
        tl.store(density + at, sigma, mask=inside)
        tl.store(colour + 3 * at, red, mask=inside)
        tl.store(colour + 3 * at + 1, green, mask=inside)
        tl.store(colour + 3 * at + 2, blue, mask=inside)
        tl.store(gates + 2 * at, lips, mask=inside)
        tl.store(gates + 2 * at + 1, face, mask=inside)


@triton.jit
def _put(start, value, size: tl.constexpr, padded: tl.constexpr):
    at = tl.arange(0, padded)
    tl.store(start + at, value, mask=at < size)


@triton.jit
def _put_matrix(
    start,
    stride,
    value,
    rows: tl.constexpr,
    columns: tl.constexpr,
    padded_rows: tl.constexpr,
    padded_columns: tl.constexpr,
):
    row, column = tl.arange(0, padded_rows)[:, None], tl.arange(0, padded_columns)[None, :]
    tl.store(start + row * stride + column, value, mask=(row < rows) & (column < columns))


@triton.jit
def shade_backward_kernel(
    positions, rays, frames, directions, total, tables, resolutions, weights, d_density, d_colour, scale,
    d_tables, d_weights, d_condition, weight_count,
    LEVELS: tl.constexpr, LOG2_SIZE: tl.constexpr, HIDDEN: tl.constexpr, PADDED: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr, DTYPE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients times `scale`, which keeps half precision from losing the small ones.

    `d_tables` and `d_condition` are added to; `d_weights` (programs, weights) gets each program's sums.
    """
    FEATURES: tl.constexpr = 3 * LEVELS
    spot = places(FEATURES, HIDDEN)
    h = tl.arange(0, HIDDEN_PADDED)
    count, factor = tl.load(total).to(tl.int32), tl.load(scale)
    first = tl.zeros([HIDDEN_PADDED, PADDED], tl.float32)
    first_bias = tl.zeros([HIDDEN_PADDED], tl.float32)
    gate_first = tl.zeros([_GATE, PADDED], tl.float32)
    gate_first_bias = tl.zeros([_GATE], tl.float32)
    gate_lips = tl.zeros([_GATE], tl.float32)
    gate_face = tl.zeros([_GATE], tl.float32)
    hidden = tl.zeros([HIDDEN_PADDED, HIDDEN_PADDED], tl.float32)
    hidden_bias = tl.zeros([HIDDEN_PADDED], tl.float32)
    to_density = tl.zeros([HIDDEN_PADDED], tl.float32)
    by_hidden = tl.zeros([HIDDEN_PADDED, HIDDEN_PADDED], tl.float32)
    by_view = tl.zeros([HIDDEN_PADDED, VIEW_PADDED], tl.float32)
    colour_bias = tl.zeros([HIDDEN_PADDED], tl.float32)
    to_red = tl.zeros([HIDDEN_PADDED], tl.float32)
    to_green = tl.zeros([HIDDEN_PADDED], tl.float32)
    to_blue = tl.zeros([HIDDEN_PADDED], tl.float32)
    # Sums over samples of the last steps' gradients: density, red, green, blue, lips, face.
    single = tl.zeros([8], tl.float32)
    eight = tl.arange(0, 8)
    for tile in range(tl.program_id(0), tl.cdiv(count, BLOCK), tl.num_programs(0)):
        at = tile * BLOCK + tl.arange(0, BLOCK)
        inside = at < count
        x, y, z, view, frame = _sample(positions, rays, frames, directions, at, inside)
        encoding = encode(x, y, z, inside, tables, resolutions, LEVELS, LOG2_SIZE, PADDED)
        gate, lips, face, in_lips, in_face = gates_of(encoding, x, y, z, weights, FEATURES, HIDDEN, PADDED, DTYPE)
        by_lips, by_face = conditions_of(frame, inside, weights, FEATURES, HIDDEN, HIDDEN_PADDED)
        added = (lips * in_lips)[:, None] * by_lips + (face * in_face)[:, None] * by_face
        one, two, three, exponent = layers(
            encoding, added, view, weights, FEATURES, HIDDEN, PADDED, HIDDEN_PADDED, DTYPE
        )
        red, green, blue = colours_of(three, weights, FEATURES, HIDDEN, HIDDEN_PADDED)
        sigma = density_of(exponent)
        # From the outputs back.
        d_red, d_green, d_blue = read_row(d_colour, at, inside, 0.0)
        d_red, d_green, d_blue = d_red * factor, d_green * factor, d_blue * factor
        d_red, d_green, d_blue = d_red * red * (1 - red), d_green * green * (1 - green), d_blue * blue * (1 - blue)
        d_exponent = tl.load(d_density + at, mask=inside, other=0.0) * factor * tl.minimum(sigma, _STEEPEST)
        start = weights + spot[9]
        d_three = d_red[:, None] * vector(start, HIDDEN, HIDDEN_PADDED)[None, :]
        d_three += d_green[:, None] * vector(start + HIDDEN, HIDDEN, HIDDEN_PADDED)[None, :]
        d_three += d_blue[:, None] * vector(start + 2 * HIDDEN, HIDDEN, HIDDEN_PADDED)[None, :]
        d_three = tl.where(three > 0, d_three, 0.0)
        colour = matrix(weights + spot[7], HIDDEN + _VIEW, 1, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
        d_two = product(d_three, colour, DTYPE)
        d_two += d_exponent[:, None] * vector(weights + spot[5], HIDDEN, HIDDEN_PADDED)[None, :]
        d_two = tl.where(two > 0, d_two, 0.0)
        second = matrix(weights + spot[3], HIDDEN, 1, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
        d_one = tl.where(one > 0, product(d_two, second, DTYPE), 0.0)
        d_lips = tl.sum(d_one * by_lips, 1) * in_lips * lips * (1 - lips)
        d_face = tl.sum(d_one * by_face, 1) * in_face * face * (1 - face)
        gate_weight = weights + spot[1]
        d_gate = d_lips[:, None] * vector(gate_weight, _GATE, _GATE)[None, :]
        d_gate += d_face[:, None] * vector(gate_weight + _GATE, _GATE, _GATE)[None, :]
        d_gate = tl.where(gate > 0, d_gate, 0.0)
        to_one = matrix(weights, FEATURES, 1, HIDDEN, FEATURES, HIDDEN_PADDED, PADDED)
        to_gate = matrix(weights + HIDDEN * FEATURES, FEATURES, 1, _GATE, FEATURES, _GATE, PADDED)
        d_encoding = product(d_one, to_one, DTYPE) + product(d_gate, to_gate, DTYPE)
        # The tables. Relaxed, as nothing reads them before the kernel has ended: see `triton_blend._add_up`.
        i00, i10, i01, i11, fu, fv, real = corners(x, y, z, resolutions, LEVELS, LOG2_SIZE, PADDED)
        write = inside[:, None] & real
        tl.atomic_add(d_tables + i00, d_encoding * (1 - fu) * (1 - fv), mask=write, sem="relaxed")
        tl.atomic_add(d_tables + i10, d_encoding * fu * (1 - fv), mask=write, sem="relaxed")
        tl.atomic_add(d_tables + i01, d_encoding * (1 - fu) * fv, mask=write, sem="relaxed")
        tl.atomic_add(d_tables + i11, d_encoding * fu * fv, mask=write, sem="relaxed")
        # The conditions, frame by frame: samples are in the order of frames, so a block has one or two.
        lowest, highest = tl.min(tl.where(inside, frame, 2147483647), 0), tl.max(tl.where(inside, frame, -1), 0)
        for image in range(lowest, highest + 1):
            of = inside & (frame == image)
            there = d_condition + image * (2 * HIDDEN) + h
            by_lip_code = tl.sum(tl.where(of, lips * in_lips, 0.0)[:, None] * d_one, 0)
            by_face_code = tl.sum(tl.where(of, face * in_face, 0.0)[:, None] * d_one, 0)
            tl.atomic_add(there, by_lip_code, mask=h < HIDDEN, sem="relaxed")
            tl.atomic_add(there + HIDDEN, by_face_code, mask=h < HIDDEN, sem="relaxed")
        # The weights.
        first += product(tl.trans(d_one), encoding, DTYPE)
        first_bias += tl.sum(d_one, 0)
        gate_first += product(tl.trans(d_gate), encoding, DTYPE)
        gate_first_bias += tl.sum(d_gate, 0)
        gate_lips += tl.sum(d_lips[:, None] * gate, 0)
        gate_face += tl.sum(d_face[:, None] * gate, 0)
        hidden += product(tl.trans(d_two), one, DTYPE)
        hidden_bias += tl.sum(d_two, 0)
        to_density += tl.sum(d_exponent[:, None] * two, 0)
        by_hidden += product(tl.trans(d_three), two, DTYPE)
        by_view += product(tl.trans(d_three), view, DTYPE)
        colour_bias += tl.sum(d_three, 0)
        to_red += tl.sum(d_red[:, None] * three, 0)
        to_green += tl.sum(d_green[:, None] * three, 0)
        to_blue += tl.sum(d_blue[:, None] * three, 0)
        single += tl.where(eight == 0, tl.sum(d_exponent, 0), 0.0) + tl.where(eight == 1, tl.sum(d_red, 0), 0.0)
        single += tl.where(eight == 2, tl.sum(d_green, 0), 0.0) + tl.where(eight == 3, tl.sum(d_blue, 0), 0.0)
        single += tl.where(eight == 4, tl.sum(d_lips, 0), 0.0) + tl.where(eight == 5, tl.sum(d_face, 0), 0.0)
    out = d_weights + tl.program_id(0).to(tl.int64) * weight_count
    _put_matrix(out, FEATURES, first, HIDDEN, FEATURES, HIDDEN_PADDED, PADDED)
    _put_matrix(out + HIDDEN * FEATURES, FEATURES, gate_first, _GATE, FEATURES, _GATE, PADDED)
    _put(out + spot[0], first_bias, HIDDEN, HIDDEN_PADDED)
    _put(out + spot[0] + HIDDEN, gate_first_bias, _GATE, _GATE)
    _put(out + spot[1], gate_lips, _GATE, _GATE)
    _put(out + spot[1] + _GATE, gate_face, _GATE, _GATE)
    _put_matrix(out + spot[3], HIDDEN, hidden, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
    _put(out + spot[4], hidden_bias, HIDDEN, HIDDEN_PADDED)
    _put(out + spot[5], to_density, HIDDEN, HIDDEN_PADDED)
    _put_matrix(out + spot[7], HIDDEN + _VIEW, by_hidden, HIDDEN, HIDDEN, HIDDEN_PADDED, HIDDEN_PADDED)
    _put_matrix(out + spot[7] + HIDDEN, HIDDEN + _VIEW, by_view, HIDDEN, _VIEW, HIDDEN_PADDED, VIEW_PADDED)
    _put(out + spot[8], colour_bias, HIDDEN, HIDDEN_PADDED)
    _put(out + spot[9], to_red, HIDDEN, HIDDEN_PADDED)
    _put(out + spot[9] + HIDDEN, to_green, HIDDEN, HIDDEN_PADDED)
    _put(out + spot[9] + 2 * HIDDEN, to_blue, HIDDEN, HIDDEN_PADDED)
    tl.store(out + spot[6] + eight, single, mask=eight == 0)
    tl.store(out + spot[10] + eight - 1, single, mask=(eight >= 1) & (eight < 4))
    tl.store(out + spot[2] + eight - 4, single, mask=(eight >= 4) & (eight < 6))
