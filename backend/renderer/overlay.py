"""A layer put over a rendered head, compiled: in NumPy it takes as long as the head itself."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit

_HALF, _BYTE = np.float32(0.5), np.float32(1 / 255)


@njit(fastmath=True, nogil=True, error_model="numpy")
def replace_by(part, parts, rgba, top, left, affine, layer, weight, share):
    """Replace what `rgba` shows by a layer: rgba + share · weight · (layer − rgba), sampled linearly.

    Args:
        part, parts: does every `parts`-th row from row `part` on: threads share the window.
        rgba: (h, w, 4) float32, premultiplied, display-encoded: the window's pixels; changed in place.
        top, left: of the window in the image, pixels.
        affine: (2, 3) float32 from places of the image, x and y, to those of the layer; pixel centres at ½ in both.
        layer: (H, W, 4) uint8, premultiplied; weight: (H, W) uint8, nothing beyond its edges.
        share: of the whole layer, in [0, 1].
    """
    height, width = weight.shape
    for i in range(part, rgba.shape[0], parts):
        y = np.float32(top + i) + _HALF
        for j in range(rgba.shape[1]):
            x = np.float32(left + j) + _HALF
            u = affine[0, 0] * x + affine[0, 1] * y + affine[0, 2] - _HALF
            v = affine[1, 0] * x + affine[1, 1] * y + affine[1, 2] - _HALF
            if u < 0 or v < 0 or u > width - 1 or v > height - 1:
                continue
            column, row = min(int(u), width - 2), min(int(v), height - 2)
            if rgba[i, j, 3] == 0 and not (
                layer[row, column, 3]
                | layer[row, column + 1, 3]
                | layer[row + 1, column, 3]
                | layer[row + 1, column + 1, 3]
            ):
                continue  # nothing by nothing
            u -= np.float32(column)
            v -= np.float32(row)
            w00, w01 = (1 - u) * (1 - v), u * (1 - v)
            w10, w11 = (1 - u) * v, u * v
            counts = (
                w00 * weight[row, column]
                + w01 * weight[row, column + 1]
                + w10 * weight[row + 1, column]
                + w11 * weight[row + 1, column + 1]
            )
            if counts <= 0:
                continue
            counts *= share * _BYTE
            for c in range(4):
                shown = (
                    w00 * layer[row, column, c]
                    + w01 * layer[row, column + 1, c]
                    + w10 * layer[row + 1, column, c]
                    + w11 * layer[row + 1, column + 1, c]
                )
                rgba[i, j, c] += counts * (shown * _BYTE - rgba[i, j, c])
