"""Gradients of the projection, compiled: from a Gaussian's sums over its pixels to its attributes and the head's pose."""

from __future__ import annotations

import numpy as np

from ....compilation.kernel_cache import njit
from .constants import ATTRIBUTES
from .numba_bins import gather
from .numba_buffers import (
    BLOCK,
    BY_BLUE,
    BY_GREEN,
    BY_LOG_ALPHA,
    BY_RED,
    BY_X,
    BY_XX,
    BY_XY,
    BY_Y,
    BY_YY,
    SUMS,
    WEIGHT,
)
from .numba_maths import LOG2E, OPTIONS, F, exp2, sigmoid
from .numba_project import LOW_PASS, NEAR, TINY

_PULL, _POSE = ATTRIBUTES, ATTRIBUTES + 1
_ROWS = ATTRIBUTES + 7  # of a block's gradients: attributes, pull, pose


@njit(**OPTIONS)
def unproject_part(part, parts, attributes, order, lens, sums, gradients, pull, weight, pose):
    """Gradients of this part's Gaussians.

    Args:
        sums: (parts, N, SUMS) in the fixed order, summed over the parts here.
        gradients: (ATTRIBUTES, N), written, as are `pull` and `weight` (N).
        pose: (parts, 6), written at `part`.
    """
    total = order.shape[0]
    begin, end = part * total // parts, (part + 1) * total // parts
    block, summed = np.empty(ATTRIBUTES * BLOCK, np.float32), np.empty(SUMS * BLOCK, np.float32)
    out = np.empty(_ROWS * BLOCK, np.float32)
    pose[part, :] = 0.0
    for first in range(begin, end, BLOCK):
        count = min(BLOCK, end - first)
        gather(attributes, ATTRIBUTES, order, first, count, block)
        for n in range(count):
            for k in range(SUMS):
                value = F(0.0)
                for other in range(sums.shape[0]):
                    value += sums[other, first + n, k]
                summed[k * BLOCK + n] = value
        _unproject(block, summed, count, lens, out)
        for n in range(count):
            i = order[first + n]
            seen = summed[WEIGHT * BLOCK + n] > F(0.0)  # what was not drawn may not be finite
            for k in range(ATTRIBUTES):
                gradients[k, i] = out[k * BLOCK + n] if seen else F(0.0)
            pull[i] = out[_PULL * BLOCK + n] if seen else F(0.0)
            weight[i] = summed[WEIGHT * BLOCK + n]
            for k in range(6):
                pose[part, k] += np.float64(out[(_POSE + k) * BLOCK + n]) if seen else 0.0


