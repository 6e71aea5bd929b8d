"""How a person's face rests and how far it moves: the measure of both sides of a retargeting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..workspace.shapes import Float
from .parts import BLINKS, BOTH_WAYS, MIRRORED, OPPOSITES

_REST, _REACH, _BLINK_REACH = 0.10, 0.98, 0.995
"""Quantiles: a mouth that speaks rests seldom, and a blink is shut for few frames. What moves both ways rests at the median."""


def as_motions(shapes: Float[np.ndarray, "n 52"]) -> Float[np.ndarray, "n 52"]:
    """Opposite shapes as one signed motion in the place of the first, and what both share in that of the second."""
    motions = np.array(shapes, np.float64)
    for one, other in OPPOSITES:
        motions[:, one] = shapes[:, one] - shapes[:, other]
        motions[:, other] = np.minimum(shapes[:, one], shapes[:, other])
    return motions


def as_shapes(motions: Float[np.ndarray, "n 52"]) -> Float[np.ndarray, "n 52"]:
    """The inverse of `as_motions`."""
    shapes = np.array(motions)
    for one, other in OPPOSITES:
        shapes[:, one] = motions[:, other] + np.maximum(motions[:, one], 0)
        shapes[:, other] = motions[:, other] + np.maximum(-motions[:, one], 0)
    return shapes


@dataclass(frozen=True)
class PersonRange:
    """Of motions (`as_motions`).

    Attributes:
        rest: where the face rests.
        reach: how far up from there it usually moves; equal on both sides of the face.
        fall: how far down, of what moves both ways; likewise.
        lowest, highest: what was seen.
    """

    rest: Float[np.ndarray, " 52"]
    reach: Float[np.ndarray, " 52"]
    fall: Float[np.ndarray, " 52"]
    lowest: Float[np.ndarray, " 52"]
    highest: Float[np.ndarray, " 52"]

    @classmethod
    def of(cls, shapes: Float[np.ndarray, "n 52"]) -> PersonRange:
        """From the shapes of a person's frames."""
        motions = as_motions(shapes)
        low, rest, high = np.quantile(motions, (1 - _REACH, _REST, _REACH), axis=0)
        high[BLINKS] = np.quantile(motions[:, BLINKS], _BLINK_REACH, axis=0)
        rest[BOTH_WAYS] = np.median(motions[:, BOTH_WAYS], axis=0)
        reach, fall = high - rest, rest - low
        for left, right in MIRRORED:
            for way in (reach, fall):
                way[left] = way[right] = (way[left] + way[right]) / 2
        return cls(rest, reach, fall, motions.min(0), motions.max(0))
