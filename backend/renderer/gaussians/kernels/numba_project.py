"""Projection of a block of Gaussians onto the image (EWA splatting, Zwicker et al. 2001, as in 3DGS), compiled."""

from __future__ import annotations

import numpy as np

from ....compilation.kernel_cache import njit
from .constants import CUTOFF, LOW_PASS_PX2, MAX_VARIANCE_PX2, NEAR_M
from .numba_buffers import (
    BLOCK,
    BLUE,
    CENTRE_X,
    CENTRE_Y,
    DEPTH,
    FORM_XX,
    FORM_XY,
    FORM_YY,
    GREEN,
    LOG2_OPACITY,
    RADIUS_X,
    RADIUS_Y,
    RED,
)
from .numba_maths import LOG2E, OPTIONS, F, exp2, log2, sigmoid

NEAR = F(NEAR_M)
LOW_PASS = F(LOW_PASS_PX2)
LOG2_CUTOFF = F(np.log2(CUTOFF))
TINY = F(1e-12)
"""Least determinant of a projected covariance before the pixel's own variance: of one seen edge-on it is 0."""
_MAX_VARIANCE = F(MAX_VARIANCE_PX2)
_MAX_PLACE = F(1e7)
_MAX_COLOUR = F(1e6)


@njit(**OPTIONS)
def axes_of(shapes, count, axes):
    """The Gaussians' own axes in the head frame, as long as their standard deviations: `axes` (9 x BLOCK, 3 x 3 row by row) of
    the first `count` Gaussians of `shapes` (7 x BLOCK: log scales and rotations)."""
    for n in range(count):
        qw, qx, qy, qz = shapes[3 * BLOCK + n], shapes[4 * BLOCK + n], shapes[5 * BLOCK + n], shapes[6 * BLOCK + n]
        over_length = F(1.0) / np.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
        qw, qx, qy, qz = qw * over_length, qx * over_length, qy * over_length, qz * over_length
        size_x, size_y, size_z = (
            exp2(shapes[0 * BLOCK + n] * LOG2E),
            exp2(shapes[1 * BLOCK + n] * LOG2E),
            exp2(shapes[2 * BLOCK + n] * LOG2E),
        )
        axes[0 * BLOCK + n] = (F(1.0) - F(2.0) * (qy * qy + qz * qz)) * size_x
        axes[1 * BLOCK + n] = F(2.0) * (qx * qy - qw * qz) * size_y
        axes[2 * BLOCK + n] = F(2.0) * (qx * qz + qw * qy) * size_z
        axes[3 * BLOCK + n] = F(2.0) * (qx * qy + qw * qz) * size_x
        axes[4 * BLOCK + n] = (F(1.0) - F(2.0) * (qx * qx + qz * qz)) * size_y
        axes[5 * BLOCK + n] = F(2.0) * (qy * qz - qw * qx) * size_z
        axes[6 * BLOCK + n] = F(2.0) * (qx * qz - qw * qy) * size_x
        axes[7 * BLOCK + n] = F(2.0) * (qy * qz + qw * qx) * size_y
        axes[8 * BLOCK + n] = (F(1.0) - F(2.0) * (qx * qx + qy * qy)) * size_z


