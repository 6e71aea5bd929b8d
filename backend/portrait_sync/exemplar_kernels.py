"""The loop of `exemplar.Exemplars.best`, compiled."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit

_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(nogil=True, error_model="numpy")
def best_source(image, sources, filled, place, radius, reach, limit, worst, prices, change):
    """Find the patch that is most like what is known of the patch around `place`.

    Args:
        image: (H, W, 3) float32.
        sources, filled: (H, W) bool, where centres of patches to copy are, and what is known.
        place: (2) int, row and column.
        radius, reach: int, of a patch, and of the search.
        limit: float32, by how much a channel may be changed.
        worst: float32, the cost of a pixel from which on a patch is none.
        prices: (3) float32, of such a change squared, of the distance in reaches, and of how unlike what is not known is.
        change: (3) float32; becomes what the patch's colour is changed by.

    Returns:
        Row and column of its centre; -1 where there is none.
    """
    height, width = filled.shape
    row, column = place
    top, bottom = max(-radius, -row), min(radius, height - 1 - row)
    left, right = max(-radius, -column), min(radius, width - 1 - column)
    found_row, found_column = -1, -1
    best = worst * np.float32(filled[row + top : row + bottom + 1, column + left : column + right + 1].sum())
    for source_row in range(max(0, row - reach), min(height, row + reach + 1)):
        for source_column in range(max(0, column - reach), min(width, column + reach + 1)):
            if not sources[source_row, source_column]:
                continue
            away = np.float32((source_row - row) ** 2 + (source_column - column) ** 2)
            dearer = _ONE + prices[1] * np.sqrt(away) / np.float32(reach)
            count = first = second = third = square = unlike = _ZERO
            hopeless = False
            for y in range(top, bottom + 1):
                for x in range(left, right + 1):
                    there = image[source_row + y, source_column + x]
                    here = image[row + y, column + x]
                    a, b, c = here[0] - there[0], here[1] - there[1], here[2] - there[2]
                    if not filled[row + y, column + x]:
                        unlike += prices[2] * (a * a + b * b + c * c)
                    else:
                        first, second, third = first + a, second + b, third + c
                        square += a * a + b * b + c * c
                        count += _ONE
                # The sum of squares about the mean only grows, whatever the change will be.
                means = (first * first + second * second + third * third) / max(count, _ONE)
                if dearer * (square - means + unlike) > best:
                    hopeless = True
                    break
            if hopeless:
                continue
            a, b, c = (
                min(max(first / count, -limit), limit),
                min(max(second / count, -limit), limit),
                min(max(third / count, -limit), limit),
            )
            changed = a * a + b * b + c * c
            cost = square - np.float32(2) * (first * a + second * b + third * c) + (_ONE + prices[0]) * count * changed
            cost += unlike
            if dearer * cost < best:
                best, found_row, found_column = dearer * cost, source_row, source_column
                change[0], change[1], change[2] = a, b, c
    return found_row, found_column


def compile_kernels() -> None:
    """Compile or read what `exemplar.continue_into` calls."""
    image, mask = np.zeros((2, 2, 3), np.float32), np.ones((2, 2), bool)
    one, prices = np.float32(1), np.ones(3, np.float32)
    best_source(image, mask, mask, (0, 0), 0, 1, one, one, prices, prices.copy())
