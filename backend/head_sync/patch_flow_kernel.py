"""Pyramidal Lucas-Kanade matching of square patches, compiled."""

from __future__ import annotations

import math

import numpy as np

from ..compilation.kernel_cache import njit

LANES = 32
"""Columns of a patch are padded to a multiple of this: a constant length becomes vectors without a remainder."""

_SCHARR_SIDE, _SCHARR_MIDDLE = np.float32(3 / 32), np.float32(10 / 32)


@njit(nogil=True, fastmath=True, error_model="numpy")
def sample(image, x, y, patch):
    """Fill `patch` (rows, C) with `image` (H, W) uint8 from (x, y) on, bilinearly."""
    column, row = int(x), int(y)
    right, down = np.float32(x - column), np.float32(y - row)
    left, up = np.float32(1) - right, np.float32(1) - down
    for r in range(patch.shape[0]):
        above, below, out = image[row + r, column:], image[row + r + 1, column:], patch[r]
        for k in range(patch.shape[1]):
            out[k] = up * (left * above[k] + right * above[k + 1]) + down * (left * below[k] + right * below[k + 1])


@njit(nogil=True, fastmath=True, error_model="numpy")
def differentiate(patch, window, by_x, by_y):
    """Scharr's derivatives of `patch` within its border of one pixel, zero beyond `window` columns; returns the sums of
    their products: xx, xy, yy."""
    xx = xy = yy = np.float32(0)
    for r in range(window):
        a, b, c, out_x, out_y = patch[r], patch[r + 1], patch[r + 2], by_x[r], by_y[r]
        for k in range(window):
            corners = a[k + 2] - c[k]
            across = _SCHARR_SIDE * (corners + c[k + 2] - a[k]) + _SCHARR_MIDDLE * (b[k + 2] - b[k])
            down = _SCHARR_SIDE * (c[k + 2] - a[k] - corners) + _SCHARR_MIDDLE * (c[k + 1] - a[k + 1])
            out_x[k], out_y[k] = across, down
            xx += across * across
            xy += across * down
            yy += down * down
    return xx, xy, yy


@njit(nogil=True, fastmath=True, error_model="numpy")
def compare(image, x, y, patch, by_x, by_y, window):
    """Sums of the difference of `image` at (x, y) and the patch, times the patch's derivatives."""
    column, row = int(x), int(y)
    right, down = np.float32(x - column), np.float32(y - row)
    left, up = np.float32(1) - right, np.float32(1) - down
    sum_x = sum_y = np.float32(0)
    for r in range(window):
        for begin in range(0, by_x.shape[1], LANES):
            above, below = image[row + r, column + begin :], image[row + r + 1, column + begin :]
            own, own_x, own_y = patch[r + 1, begin + 1 :], by_x[r, begin:], by_y[r, begin:]
            for k in range(LANES):
                there = up * (left * above[k] + right * above[k + 1]) + down * (left * below[k] + right * below[k + 1])
                difference = there - own[k]
                sum_x += difference * own_x[k]
                sum_y += difference * own_y[k]
    return sum_x, sum_y


@njit(nogil=True, fastmath=True, error_model="numpy")
def distance(image, x, y, patch, window):
    """Mean absolute difference of `image` at (x, y) and the patch."""
    column, row = int(x), int(y)
    right, down = np.float32(x - column), np.float32(y - row)
    left, up = np.float32(1) - right, np.float32(1) - down
    total = np.float32(0)
    for r in range(window):
        above, below, own = image[row + r, column:], image[row + r + 1, column:], patch[r + 1, 1:]
        for k in range(window):
            there = up * (left * above[k] + right * above[k + 1]) + down * (left * below[k] + right * below[k + 1])
            total += abs(there - own[k])
    return total / (window * window)


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
    lanes = (window + LANES - 1) // LANES * LANES
    patch = np.zeros((window + 2, lanes + 2), np.float32)
    by_x, by_y = np.zeros((window, lanes), np.float32), np.zeros((window, lanes), np.float32)
    corner = pad - (window - 1) / 2
    for point in range(len(start)):
        found[point], difference[point] = False, 0.0
        x, y = there[point, 0] / 2, there[point, 1] / 2
        for level in range(2):
            source, target = (small_before, small_after) if level == 0 else (before, after)
            scale = 0.5 if level == 0 else 1.0
            if level == 1:
                x, y = 2 * x, 2 * y
            high_x, high_y = target.shape[1] - lanes - 2, target.shape[0] - window - 2
            from_x, from_y = start[point, 0] * scale + corner, start[point, 1] * scale + corner
            if not (1 <= from_x < source.shape[1] - lanes - 3 and 1 <= from_y < source.shape[0] - window - 3):
                continue
            sample(source, from_x - 1, from_y - 1, patch)
            xx, xy, yy = differentiate(patch, window, by_x, by_y)
            least = (xx + yy - math.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / (2 * window * window)
            if least < least_texture:
                continue
            determinant = xx * yy - xy * xy
            last_x = last_y = 0.0
            inside = True
            for step in range(most_steps):
                inside = 0 <= x + corner < high_x and 0 <= y + corner < high_y
                if not inside:
                    break
                sum_x, sum_y = compare(target, x + corner, y + corner, patch, by_x, by_y, window)
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
            inside = inside and 0 <= x + corner < high_x and 0 <= y + corner < high_y
            if level == 1 and inside:
                found[point] = True
                difference[point] = distance(target, x + corner, y + corner, patch, window)
        there[point, 0], there[point, 1] = x, y
