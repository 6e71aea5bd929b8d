"""Pyramidal Lucas-Kanade matching of square patches, compiled.

A patch is a flat array whose rows are `stride` long, so that each loop over it is one long loop of vectors; beyond the patch's own
columns its derivatives are zero. Within one pixel of the image the residual's sums are bilinear in the place: four sums there
serve every step that stays within it.
"""

from __future__ import annotations

import math

import numpy as np

from ..compilation.kernel_cache import njit

LANES = 16
"""Rows of a patch are padded to a multiple of this."""

_SCHARR_SIDE, _SCHARR_MIDDLE = np.float32(3 / 32), np.float32(10 / 32)
_ZERO, _ONE = np.float32(0), np.float32(1)
_NOTHING = (_ZERO, _ZERO, _ZERO, _ZERO)


@njit(nogil=True, fastmath=True, error_model="numpy")
def load(image, column, row, rows, stride, pixels):
    """Copy `rows` rows of `stride` pixels of `image` (H, W) uint8 to the flat `pixels`."""
    for r in range(rows):
        line, out = image[row + r, column : column + stride], pixels[r * stride : (r + 1) * stride]
        for k in range(len(line)):
            out[k] = np.float32(line[k])


@njit(nogil=True, fastmath=True, error_model="numpy")
def sample(pixels, right, down, stride, patch):
    """Fill `patch` with `pixels` shifted bilinearly by a part of a pixel."""
    left, up = _ONE - right, _ONE - down
    above, below = pixels, pixels[stride:]
    for k in range(len(patch)):
        upper, lower = left * above[k] + right * above[k + 1], left * below[k] + right * below[k + 1]
        patch[k] = up * upper + down * lower


@njit(nogil=True, fastmath=True, error_model="numpy")
def differentiate(patch, stride, inside, by_x, by_y):
    """Scharr's derivatives of `patch` within its border of one pixel, times `inside`; returns the sums of their products: xx, xy, yy."""
    xx = xy = yy = _ZERO
    a, b, c = patch, patch[stride:], patch[2 * stride :]
    for k in range(len(by_x)):
        corners = a[k + 2] - c[k]
        x = inside[k] * (_SCHARR_SIDE * (corners + c[k + 2] - a[k]) + _SCHARR_MIDDLE * (b[k + 2] - b[k]))
        y = inside[k] * (_SCHARR_SIDE * (c[k + 2] - a[k] - corners) + _SCHARR_MIDDLE * (c[k + 1] - a[k + 1]))
        by_x[k], by_y[k] = x, y
        xx += x * x
        xy += x * y
        yy += y * y
    return xx, xy, yy


@njit(nogil=True, fastmath=True, error_model="numpy")
def correlate(pixels, stride, patch, by_x, by_y):
    """Sums of the difference of `pixels` and the patch, times the patch's derivatives by x, four for the place of `pixels`,
    one to the right, one below, and both; and by y."""
    x0 = x1 = x2 = x3 = y0 = y1 = y2 = y3 = _ZERO
    above, lower, own = pixels, pixels[stride:], patch[stride + 1 :]  # within the border
    for k in range(len(by_x)):
        here, right, below, both = above[k], above[k + 1], lower[k], lower[k + 1]
        x0 += (here - own[k]) * by_x[k]
        x1 += (right - own[k]) * by_x[k]
        x2 += (below - own[k]) * by_x[k]
        x3 += (both - own[k]) * by_x[k]
        y0 += (here - own[k]) * by_y[k]
        y1 += (right - own[k]) * by_y[k]
        y2 += (below - own[k]) * by_y[k]
        y3 += (both - own[k]) * by_y[k]
    return (x0, x1, x2, x3), (y0, y1, y2, y3)


@njit(nogil=True, fastmath=True, error_model="numpy")
def between(corners, right, down):
    """Bilinear interpolation of four sums."""
    above = (_ONE - right) * corners[0] + right * corners[1]
    return (_ONE - down) * above + down * ((_ONE - right) * corners[2] + right * corners[3])


@njit(nogil=True, fastmath=True, error_model="numpy")
def distance(moved, stride, inside, patch):
    """Sum of the absolute differences of `moved`, sampled without a border, and the patch, times `inside`."""
    total, own = _ZERO, patch[stride + 1 :]
    for k in range(len(inside)):
        total += inside[k] * abs(moved[k] - own[k])
    return total


