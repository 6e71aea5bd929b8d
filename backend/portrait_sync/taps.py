"""How pixels of an image are interpolated from those of another, apart for rows and columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_CUBIC = -0.75
"""The slope of the cubic that `cv2.INTER_CUBIC` has."""
_PARTS, _STEPS = 1024, 32
"""To which part of a pixel a place is calculated, and then rounded, as by `cv2.warpAffine`."""


class Taps(NamedTuple):
    """Of each pixel in a row, or each row: (n, 4) int32 places in the other image, and (n, 4) float32, how much each counts."""

    places: np.ndarray
    weights: np.ndarray

    @classmethod
    def at(cls, origin: float, step: float, count: int, length: int) -> Taps:
        """At origin + step · (k + ½) for k from 0 to `count`, pixel centres at ½; beyond the other's `length` its edges are repeated.

        Cubic for a step of up to 1, linear for larger ones, as `blend.resample`.
        """
        parts = np.rint(_PARTS * step * np.arange(count)) + np.rint(_PARTS * (origin + 0.5 * step - 0.5))
        at = np.floor(parts * _STEPS / _PARTS + 0.5) / _STEPS
        first = np.floor(at)
        x = at - first
        if step > 1:
            weights = [0 * x, 1 - x, x, 0 * x]
        else:
            outer, inner = (
                lambda d: ((_CUBIC * d - 5 * _CUBIC) * d + 8 * _CUBIC) * d - 4 * _CUBIC,
                lambda d: ((_CUBIC + 2) * d - (_CUBIC + 3)) * d * d + 1,
            )
            weights = [outer(1 + x), inner(x), inner(1 - x), outer(2 - x)]
        places = first[:, None] + np.arange(-1, 3)
        return cls(np.clip(places, 0, length - 1).astype(np.int32), np.stack(weights, 1).astype(np.float32))
