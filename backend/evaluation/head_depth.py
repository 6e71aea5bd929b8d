"""How far the surfaces of two heads lie apart, as the camera sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..renderer.head import HeadRenderer, RenderedHead
from ..workspace.camera import Camera
from .head_sweep import Condition, drawn

_OPAQUE = 0.9
"""Alpha from which a pixel's depth is that of a surface."""


@dataclass(frozen=True)
class DepthDifference:
    """Of all pixels in which both heads are opaque; NaN where there is none.

    Attributes:
        median_m, p95_m: of the absolute difference, metres.
        bias_m: median of the first head's depth less the other's, metres: positive where it lies further away.
        pixels: how many were compared.
    """

    median_m: float
    p95_m: float
    bias_m: float
    pixels: int


def depth_difference(
    one: HeadRenderer, other: HeadRenderer, camera: Camera, conditions: Sequence[Condition]
) -> DepthDifference:
    """Compare the depth of two heads, metres along each pixel's ray, at the same poses and shapes."""
    found = np.concatenate([_difference(one, other, camera, [at]) for at in conditions] or [np.zeros(0)])
    if not len(found):
        return DepthDifference(float("nan"), float("nan"), float("nan"), 0)
    size = np.abs(found)
    return DepthDifference(float(np.median(size)), float(np.percentile(size, 95)), float(np.median(found)), len(found))


def _difference(one: HeadRenderer, other: HeadRenderer, camera: Camera, at: Sequence[Condition]) -> np.ndarray:
    (inside, depth_m), (other_inside, other_depth_m) = (
        _surface(next(drawn(head, camera, at, passes=True))) for head in (one, other)
    )
    both = inside & other_inside
    return (depth_m[both] - other_depth_m[both]).astype(np.float64)


def _surface(image: RenderedHead) -> tuple[np.ndarray, np.ndarray]:
    """Where the head is opaque, and its depth."""
    assert image.depth_m is not None
    return image.rgba[..., 3] > _OPAQUE, image.depth_m.copy()