@njit(nogil=True, error_model="numpy")
def match_patches(
    before, small_before, after, small_after, pad, start, there, found, difference, window, limits, precision
):
    """Find the patches of one image in another, at half the size first (Bouguet 2001, as OpenCV has it).

    Args:
        before, small_before, after, small_after: (H, W) uint8, the images and their halves, each with a border of `pad`.
        start: (K, 2) float64, the patches' centres, OpenCV's pixels. there: (K, 2) the guess; becomes the answer.
        found: (K) bool, written: False where there is too little texture, or the patch leaves the image.
        difference: (K) float32, written: the mean absolute difference, 8-bit levels.
        window: odd side of a patch. limits: the most steps, and the least eigenvalue of the mean product of derivatives.
        precision: of half the size, then of the full one: a step of less, in its pixels, is the last.
    """
    most_steps, least_texture = limits
    stride = (window + 3 + LANES - 1) // LANES * LANES
    pixels, patch = np.zeros((window + 5) * stride, np.float32), np.zeros((window + 2) * stride, np.float32)
    # Without the end of the last row, of which nothing is inside: what reads two pixels further stays within the arrays.
    count = window * stride - 2
    by_x, by_y, moved = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32)
    inside = np.zeros(count, np.float32)
    for k in range(count):
        inside[k] = k % stride < window
    corner = pad - (window - 1) / 2
    for point in range(len(start)):
        found[point], difference[point] = False, 0.0
        x, y = there[point, 0] / 2, there[point, 1] / 2
        for level in range(2):
            source, target = (small_before, small_after) if level == 0 else (before, after)
            scale = 0.5 if level == 0 else 1.0
            if level == 1:
                x, y = 2 * x, 2 * y
            high_x, high_y = target.shape[1] - stride - 2, target.shape[0] - window - 2
            from_x, from_y = start[point, 0] * scale + corner, start[point, 1] * scale + corner
            if not (1 <= from_x < source.shape[1] - stride - 3 and 1 <= from_y < source.shape[0] - window - 3):
                continue
            column, row = int(from_x) - 1, int(from_y) - 1
            load(source, column, row, window + 3, stride, pixels)
            sample(pixels, np.float32(from_x - 1 - column), np.float32(from_y - 1 - row), stride, patch)
            xx, xy, yy = differentiate(patch, stride, inside, by_x, by_y)
            least = (xx + yy - math.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / (2 * window * window)
            if least < least_texture:
                continue
            determinant = xx * yy - xy * xy
            last_x = last_y = 0.0
            left = top = column = row = -9
            by_column = by_row = _NOTHING
            within = True
            for step in range(most_steps):
                at_x, at_y = x + corner, y + corner
                within = 1 <= at_x < high_x and 1 <= at_y < high_y
                if not within:
                    break
                if int(at_x) != column or int(at_y) != row:
                    column, row = int(at_x), int(at_y)
                    if not (0 <= column - left <= 2 and 0 <= row - top <= 2):
                        left, top = column - 1, row - 1
                        load(target, left, top, window + 3, stride, pixels)
                    by_column, by_row = correlate(
                        pixels[(row - top) * stride + column - left :], stride, patch, by_x, by_y
                    )
                right, down = np.float32(at_x - column), np.float32(at_y - row)
                sum_x, sum_y = between(by_column, right, down), between(by_row, right, down)
                move_x = (xy * sum_y - yy * sum_x) / determinant
                move_y = (xy * sum_x - xx * sum_y) / determinant
                x += move_x
                y += move_y
                if move_x * move_x + move_y * move_y <= precision[level] * precision[level]:
                    break
                if (
                    step > 0 and abs(move_x + last_x) < 0.01 and abs(move_y + last_y) < 0.01
                ):  # it swings about the answer
                    x -= move_x / 2
                    y -= move_y / 2
                    break
                last_x, last_y = move_x, move_y
            at_x, at_y = x + corner, y + corner
            if level == 1 and within and 1 <= at_x < high_x and 1 <= at_y < high_y:
                found[point] = True
                column, row = int(at_x), int(at_y)
                load(target, column, row, window + 1, stride, pixels)
                sample(pixels, np.float32(at_x - column), np.float32(at_y - row), stride, moved)
                difference[point] = distance(moved, stride, inside, patch) / (window * window)
        there[point, 0], there[point, 1] = x, y
