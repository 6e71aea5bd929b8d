"""Gradients of the projection, for Triton: from a Gaussian's sums over its pixels to its attributes and the head's pose."""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_blend import SUMS
from .triton_project import (
    LOW_PASS,
    NEAR,
    TINY,
    covariance,
    jacobian,
    rotation_of,
    row_of,
    row_times,
    sigmoid,
    sizes_of,
    turned,
)


@triton.jit
def _keep(out, row, count, i, value, seen, real):
    """Of what was not drawn, which may not be finite, 0."""
    tl.store(out + row * count + i, tl.where(seen, value, 0.0), mask=real)


@triton.jit
def _add_up(pose, row, value, seen):
    tl.store(pose + 6 * tl.program_id(0) + row, tl.sum(tl.where(seen, value, 0.0), 0))


@triton.jit
def unproject_kernel(attributes, order, lens, sums, out, pose, count, BLOCK: tl.constexpr):
    """Rows of `out` (16, N): gradients by the attributes, pull, weight; a row of `pose` (programs, 6) a block.

    The names are those of `project_kernel`; `d_` is the gradient of the loss by what follows.
    """
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = place < count
    i = tl.load(order + place, mask=real, other=0)
    s = sums + SUMS * place
    weight = tl.load(s + 9, mask=real, other=0.0)
    seen = weight > 0.0
    focal, r20, r21, r22 = tl.load(lens), tl.load(lens + 12), tl.load(lens + 13), tl.load(lens + 14)
    r00, r01, r02 = tl.load(lens + 6), tl.load(lens + 7), tl.load(lens + 8)
    r10, r11, r12 = tl.load(lens + 9), tl.load(lens + 10), tl.load(lens + 11)
    x, y = row_of(attributes, 0, count, i, real), row_of(attributes, 1, count, i, real)
    turned_x, turned_y, turned_z = turned(lens, x, y, row_of(attributes, 2, count, i, real))
    depth = tl.where(seen, turned_z + tl.load(lens + 17), 1.0)
    over_z = 1.0 / depth
    slope_x, slope_y = (turned_x + tl.load(lens + 15)) * over_z, (turned_y + tl.load(lens + 16)) * over_z
    scale = focal * over_z
    j00, j01, j02, j10, j11, j12, bounded_x, bounded_y = jacobian(lens, slope_x, slope_y, scale)
    k00, k01, k02, k10, k11, k12, k20, k21, k22, qw, qx, qy, qz, over_length = rotation_of(attributes, count, i, real)
    size_x, size_y, size_z = sizes_of(attributes, count, i, real)
    m00, m01, m02 = k00 * size_x, k01 * size_y, k02 * size_z
    m10, m11, m12 = k10 * size_x, k11 * size_y, k12 * size_z
    m20, m21, m22 = k20 * size_x, k21 * size_y, k22 * size_z
    v00, v01, v02 = row_times(j00, j01, j02, m00, m01, m02, m10, m11, m12, m20, m21, m22)
    v10, v11, v12 = row_times(j10, j11, j12, m00, m01, m02, m10, m11, m12, m20, m21, m22)
    xx, xy, yy, own = covariance(v00, v01, v02, v10, v11, v12)
    trained = tl.load(lens + 5) * scale
    trained *= trained
    variance = tl.maximum(trained, LOW_PASS)
    before = own + trained * (xx + yy) + trained * trained
    over_before = tl.where(before > TINY, 1.0 / before, 0.0)
    over_after = 1.0 / (own + variance * (xx + yy) + variance * variance)
    # inverses of the covariance before and after the pixel's own variance
    b00, b01, b11 = (yy + trained) * over_before, -xy * over_before, (xx + trained) * over_before
    a00, a01, a11 = (yy + variance) * over_after, -xy * over_after, (xx + variance) * over_after

    d_log_alpha = tl.load(s, mask=real, other=0.0)
    s_x, s_y = tl.load(s + 1, mask=real, other=0.0), tl.load(s + 2, mask=real, other=0.0)
    d_place_x, d_place_y = a00 * s_x + a01 * s_y, a01 * s_x + a11 * s_y
    # by the covariance: A S A / 2 from the exponent, with S the sums of g x xᵗ
    s00 = 0.5 * tl.load(s + 3, mask=real, other=0.0)
    s01 = 0.5 * tl.load(s + 4, mask=real, other=0.0)
    s11 = 0.5 * tl.load(s + 5, mask=real, other=0.0)
    h00, h01, h10, h11 = a00 * s00 + a01 * s01, a00 * s01 + a01 * s11, a01 * s00 + a11 * s01, a01 * s01 + a11 * s11
    c00, c01, c11 = h00 * a00 + h01 * a01, h00 * a01 + h01 * a11, h10 * a01 + h11 * a11
    # by the trained variance: through the covariance where it exceeds the low-pass, else through the opacity alone
    half = 0.5 * d_log_alpha
    d_trained = tl.where(trained > LOW_PASS, c00 + c11, half * (b00 + b11))
    c00, c01, c11 = 2 * (c00 + half * (b00 - a00)), 2 * (c01 + half * (b01 - a01)), 2 * (c11 + half * (b11 - a11))
    d_v00, d_v01, d_v02 = c00 * v00 + c01 * v10, c00 * v01 + c01 * v11, c00 * v02 + c01 * v12
    d_v10, d_v11, d_v12 = c01 * v00 + c11 * v10, c01 * v01 + c11 * v11, c01 * v02 + c11 * v12
    # by the own axes: J transposed times that; by the Jacobian: that times the axes transposed
    e00, e01, e02 = j00 * d_v00 + j10 * d_v10, j00 * d_v01 + j10 * d_v11, j00 * d_v02 + j10 * d_v12
    e10, e11, e12 = j01 * d_v00 + j11 * d_v10, j01 * d_v01 + j11 * d_v11, j01 * d_v02 + j11 * d_v12
    e20, e21, e22 = j02 * d_v00 + j12 * d_v10, j02 * d_v01 + j12 * d_v11, j02 * d_v02 + j12 * d_v12
    d_j00, d_j01, d_j02 = row_times(d_v00, d_v01, d_v02, m00, m10, m20, m01, m11, m21, m02, m12, m22)
    d_j10, d_j11, d_j12 = row_times(d_v10, d_v11, d_v12, m00, m10, m20, m01, m11, m21, m02, m12, m22)

    e00, e10, e20 = e00 * size_x, e10 * size_x, e20 * size_x
    e01, e11, e21 = e01 * size_y, e11 * size_y, e21 * size_y
    e02, e12, e22 = e02 * size_z, e12 * size_z, e22 * size_z
    _keep(out, 3, count, i, e00 * k00 + e10 * k10 + e20 * k20, seen, real)
    _keep(out, 4, count, i, e01 * k01 + e11 * k11 + e21 * k21, seen, real)
    _keep(out, 5, count, i, e02 * k02 + e12 * k12 + e22 * k22, seen, real)
    d_qw = 2 * (qz * (e10 - e01) + qy * (e02 - e20) + qx * (e21 - e12))
    d_qx = 2 * (qy * (e01 + e10) + qz * (e02 + e20) + qw * (e21 - e12)) - 4 * qx * (e11 + e22)
    d_qy = 2 * (qx * (e01 + e10) + qw * (e02 - e20) + qz * (e12 + e21)) - 4 * qy * (e00 + e22)
    d_qz = 2 * (qw * (e10 - e01) + qx * (e02 + e20) + qy * (e12 + e21)) - 4 * qz * (e00 + e11)
    along = d_qw * qw + d_qx * qx + d_qy * qy + d_qz * qz
    _keep(out, 6, count, i, (d_qw - along * qw) * over_length, seen, real)
    _keep(out, 7, count, i, (d_qx - along * qx) * over_length, seen, real)
    _keep(out, 8, count, i, (d_qy - along * qy) * over_length, seen, real)
    _keep(out, 9, count, i, (d_qz - along * qz) * over_length, seen, real)

    # by the point in camera axes: through its place, the Jacobian, the trained variance and the fade near the camera
    d_bounded_x = -scale * (d_j00 * r20 + d_j01 * r21 + d_j02 * r22)
    d_bounded_y = -scale * (d_j10 * r20 + d_j11 * r21 + d_j12 * r22)
    d_slope_x = focal * d_place_x + tl.where(tl.abs(slope_x) < tl.load(lens + 3), d_bounded_x, 0.0)
    d_slope_y = focal * d_place_y + tl.where(tl.abs(slope_y) < tl.load(lens + 4), d_bounded_y, 0.0)
    scaled = d_j00 * j00 + d_j01 * j01 + d_j02 * j02 + d_j10 * j10 + d_j11 * j11 + d_j12 * j12
    d_x, d_y = d_slope_x * over_z, d_slope_y * over_z
    d_z = -(d_slope_x * slope_x + d_slope_y * slope_y + scaled + 2 * d_trained * trained) * over_z
    d_z += tl.where(depth < 2 * NEAR, d_log_alpha / (depth - NEAR), 0.0)
    _keep(out, 0, count, i, r00 * d_x + r10 * d_y + r20 * d_z, seen, real)
    _keep(out, 1, count, i, r01 * d_x + r11 * d_y + r21 * d_z, seen, real)
    _keep(out, 2, count, i, r02 * d_x + r12 * d_y + r22 * d_z, seen, real)
    _keep(out, 10, count, i, d_log_alpha * (1.0 - sigmoid(row_of(attributes, 10, count, i, real))), seen, real)
    _keep(out, 11, count, i, tl.load(s + 6, mask=real, other=0.0), seen, real)
    _keep(out, 12, count, i, tl.load(s + 7, mask=real, other=0.0), seen, real)
    _keep(out, 13, count, i, tl.load(s + 8, mask=real, other=0.0), seen, real)
    _keep(out, 14, count, i, tl.sqrt(d_place_x * d_place_x + d_place_y * d_place_y), seen, real)
    _keep(out, 15, count, i, weight, seen, real)

    # A turn w moves the point by w x (R x) and the rotation's columns by w x column, which the Jacobian has.
    g00, g01, g02, g10, g11, g12 = (
        scale * d_j00,
        scale * d_j01,
        scale * d_j02,
        scale * d_j10,
        scale * d_j11,
        scale * d_j12,
    )
    g20, g21 = -bounded_x * g00 - bounded_y * g10, -bounded_x * g01 - bounded_y * g11
    g22 = -bounded_x * g02 - bounded_y * g12
    turn_x = turned_y * d_z - turned_z * d_y + r10 * g20 + r11 * g21 + r12 * g22 - r20 * g10 - r21 * g11 - r22 * g12
    turn_y = turned_z * d_x - turned_x * d_z + r20 * g00 + r21 * g01 + r22 * g02 - r00 * g20 - r01 * g21 - r02 * g22
    turn_z = turned_x * d_y - turned_y * d_x + r00 * g10 + r01 * g11 + r02 * g12 - r10 * g00 - r11 * g01 - r12 * g02
    _add_up(pose, 0, d_x, seen)
    _add_up(pose, 1, d_y, seen)
    _add_up(pose, 2, d_z, seen)
    _add_up(pose, 3, turn_x, seen)
    _add_up(pose, 4, turn_y, seen)
    _add_up(pose, 5, turn_z, seen)