@njit(**OPTIONS)
def project(places, looks, axes, count, lens, out):
    """Project the first `count` Gaussians of a block into `out` (PROJECTED x BLOCK).

    They come as `places` (3 x BLOCK), `looks` (4 x BLOCK: opacity and colour) and `axes` (9 x BLOCK, see `axes_of`).

    What is not finite, behind or too near the camera, or too faint, gets radii of 0; all that is written is finite.
    """
    focal, centre_x, centre_y = lens.focal_px, lens.principal_x, lens.principal_y
    limit_x, limit_y, filter_px = lens.limit_x, lens.limit_y, lens.filter_m * lens.focal_px
    rotation, shift = lens.rotation, lens.shift
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    shift_x, shift_y, shift_z = shift[0], shift[1], shift[2]
    for n in range(count):
        x, y, z = places[0 * BLOCK + n], places[1 * BLOCK + n], places[2 * BLOCK + n]
        depth = r20 * x + r21 * y + r22 * z + shift_z
        ahead = depth > NEAR
        depth = depth if ahead else F(1.0)
        over_z = F(1.0) / depth
        slope_x = (r00 * x + r01 * y + r02 * z + shift_x) * over_z
        slope_y = (r10 * x + r11 * y + r12 * z + shift_y) * over_z
        bounded_x = min(max(slope_x, -limit_x), limit_x)
        bounded_y = min(max(slope_y, -limit_y), limit_y)
        scale = focal * over_z
        # Jacobian of the projection times the rotation, 2 x 3
        j00, j01, j02 = (
            scale * (r00 - bounded_x * r20), scale * (r01 - bounded_x * r21), scale * (r02 - bounded_x * r22),
        )  # fmt: skip
        j10, j11, j12 = (
            scale * (r10 - bounded_y * r20), scale * (r11 - bounded_y * r21), scale * (r12 - bounded_y * r22),
        )  # fmt: skip
        m00, m01, m02 = axes[0 * BLOCK + n], axes[1 * BLOCK + n], axes[2 * BLOCK + n]
        m10, m11, m12 = axes[3 * BLOCK + n], axes[4 * BLOCK + n], axes[5 * BLOCK + n]
        m20, m21, m22 = axes[6 * BLOCK + n], axes[7 * BLOCK + n], axes[8 * BLOCK + n]
        # those axes on the image, 2 x 3
        v00 = j00 * m00 + j01 * m10 + j02 * m20
        v01 = j00 * m01 + j01 * m11 + j02 * m21
        v02 = j00 * m02 + j01 * m12 + j02 * m22
        v10 = j10 * m00 + j11 * m10 + j12 * m20
        v11 = j10 * m01 + j11 * m11 + j12 * m21
        v12 = j10 * m02 + j11 * m12 + j12 * m22
        xx = v00 * v00 + v01 * v01 + v02 * v02
        xy = v00 * v10 + v01 * v11 + v02 * v12
        yy = v10 * v10 + v11 * v11 + v12 * v12
        # The determinant of V Vᵗ is that of the cross product squared: no difference of large numbers.
        cross_0, cross_1, cross_2 = v01 * v12 - v02 * v11, v02 * v10 - v00 * v12, v00 * v11 - v01 * v10
        own = cross_0 * cross_0 + cross_1 * cross_1 + cross_2 * cross_2
        trained = filter_px * over_z
        trained *= trained
        variance = max(trained, LOW_PASS)
        before = max(own + trained * (xx + yy) + trained * trained, TINY)
        after = max(own + variance * (xx + yy) + variance * variance, TINY)
        xx, yy = xx + variance, yy + variance
        fade = min((depth - NEAR) * (F(1.0) / NEAR), F(1.0))
        opacity = max(sigmoid(looks[0 * BLOCK + n]) * fade, F(1e-20))
        log2_opacity = log2(opacity) + F(0.5) * log2(before / after)
        place_x, place_y = focal * slope_x + centre_x, focal * slope_y + centre_y
        red, green, blue = looks[1 * BLOCK + n], looks[2 * BLOCK + n], looks[3 * BLOCK + n]
        # Comparisons with NaN are false; & and not `and`, so that the loop has no branches.
        drawn = ahead & (abs(place_x) < _MAX_PLACE) & (abs(place_y) < _MAX_PLACE)
        drawn &= (xx < _MAX_VARIANCE) & (yy < _MAX_VARIANCE) & (abs(xy) < _MAX_VARIANCE)
        drawn &= (log2_opacity > LOG2_CUTOFF) & (log2_opacity < F(1.0))
        drawn &= (abs(red) < _MAX_COLOUR) & (abs(green) < _MAX_COLOUR) & (abs(blue) < _MAX_COLOUR)
        reach = F(2.0) / LOG2E * max(log2_opacity - LOG2_CUTOFF, F(0.0))
        over_determinant = F(1.0) / after
        out[CENTRE_X * BLOCK + n] = place_x if drawn else F(0.0)
        out[CENTRE_Y * BLOCK + n] = place_y if drawn else F(0.0)
        out[FORM_XX * BLOCK + n] = F(-0.5) * LOG2E * yy * over_determinant if drawn else F(-1.0)
        out[FORM_XY * BLOCK + n] = LOG2E * xy * over_determinant if drawn else F(0.0)
        out[FORM_YY * BLOCK + n] = F(-0.5) * LOG2E * xx * over_determinant if drawn else F(-1.0)
        out[LOG2_OPACITY * BLOCK + n] = log2_opacity if drawn else LOG2_CUTOFF
        out[RED * BLOCK + n] = red if drawn else F(0.0)
        out[GREEN * BLOCK + n] = green if drawn else F(0.0)
        out[BLUE * BLOCK + n] = blue if drawn else F(0.0)
        out[DEPTH * BLOCK + n] = depth
        out[RADIUS_X * BLOCK + n] = np.sqrt(reach * xx) if drawn else F(0.0)
        out[RADIUS_Y * BLOCK + n] = np.sqrt(reach * yy) if drawn else F(0.0)


@njit(**OPTIONS)
def project_centres(block, count, lens, out):
    """Pixels (2 x BLOCK) of the first `count` centres of `block` (3 x BLOCK); those too near or not finite get NaN."""
    focal, centre_x, centre_y = lens.focal_px, lens.principal_x, lens.principal_y
    rotation, shift = lens.rotation, lens.shift
    r00, r01, r02 = rotation[0, 0], rotation[0, 1], rotation[0, 2]
    r10, r11, r12 = rotation[1, 0], rotation[1, 1], rotation[1, 2]
    r20, r21, r22 = rotation[2, 0], rotation[2, 1], rotation[2, 2]
    shift_x, shift_y, shift_z = shift[0], shift[1], shift[2]
    for n in range(count):
        x, y, z = block[0 * BLOCK + n], block[1 * BLOCK + n], block[2 * BLOCK + n]
        depth = r20 * x + r21 * y + r22 * z + shift_z
        over_z = F(1.0) / depth if depth > NEAR else F(np.nan)
        out[0 * BLOCK + n] = focal * (r00 * x + r01 * y + r02 * z + shift_x) * over_z + centre_x
        out[1 * BLOCK + n] = focal * (r10 * x + r11 * y + r12 * z + shift_y) * over_z + centre_y
