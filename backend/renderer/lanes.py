"""Four channels of 8 bits in one word, mixed at once: in lanes of 16 bits, red, blue, green and alpha from the lowest."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit

_LANES, _ROUND, _LOW, _HIGH = (
    np.uint64(value) for value in (0x00FF00FF00FF00FF, 0x0080008000800080, 0x0000000000FF00FF, 0x00000000FF00FF00)
)
_8, _24, _256, _LAST, _WIDEST = (np.uint64(value) for value in (8, 24, 256, 0xFF, 0xFFFF))
RED, BLUE, GREEN, ALPHA = (np.uint64(value) for value in (0, 16, 32, 48))
"""Where a channel's lane begins."""


def packed(image: np.ndarray) -> np.ndarray:
    """(h, w, 4) uint8 as (h, w) uint32, without a copy."""
    return image.view(np.uint32)[..., 0]


@njit(inline="always", error_model="numpy")
def spread(pixel):
    """A packed pixel in lanes."""
    wide = np.uint64(pixel)
    return (wide & _LOW) | ((wide & _HIGH) << _24)


@njit(inline="always", error_model="numpy")
def between(one, other, share):
    """Lanes between `one` (share 0) and `other` (share 256), rounded to 8 bits."""
    return ((one * (_256 - share) + other * share + _ROUND) >> _8) & _LANES


@njit(inline="always", error_model="numpy")
def unrounded_between(one, other, share):
    """256 times that, all 16 bits."""
    return one * (_256 - share) + other * share


@njit(inline="always", error_model="numpy")
def level(lanes, place):
    """One lane; by way of a signed number, which a processor turns into a float in one step."""
    return np.float32(np.int32((lanes >> place) & _LAST))


@njit(inline="always", error_model="numpy")
def wide_level(lanes, place):
    """One lane of 16 bits, likewise."""
    return np.float32(np.int32((lanes >> place) & _WIDEST))
