"""A frame at once, for Triton: each program takes a block of rays from the camera to their ends, and writes nothing between."""

from __future__ import annotations

import triton
import triton.language as tl

from .interface import OPAQUE
from .triton_field import field_at, spherical_harmonics
from .triton_marching import fade_at, next_sample, read_row, through_cube

# A tenth of it: a block continues while one of its rays does, so more precision costs little.
_FINISHED = tl.constexpr(OPAQUE / 10)


@triton.jit
def draw_kernel(
    origin, directions, occupied, blocks, tables, resolutions, weights, out, rays, unit_step, step, most,
    CELLS: tl.constexpr, LEVELS: tl.constexpr, LOG2_SIZE: tl.constexpr, HIDDEN: tl.constexpr, PADDED: tl.constexpr,
    HIDDEN_PADDED: tl.constexpr, DTYPE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`Kernel.draw`: each ray's next sample is found, shaded and composited, until all rays of the block are finished."""
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = ray < rays
    x, y, z = tl.load(origin), tl.load(origin + 1), tl.load(origin + 2)
    dx, dy, dz = read_row(directions, ray, inside, 1.0)
    view = spherical_harmonics(dx, dy, dz)
    jitter = 0.5
    k, last = through_cube(x, y, z, dx, dy, dz, unit_step, jitter)
    k, last = tl.where(inside, k, 1), tl.where(inside, last, 0)
    frame = tl.zeros([BLOCK], tl.int32)
    count = tl.zeros([BLOCK], tl.int32)
    transmittance = tl.zeros([BLOCK], tl.float32) + 1.0
    red = tl.zeros([BLOCK], tl.float32)
    green = tl.zeros([BLOCK], tl.float32)
    blue = tl.zeros([BLOCK], tl.float32)
    alpha = tl.zeros([BLOCK], tl.float32)
    far = tl.zeros([BLOCK], tl.float32)
    lips = tl.zeros([BLOCK], tl.float32)
    face = tl.zeros([BLOCK], tl.float32)
    k, found = next_sample(x, y, z, dx, dy, dz, k, last, jitter, unit_step, occupied, blocks, CELLS)
    while tl.max(found.to(tl.int32), 0) > 0:
        t = (k + jitter) * unit_step
        px, py, pz = x + t * dx, y + t * dy, z + t * dz
        density, r, g, b, by_lips, by_face = field_at(
            px, py, pz, view, frame, found, tables, resolutions, weights,
            LEVELS, LOG2_SIZE, HIDDEN, PADDED, HIDDEN_PADDED, DTYPE,
        )  # fmt: skip
        keep = tl.exp(-density * fade_at(px, py, pz, found, occupied, CELLS) * step)
        weight = tl.where(found, transmittance * (1 - keep), 0.0)
        transmittance = tl.where(found, transmittance * keep, transmittance)
        red += weight * r
        green += weight * g
        blue += weight * b
        alpha += weight
        far += weight * t * (step / unit_step)
        lips += weight * by_lips
        face += weight * by_face
        count += found.to(tl.int32)
        last = tl.where(found & (transmittance > _FINISHED) & (count < most), last, k)
        k, found = next_sample(x, y, z, dx, dy, dz, k + 1, last, jitter, unit_step, occupied, blocks, CELLS)
    tl.store(out + 7 * ray, red, mask=inside)
    tl.store(out + 7 * ray + 1, green, mask=inside)
    tl.store(out + 7 * ray + 2, blue, mask=inside)
    tl.store(out + 7 * ray + 3, alpha, mask=inside)
    tl.store(out + 7 * ray + 4, far, mask=inside)
    tl.store(out + 7 * ray + 5, lips, mask=inside)
    tl.store(out + 7 * ray + 6, face, mask=inside)