@njit(**OPTIONS)
def _unproject(block, sums, count, lens, out):
    """Gradients (_ROWS x BLOCK) of the first `count` Gaussians of `block` from their `sums` (SUMS x BLOCK).

    The names are those of `numba_project.project`; `d_` is the gradient of the loss by what follows.
    """
    focal = lens.focal_px
    limit_x, limit_y, filter_px = lens.limit_x, lens.limit_y, lens.filter_m * lens.focal_px
    rotation, shift = lens.rotation, lens.shift
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    shift_x, shift_y, shift_z = shift[0], shift[1], shift[2]
    for n in range(count):
        x, y, z = block[0 * BLOCK + n], block[1 * BLOCK + n], block[2 * BLOCK + n]
        turned_x = r00 * x + r01 * y + r02 * z
        turned_y = r10 * x + r11 * y + r12 * z
        turned_z = r20 * x + r21 * y + r22 * z
        depth = turned_z + shift_z
        over_z = F(1.0) / depth
        slope_x, slope_y = (turned_x + shift_x) * over_z, (turned_y + shift_y) * over_z
        bounded_x = min(max(slope_x, -limit_x), limit_x)
        bounded_y = min(max(slope_y, -limit_y), limit_y)
        scale = focal * over_z
        j00, j01, j02 = (
            scale * (r00 - bounded_x * r20), scale * (r01 - bounded_x * r21), scale * (r02 - bounded_x * r22),
        )  # fmt: skip
        j10, j11, j12 = (
            scale * (r10 - bounded_y * r20), scale * (r11 - bounded_y * r21), scale * (r12 - bounded_y * r22),
        )  # fmt: skip
        qw, qx, qy, qz = block[6 * BLOCK + n], block[7 * BLOCK + n], block[8 * BLOCK + n], block[9 * BLOCK + n]
        over_length = F(1.0) / np.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        qw, qx, qy, qz = qw * over_length, qx * over_length, qy * over_length, qz * over_length
        size_x, size_y, size_z = (
            exp2(block[3 * BLOCK + n] * LOG2E),
            exp2(block[4 * BLOCK + n] * LOG2E),
            exp2(block[5 * BLOCK + n] * LOG2E),
        )
        k00, k01, k02 = (
            F(1.0) - F(2.0) * (qy * qy + qz * qz),
            F(2.0) * (qx * qy - qw * qz),
            F(2.0) * (qx * qz + qw * qy),
        )
        k10, k11, k12 = (
            F(2.0) * (qx * qy + qw * qz),
            F(1.0) - F(2.0) * (qx * qx + qz * qz),
            F(2.0) * (qy * qz - qw * qx),
        )
        k20, k21, k22 = (
            F(2.0) * (qx * qz - qw * qy),
            F(2.0) * (qy * qz + qw * qx),
            F(1.0) - F(2.0) * (qx * qx + qy * qy),
        )
        m00, m01, m02 = k00 * size_x, k01 * size_y, k02 * size_z
        m10, m11, m12 = k10 * size_x, k11 * size_y, k12 * size_z
        m20, m21, m22 = k20 * size_x, k21 * size_y, k22 * size_z
        v00 = j00 * m00 + j01 * m10 + j02 * m20
        v01 = j00 * m01 + j01 * m11 + j02 * m21
        v02 = j00 * m02 + j01 * m12 + j02 * m22
        v10 = j10 * m00 + j11 * m10 + j12 * m20
        v11 = j10 * m01 + j11 * m11 + j12 * m21
        v12 = j10 * m02 + j11 * m12 + j12 * m22
        xx = v00 * v00 + v01 * v01 + v02 * v02
        xy = v00 * v10 + v01 * v11 + v02 * v12
        yy = v10 * v10 + v11 * v11 + v12 * v12
        cross_0, cross_1, cross_2 = v01 * v12 - v02 * v11, v02 * v10 - v00 * v12, v00 * v11 - v01 * v10
        own = cross_0 * cross_0 + cross_1 * cross_1 + cross_2 * cross_2
        trained = filter_px * over_z
        trained *= trained
        variance = max(trained, LOW_PASS)
        before = own + trained * (xx + yy) + trained * trained
        over_before = F(1.0) / before if before > TINY else F(0.0)
        over_after = F(1.0) / (own + variance * (xx + yy) + variance * variance)
        # inverses of the covariance before and after the pixel's own variance
        b00, b01, b11 = (yy + trained) * over_before, -xy * over_before, (xx + trained) * over_before
        a00, a01, a11 = (yy + variance) * over_after, -xy * over_after, (xx + variance) * over_after

        d_log_alpha, s_x, s_y = sums[BY_LOG_ALPHA * BLOCK + n], sums[BY_X * BLOCK + n], sums[BY_Y * BLOCK + n]
        d_place_x, d_place_y = a00 * s_x + a01 * s_y, a01 * s_x + a11 * s_y
        # by the covariance: A S A / 2 from the exponent, with S the sums of g x xᵗ
        s00, s01, s11 = (
            F(0.5) * sums[BY_XX * BLOCK + n],
            F(0.5) * sums[BY_XY * BLOCK + n],
            F(0.5) * sums[BY_YY * BLOCK + n],
        )
        h00, h01 = a00 * s00 + a01 * s01, a00 * s01 + a01 * s11
        h10, h11 = a01 * s00 + a11 * s01, a01 * s01 + a11 * s11
        c00, c01, c11 = h00 * a00 + h01 * a01, h00 * a01 + h01 * a11, h10 * a01 + h11 * a11
        # by the trained variance: through the covariance where it exceeds the low-pass, else through the opacity alone
        half = F(0.5) * d_log_alpha
        d_trained = c00 + c11 if trained > LOW_PASS else half * (b00 + b11)
        c00, c01, c11 = c00 + half * (b00 - a00), c01 + half * (b01 - a01), c11 + half * (b11 - a11)
        c00, c01, c11 = F(2.0) * c00, F(2.0) * c01, F(2.0) * c11
        d_v00, d_v01, d_v02 = c00 * v00 + c01 * v10, c00 * v01 + c01 * v11, c00 * v02 + c01 * v12
        d_v10, d_v11, d_v12 = c01 * v00 + c11 * v10, c01 * v01 + c11 * v11, c01 * v02 + c11 * v12
        e00, e01, e02 = j00 * d_v00 + j10 * d_v10, j00 * d_v01 + j10 * d_v11, j00 * d_v02 + j10 * d_v12
        e10, e11, e12 = j01 * d_v00 + j11 * d_v10, j01 * d_v01 + j11 * d_v11, j01 * d_v02 + j11 * d_v12
        e20, e21, e22 = j02 * d_v00 + j12 * d_v10, j02 * d_v01 + j12 * d_v11, j02 * d_v02 + j12 * d_v12
        d_j00 = d_v00 * m00 + d_v01 * m01 + d_v02 * m02
        d_j01 = d_v00 * m10 + d_v01 * m11 + d_v02 * m12
        d_j02 = d_v00 * m20 + d_v01 * m21 + d_v02 * m22
        d_j10 = d_v10 * m00 + d_v11 * m01 + d_v12 * m02
        d_j11 = d_v10 * m10 + d_v11 * m11 + d_v12 * m12
        d_j12 = d_v10 * m20 + d_v11 * m21 + d_v12 * m22

        e00, e10, e20 = e00 * size_x, e10 * size_x, e20 * size_x
        e01, e11, e21 = e01 * size_y, e11 * size_y, e21 * size_y
        e02, e12, e22 = e02 * size_z, e12 * size_z, e22 * size_z
        out[3 * BLOCK + n] = e00 * k00 + e10 * k10 + e20 * k20
        out[4 * BLOCK + n] = e01 * k01 + e11 * k11 + e21 * k21
        out[5 * BLOCK + n] = e02 * k02 + e12 * k12 + e22 * k22
        d_qw = F(2.0) * (qz * (e10 - e01) + qy * (e02 - e20) + qx * (e21 - e12))
        d_qx = F(2.0) * (qy * (e01 + e10) + qz * (e02 + e20) + qw * (e21 - e12)) - F(4.0) * qx * (e11 + e22)
        d_qy = F(2.0) * (qx * (e01 + e10) + qw * (e02 - e20) + qz * (e12 + e21)) - F(4.0) * qy * (e00 + e22)
        d_qz = F(2.0) * (qw * (e10 - e01) + qx * (e02 + e20) + qy * (e12 + e21)) - F(4.0) * qz * (e00 + e11)
        along = d_qw * qw + d_qx * qx + d_qy * qy + d_qz * qz
        out[6 * BLOCK + n], out[7 * BLOCK + n] = (d_qw - along * qw) * over_length, (d_qx - along * qx) * over_length
        out[8 * BLOCK + n], out[9 * BLOCK + n] = (d_qy - along * qy) * over_length, (d_qz - along * qz) * over_length

        # by the point in camera axes: through its place, the Jacobian, the trained variance and the fade near the camera
        d_bounded_x = -scale * (d_j00 * r20 + d_j01 * r21 + d_j02 * r22)
        d_bounded_y = -scale * (d_j10 * r20 + d_j11 * r21 + d_j12 * r22)
        d_slope_x = focal * d_place_x + (d_bounded_x if abs(slope_x) < limit_x else F(0.0))
        d_slope_y = focal * d_place_y + (d_bounded_y if abs(slope_y) < limit_y else F(0.0))
        scaled = d_j00 * j00 + d_j01 * j01 + d_j02 * j02 + d_j10 * j10 + d_j11 * j11 + d_j12 * j12
        d_x, d_y = d_slope_x * over_z, d_slope_y * over_z
        d_z = -(d_slope_x * slope_x + d_slope_y * slope_y + scaled + F(2.0) * d_trained * trained) * over_z
        d_z += d_log_alpha / (depth - NEAR) if depth < F(2.0) * NEAR else F(0.0)
        out[0 * BLOCK + n] = r00 * d_x + r10 * d_y + r20 * d_z
        out[1 * BLOCK + n] = r01 * d_x + r11 * d_y + r21 * d_z
        out[2 * BLOCK + n] = r02 * d_x + r12 * d_y + r22 * d_z
        out[10 * BLOCK + n] = d_log_alpha * (F(1.0) - sigmoid(block[10 * BLOCK + n]))
        out[11 * BLOCK + n], out[12 * BLOCK + n], out[13 * BLOCK + n] = (
            sums[BY_RED * BLOCK + n],
            sums[BY_GREEN * BLOCK + n],
            sums[BY_BLUE * BLOCK + n],
        )
        out[_PULL * BLOCK + n] = np.sqrt(d_place_x * d_place_x + d_place_y * d_place_y)

        # A turn w moves the point by w x (R x) and the rotation's columns by w x column, which the Jacobian has.
        g00, g01, g02 = scale * d_j00, scale * d_j01, scale * d_j02
        g10, g11, g12 = scale * d_j10, scale * d_j11, scale * d_j12
        g20 = -bounded_x * g00 - bounded_y * g10
        g21 = -bounded_x * g01 - bounded_y * g11
        g22 = -bounded_x * g02 - bounded_y * g12
        out[_POSE * BLOCK + n], out[(_POSE + 1) * BLOCK + n], out[(_POSE + 2) * BLOCK + n] = d_x, d_y, d_z
        out[(_POSE + 3) * BLOCK + n] = turned_y * d_z - turned_z * d_y
        out[(_POSE + 3) * BLOCK + n] += r10 * g20 + r11 * g21 + r12 * g22 - r20 * g10 - r21 * g11 - r22 * g12
        out[(_POSE + 4) * BLOCK + n] = turned_z * d_x - turned_x * d_z
        out[(_POSE + 4) * BLOCK + n] += r20 * g00 + r21 * g01 + r22 * g02 - r00 * g20 - r01 * g21 - r02 * g22
        out[(_POSE + 5) * BLOCK + n] = turned_x * d_y - turned_y * d_x
        out[(_POSE + 5) * BLOCK + n] += r00 * g10 + r01 * g11 + r02 * g12 - r10 * g00 - r11 * g01 - r12 * g02
