"""Bars beside or above the image: black ones, or the blurred sides that are put beside a phone's upright video."""

from __future__ import annotations

import cv2
import numpy as np

_SEAM = 4.0
"""How much steeper a bar's edge is than its surroundings: 9 and more there, 1.2 at most in clips without bars."""

_DETAIL = 0.25
"""Fine detail in bars as a share of that between them: 0.07 in blurred sides, 0 in black ones."""

_STEEP = 2.0
"""8-bit levels by which at least half of the edge's length steps."""

_NEAREST, _FARTHEST = 0.02, 0.4
"""Share of the width that each bar takes, at least and at most."""

_AROUND = 12


class BarMeter:
    """Looks for two straight edges, symmetric, constant over the clip, and uniform outside."""

    def __init__(self) -> None:
        self._steps: list[np.ndarray] = []
        self._detail: list[np.ndarray] = []
        self._count = 0

    def see(self, image: np.ndarray) -> None:
        """Take the next sample, (H, W, 3) uint8, always of one size."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2))
        found = [(np.abs(np.diff(part, axis=1)), detail) for part, detail in ((grey, fine), (grey.T, fine.T))]
        if self._count == 0:
            self._steps, self._detail = [step for step, _ in found], [detail for _, detail in found]
        else:
            for total, (step, _) in zip(self._steps, found, strict=True):
                total += step
            self._detail = [total + detail for total, (_, detail) in zip(self._detail, found, strict=True)]
        self._count += 1

    def margins(self) -> tuple[float, float]:
        """Width of the bars left and right, and of those above and below, each a share of the width or height."""
        if not self._count:
            return 0.0, 0.0
        beside, above = (
            _margin(steps / self._count, detail.mean(0) / self._count)
            for steps, detail in zip(self._steps, self._detail, strict=True)
        )
        return beside, above


def _margin(steps: np.ndarray, detail: np.ndarray) -> float:
    """Of bars left and right.

    Args:
        steps: (H, W - 1) mean difference of neighbouring columns.
        detail: (W) mean fine detail of each column.
    """
    width = len(detail)
    profile = np.median(steps, axis=0)
    around = np.array([np.median(profile[max(x - _AROUND, 0) : x + _AROUND + 1]) for x in range(width - 1)])
    edges = np.where(profile > _STEEP, profile / (around + 1.0), 0.0)
    edges = np.maximum(edges, np.maximum(np.append(edges[1:], 0.0), np.append(0.0, edges[:-1])))  # A pixel off is none.
    best, found = _SEAM, 0
    for bar in range(max(round(_NEAREST * width), 4), round(_FARTHEST * width)):
        strength = min(edges[bar - 1], edges[width - 1 - bar])
        outside = np.concatenate([detail[: bar - 3], detail[width - bar + 3 :]]).mean()
        if strength > best and outside < _DETAIL * detail[bar + 3 : width - bar - 3].mean():
            best, found = strength, bar + 2  # Two more, for the edge itself may be soft.
    return found / width
