"""Projection of Gaussians onto the image and their entries in the lists of tiles, for Triton; the formulas are those of
`numba_project`."""

from __future__ import annotations

import math

import triton
import triton.language as tl

from .constants import CUTOFF, LOW_PASS_PX2, MAX_VARIANCE_PX2, NEAR_M

LOG2E = tl.constexpr(math.log2(math.e))
NEAR = tl.constexpr(NEAR_M)
LOW_PASS = tl.constexpr(LOW_PASS_PX2)
LOG2_CUTOFF = tl.constexpr(math.log2(CUTOFF))
TINY = tl.constexpr(1e-12)
"""Least determinant of a projected covariance before the pixel's own variance: of one seen edge-on it is 0."""
PACKED = tl.constexpr(16)
"""Columns of a projected Gaussian: place x, y; form xx, xy, yy; log2 of the opacity; red, green, blue; then what passes are
made of: depth, three mattes, motion x, y. Its alpha at (x, y) from its place is 2^(xx x² + xy x y + yy y² + log2 opacity)."""
BOX = tl.constexpr(3)
"""Columns of the tiles that a Gaussian touches: the first column and row, and how many columns."""
_MAX_VARIANCE = tl.constexpr(MAX_VARIANCE_PX2)
_MAX_PLACE = tl.constexpr(1e7)
_MAX_COLOUR = tl.constexpr(1e6)


@triton.jit
def row_of(attributes, row, count, i, real):
    return tl.load(attributes + row * count + i, mask=real, other=1.0)


@triton.jit
def rotation_of(attributes, count, i, real):
    """The rotation's nine entries, its quaternion as a unit, and one over the length that it had."""
    qw, qx = row_of(attributes, 6, count, i, real), row_of(attributes, 7, count, i, real)
    qy, qz = row_of(attributes, 8, count, i, real), row_of(attributes, 9, count, i, real)
    over_length = 1.0 / tl.sqrt(qw * qw + qx * qx + qy * qy + qz * qz)
    qw, qx, qy, qz = qw * over_length, qx * over_length, qy * over_length, qz * over_length
    k00, k01, k02 = 1 - 2 * (qy * qy + qz * qz), 2 * (qx * qy - qw * qz), 2 * (qx * qz + qw * qy)
    k10, k11, k12 = 2 * (qx * qy + qw * qz), 1 - 2 * (qx * qx + qz * qz), 2 * (qy * qz - qw * qx)
    k20, k21, k22 = 2 * (qx * qz - qw * qy), 2 * (qy * qz + qw * qx), 1 - 2 * (qx * qx + qy * qy)
    return k00, k01, k02, k10, k11, k12, k20, k21, k22, qw, qx, qy, qz, over_length


@triton.jit
def sizes_of(attributes, count, i, real):
    """Standard deviations along the own axes."""
    return (
        tl.exp2(row_of(attributes, 3, count, i, real) * LOG2E),
        tl.exp2(row_of(attributes, 4, count, i, real) * LOG2E),
        tl.exp2(row_of(attributes, 5, count, i, real) * LOG2E),
    )


@triton.jit
def turned(lens, x, y, z):
    """A point in the head frame, in camera axes about the head's origin."""
    return (
        tl.load(lens + 6) * x + tl.load(lens + 7) * y + tl.load(lens + 8) * z,
        tl.load(lens + 9) * x + tl.load(lens + 10) * y + tl.load(lens + 11) * z,
        tl.load(lens + 12) * x + tl.load(lens + 13) * y + tl.load(lens + 14) * z,
    )


