"""The loss of a drawn image against a frame with its matte, and its gradient."""

from __future__ import annotations

import numpy as np

from ....compilation.kernel_cache import njit

_F = np.float32


@njit(fastmath=True, nogil=True, error_model="numpy")
def loss_gradient(image, colour, alpha, x0, y0, mouth, mouth_weight, weight, gradient):
    """Squared error, in expectation over a background of any colour: its sum over pixels and channels.

    A background b, even in [0, 1], shows through what is not opaque: the difference of the two composites is d - e b, with d
    the difference of premultiplied colour and e that of alpha, and E[(d - e b)²] = d² - d e + e² / 3. So the matte teaches alpha
    without the noise of a drawn background.

    Args:
        image: (H, W, 4) float32, premultiplied.
        colour, alpha: (h, w, 3) and (h, w) uint8, straight, of the part of the frame whose corner is at x0, y0; alpha is 0
            elsewhere.
        mouth: (4) x0, y0, x1, y1 in the image, where an error weighs `mouth_weight`.
        weight: of everything.
        gradient: (H, W, 4), of the loss by `image`; written.
    """
    height, width = image.shape[0], image.shape[1]
    rows, columns = alpha.shape
    scale, third = _F(1 / 255), _F(1 / 3)
    total = _F(0)
    for y in range(height):
        row = y - y0
        for x in range(width):
            column = x - x0
            inside = row >= 0 and column >= 0 and row < rows and column < columns
            drawn = image[y, x, 3]
            if not inside and drawn == _F(0):
                for c in range(4):
                    gradient[y, x, c] = _F(0)
                continue
            true = _F(0)
            if inside:
                true = _F(alpha[row, column]) * scale
            w = weight
            if x >= mouth[0] and x < mouth[2] and y >= mouth[1] and y < mouth[3]:
                w = weight * mouth_weight
            e = drawn - true
            by_alpha = _F(0)
            for c in range(3):
                target = _F(0)
                if inside:
                    target = _F(colour[row, column, c]) * scale * true
                d = image[y, x, c] - target
                total += w * (d * d - d * e + e * e * third)
                by_alpha += _F(2) * third * e - d
                gradient[y, x, c] = w * (_F(2) * d - e)
            gradient[y, x, 3] = w * by_alpha
    return total
