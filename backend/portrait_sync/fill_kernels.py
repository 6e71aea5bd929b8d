"""The loops of `fill.push_pull`, of `fill.dilated` and of `background.match_to_frame`, compiled.

A level is (H, W, C + 1) float32: colours multiplied with their weight, then the weight."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit

_ONE = np.float32(1)


@njit(nogil=True, error_model="numpy")
def premultiply(values, weights, level):
    """Write the finest level of values (H, W, C) float32 and weights (H, W) float32."""
    channels = values.shape[2]
    for row in range(level.shape[0]):
        for column in range(level.shape[1]):
            weight = weights[row, column]
            for channel in range(channels):
                level[row, column, channel] = values[row, column, channel] * weight
            level[row, column, channels] = weight


@njit(nogil=True, error_model="numpy")
def normalise(level):
    """Count a coarse pixel as known when a quarter of it is; its colour stays the weighted mean."""
    channels = level.shape[2] - 1
    for row in range(level.shape[0]):
        for column in range(level.shape[1]):
            weight = level[row, column, channels]
            gain = min(_ONE / max(weight, np.float32(0.25)), _ONE / max(weight, np.float32(1e-6)))
            for channel in range(channels + 1):
                level[row, column, channel] *= gain


@njit(nogil=True, error_model="numpy")
def blend(level, filled):
    """Put a level's colours over those that were filled in coarser, (H, W, C) float32; `filled` becomes the result."""
    channels = level.shape[2] - 1
    for row in range(level.shape[0]):
        for column in range(level.shape[1]):
            rest = _ONE - level[row, column, channels]
            for channel in range(channels):
                filled[row, column, channel] = level[row, column, channel] + rest * filled[row, column, channel]


@njit(nogil=True, error_model="numpy")
def add_light(background, change):
    """Put a background (H, W, 3) uint8 in the light of a frame: `change` (H, W, 3) float32 becomes the result, 0 to 255."""
    levels, result = background.ravel(), change.ravel()
    for k in range(len(result)):
        result[k] = min(max(np.float32(levels[k]) + result[k], np.float32(0)), np.float32(255))


@njit(nogil=True, error_model="numpy")
def dilate_rows(image, halves, rows, out):
    """The largest value within an element that has no gaps in its rows; beyond the image is nothing.

    Args:
        image: (H, W) uint8.
        halves, rows: (2n + 1) int of each row of the element: how far it reaches to both sides, rising, and how far below its middle it is.
        out: (H, W) uint8 of zeros; becomes the result.
    """
    height, width = image.shape
    reach = halves[-1]
    padded, largest = np.zeros(width + 2 * reach, np.uint8), np.empty(width, np.uint8)
    for row in range(height):
        line, found = image[row], np.uint8(0)
        for column in range(width):
            found |= line[column]
        if found == 0:
            continue
        largest[:] = line
        padded[reach : reach + width] = line
        half = 0
        for k in range(halves.size):
            while half < halves[k]:
                half += 1
                before, after = padded[reach - half : reach - half + width], padded[reach + half : reach + half + width]
                for column in range(width):
                    largest[column] = max(largest[column], max(before[column], after[column]))
            target = row + rows[k]
            if 0 <= target < height:
                grown = out[target]
                for column in range(width):
                    grown[column] = max(grown[column], largest[column])


def compile_kernels() -> None:
    """Compile or read what `push_pull` and `dilated` call."""
    mask, one = np.zeros((2, 2), np.uint8), np.zeros(1, np.int64)
    dilate_rows(mask, one, one, mask.copy())
    level, filled = np.zeros((2, 2, 4), np.float32), np.zeros((2, 2, 3), np.float32)
    premultiply(filled, level[..., 0].copy(), level)
    normalise(level)
    blend(level, filled)
    add_light(np.zeros((2, 2, 3), np.uint8), filled)