@triton.jit
def jacobian(lens, slope_x, slope_y, scale):
    """Of the projection, times the rotation, 2 x 3; and the slopes as they are limited in it."""
    limit_x, limit_y = tl.load(lens + 3), tl.load(lens + 4)
    bounded_x = tl.minimum(tl.maximum(slope_x, -limit_x), limit_x)
    bounded_y = tl.minimum(tl.maximum(slope_y, -limit_y), limit_y)
    r20, r21, r22 = tl.load(lens + 12), tl.load(lens + 13), tl.load(lens + 14)
    return (
        scale * (tl.load(lens + 6) - bounded_x * r20),
        scale * (tl.load(lens + 7) - bounded_x * r21),
        scale * (tl.load(lens + 8) - bounded_x * r22),
        scale * (tl.load(lens + 9) - bounded_y * r20),
        scale * (tl.load(lens + 10) - bounded_y * r21),
        scale * (tl.load(lens + 11) - bounded_y * r22),
        bounded_x,
        bounded_y,
    )


@triton.jit
def row_times(a, b, c, m00, m01, m02, m10, m11, m12, m20, m21, m22):
    """A row of three times a matrix."""
    return a * m00 + b * m10 + c * m20, a * m01 + b * m11 + c * m21, a * m02 + b * m12 + c * m22


@triton.jit
def covariance(v00, v01, v02, v10, v11, v12):
    """xx, xy, yy and the determinant of V Vᵗ, which is the cross product squared: no difference of large numbers."""
    c0, c1, c2 = v01 * v12 - v02 * v11, v02 * v10 - v00 * v12, v00 * v11 - v01 * v10
    xx, yy = v00 * v00 + v01 * v01 + v02 * v02, v10 * v10 + v11 * v11 + v12 * v12
    return xx, v00 * v10 + v01 * v11 + v02 * v12, yy, c0 * c0 + c1 * c1 + c2 * c2


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp2(-x * LOG2E))


@triton.jit
def _tile_of(pixel, tiles, TILE: tl.constexpr):
    return tl.minimum(tl.maximum(pixel / TILE, 0.0), tiles * 1.0).to(tl.int32)


