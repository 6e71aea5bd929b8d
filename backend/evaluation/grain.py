"""Grain: fine detail that a head shows at poses and shapes outside of its clip, and not at those of its clip.

Detail is what a median of 5x5 pixels takes away, inside of the head. A sharp head has much of it at all poses, in hair and
teeth; so what counts is its ratio to the same head's detail at the clip's own poses and shapes. Coloured specks, the usual
fault, are nearly all of the detail in chroma: that is the best sign.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..renderer.head import HeadRenderer
from ..workspace.camera import Camera
from ..workspace.shapes import Float
from .head_sweep import Condition, drawn, over_grey

MEASURES = ("luminance_rms", "luminance_p99", "chroma_rms", "chroma_p99")
"""Columns of what is measured of an image: root of the mean square and 99th percentile of the detail, in [0, 1]."""

_MEDIAN = 5
_SOLID = 0.9
"""Alpha inside of the head."""
_EDGE = 5
"""Side of the square by which the inside ends before the silhouette, pixels."""
_LEAST = 1e-3
"""Added to both sides of a ratio, a quarter of a grey level: of a head without detail nothing follows from less."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CHROMA = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
"""Of ITU-R BT.601, full range."""


@dataclass(frozen=True)
class Grain:
    """Detail at the clip's poses and shapes, and at others.

    Attributes:
        names: of the others.
        trained, outside: a row an image, columns `MEASURES`; NaN where no head is in the image.
    """

    names: tuple[str, ...]
    trained: Float[np.ndarray, "frames 4"]
    outside: Float[np.ndarray, "conditions 4"]

    def of(self, names: Collection[str]) -> Grain:
        """The same at some of the others."""
        chosen = [place for place, name in enumerate(self.names) if name in names]
        return Grain(tuple(self.names[place] for place in chosen), self.trained, self.outside[chosen])

    @property
    def ratios(self) -> Float[np.ndarray, "conditions 4"]:
        """Detail outside over the median of the clip's; 1 where it is the same."""
        return (self.outside + _LEAST) / (np.nanmedian(self.trained, axis=0) + _LEAST)

    @property
    def trained_ratios(self) -> Float[np.ndarray, "frames 4"]:
        """The clip's own frames over their median: what is no grain."""
        return (self.trained + _LEAST) / (np.nanmedian(self.trained, axis=0) + _LEAST)

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """By measure: the median, 95th percentile and largest ratio, where that is, and the clip's own 95th percentile."""
        found = {}
        for column, measure in enumerate(MEASURES):
            ratios, own = self.ratios[:, column], self.trained_ratios[:, column]
            known = np.flatnonzero(np.isfinite(ratios))
            if not len(known):
                continue
            worst = int(known[np.argmax(ratios[known])])
            found[measure] = {
                "median": round(float(np.median(ratios[known])), 3),
                "p95": round(float(np.percentile(ratios[known], 95)), 3),
                "largest": round(float(ratios[worst]), 3),
                "at": self.names[worst],
                "trained_p95": round(float(np.nanpercentile(own, 95)), 3),
            }
        return found


def detail(rgba: Float[np.ndarray, "height width 4"]) -> Float[np.ndarray, " 4"]:
    """`MEASURES` of one premultiplied image before grey; NaN without a head in it."""
    solid = cv2.erode((rgba[..., 3] > _SOLID).astype(np.uint8), np.ones((_EDGE, _EDGE), np.uint8)) > 0
    if not solid.any():
        return np.full(len(MEASURES), np.nan)
    image = over_grey(rgba)
    planes = [np.ascontiguousarray(image @ weights) for weights in (_LUMA, *_CHROMA)]
    luminance, *chroma = ((plane - cv2.medianBlur(plane, _MEDIAN))[solid] for plane in planes)
    return np.array([value for size in (np.abs(luminance), np.hypot(*chroma)) for value in _size_of(size)])


def _size_of(values: np.ndarray) -> tuple[float, float]:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2))), float(np.percentile(values, 99))


def grain(renderer: HeadRenderer, camera: Camera, trained: Sequence[Condition], outside: Sequence[Condition]) -> Grain:
    """Measure a head.

    Args:
        trained: of the frames that the head was trained on.
        outside: poses and shapes that the clip does not show.
    """
    trained_detail, outside_detail = (
        np.array([detail(image.rgba) for image in drawn(renderer, camera, conditions)]).reshape(-1, len(MEASURES))
        for conditions in (trained, outside)
    )
    return Grain(tuple(condition.name for condition in outside), trained_detail, outside_detail)