@triton.jit
def project_kernel(
    attributes, order, lens, packed, boxes, touched, count, columns, rows, TILE: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """A block of Gaussians in the order of blending. What is not finite, behind or too near the camera, or too faint touches
    no tile."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = place < count
    i = tl.load(order + place, mask=real, other=0)
    focal, principal_x, principal_y = tl.load(lens), tl.load(lens + 1), tl.load(lens + 2)
    x, y = row_of(attributes, 0, count, i, real), row_of(attributes, 1, count, i, real)
    x, y, depth = turned(lens, x, y, row_of(attributes, 2, count, i, real))
    x, y, depth = x + tl.load(lens + 15), y + tl.load(lens + 16), depth + tl.load(lens + 17)
    ahead = depth > NEAR
    depth = tl.where(ahead, depth, 1.0)
    slope_x, slope_y, scale = x / depth, y / depth, focal / depth
    j00, j01, j02, j10, j11, j12, _x, _y = jacobian(lens, slope_x, slope_y, scale)
    k00, k01, k02, k10, k11, k12, k20, k21, k22, _w, _qx, _qy, _qz, _l = rotation_of(attributes, count, i, real)
    a, b, c = sizes_of(attributes, count, i, real)
    m00, m01, m02, m10, m11, m12 = k00 * a, k01 * b, k02 * c, k10 * a, k11 * b, k12 * c
    m20, m21, m22 = k20 * a, k21 * b, k22 * c
    v00, v01, v02 = row_times(j00, j01, j02, m00, m01, m02, m10, m11, m12, m20, m21, m22)
    v10, v11, v12 = row_times(j10, j11, j12, m00, m01, m02, m10, m11, m12, m20, m21, m22)
    xx, xy, yy, own = covariance(v00, v01, v02, v10, v11, v12)
    trained = tl.load(lens + 5) * scale
    trained *= trained
    variance = tl.maximum(trained, LOW_PASS)
    before = tl.maximum(own + trained * (xx + yy) + trained * trained, TINY)
    after = tl.maximum(own + variance * (xx + yy) + variance * variance, TINY)
    xx, yy = xx + variance, yy + variance
    fade = tl.minimum((depth - NEAR) / NEAR, 1.0)
    opacity = tl.maximum(sigmoid(row_of(attributes, 10, count, i, real)) * fade, 1e-20)
    log2_opacity = tl.log2(opacity) + 0.5 * tl.log2(before / after)
    px, py = focal * slope_x + principal_x, focal * slope_y + principal_y
    red, green = row_of(attributes, 11, count, i, real), row_of(attributes, 12, count, i, real)
    blue = row_of(attributes, 13, count, i, real)
    # Comparisons with NaN are false.
    drawn = real & ahead & (tl.abs(px) < _MAX_PLACE) & (tl.abs(py) < _MAX_PLACE)
    drawn = drawn & (xx < _MAX_VARIANCE) & (yy < _MAX_VARIANCE) & (tl.abs(xy) < _MAX_VARIANCE)
    drawn = drawn & (log2_opacity > LOG2_CUTOFF) & (log2_opacity < 1.0)
    drawn = drawn & (tl.abs(red) < _MAX_COLOUR) & (tl.abs(green) < _MAX_COLOUR) & (tl.abs(blue) < _MAX_COLOUR)
    at = packed + place * PACKED
    tl.store(at, tl.where(drawn, px, 0.0), mask=real)
    tl.store(at + 1, tl.where(drawn, py, 0.0), mask=real)
    tl.store(at + 2, tl.where(drawn, -0.5 * LOG2E * yy / after, -1.0), mask=real)
    tl.store(at + 3, tl.where(drawn, LOG2E * xy / after, 0.0), mask=real)
    tl.store(at + 4, tl.where(drawn, -0.5 * LOG2E * xx / after, -1.0), mask=real)
    tl.store(at + 5, tl.where(drawn, log2_opacity, LOG2_CUTOFF), mask=real)
    tl.store(at + 6, tl.where(drawn, red, 0.0), mask=real)
    tl.store(at + 7, tl.where(drawn, green, 0.0), mask=real)
    tl.store(at + 8, tl.where(drawn, blue, 0.0), mask=real)
    tl.store(at + 9, depth, mask=real)
    reach = 2.0 / LOG2E * tl.maximum(log2_opacity - LOG2_CUTOFF, 0.0)
    reach = tl.where(drawn, reach, 0.0)
    px, py = tl.where(drawn, px, 0.0), tl.where(drawn, py, 0.0)
    wide, high = tl.sqrt(reach * tl.where(drawn, xx, 0.0)), tl.sqrt(reach * tl.where(drawn, yy, 0.0))
    left, right = _tile_of(px - wide, columns, TILE), _tile_of(px + wide + TILE, columns, TILE)
    top, bottom = _tile_of(py - high, rows, TILE), _tile_of(py + high + TILE, rows, TILE)
    across = right - left
    tl.store(boxes + BOX * place, left, mask=real)
    tl.store(boxes + BOX * place + 1, top, mask=real)
    tl.store(boxes + BOX * place + 2, across, mask=real)
    tl.store(touched + place, tl.where(drawn, tl.maximum(across, 0) * tl.maximum(bottom - top, 0), 0), mask=real)


@triton.jit
def list_kernel(boxes, touched, totals, tiles, owners, count, columns, room, BLOCK: tl.constexpr):
    """Each tile that a Gaussian touches, and the Gaussian's place; `totals` are the sums of `touched`. What has no room is left out."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = place < count
    left = tl.load(boxes + BOX * place, mask=real, other=0)
    top = tl.load(boxes + BOX * place + 1, mask=real, other=0)
    across = tl.maximum(tl.load(boxes + BOX * place + 2, mask=real, other=1), 1)
    number = tl.load(touched + place, mask=real, other=0)
    begin = tl.load(totals + place, mask=real, other=0) - number
    for k in range(tl.max(number, 0)):
        at = begin + k
        here = (k < number) & (at < room)
        tl.store(tiles + at, (top + k // across) * columns + left + k % across, mask=here)
        tl.store(owners + at, place, mask=here)
