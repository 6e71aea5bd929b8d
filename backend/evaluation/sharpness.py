"""How sharp a rendered frame is, against the true one, in the mouth, the eyes and the hair."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

from ..workspace.landmarks import LEFT_EYE, LIPS, RIGHT_EYE
from ..workspace.shapes import Float, UInt8
from .landmarks import box_around

PARTS = ("mouth", "eyes", "hair")
_MARGIN = 0.35
_HAIR = 127


def gradient_energy(image: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width"]:
    """Square of the luminance's gradient at each pixel, (grey levels a pixel)²; central differences."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    rows, columns = np.gradient(grey)
    return rows**2 + columns**2


def sharpness(
    predicted: UInt8[np.ndarray, "height width 3"],
    truth: UInt8[np.ndarray, "height width 3"],
    landmarks: Float[np.ndarray, "478 2"],
    hair: UInt8[np.ndarray, "height width"],
) -> dict[str, float]:
    """Gradient energy of the rendered frame over that of the true one, by part: 1 when equally sharp, less when blurred.

    Noise of the footage counts as gradient of the true frame, so that even a perfect head stays below 1.

    Args:
        landmarks: of the true frame, pixels.
        hair: matte of the hair.

    Returns:
        NaN for a part that the frame does not show.
    """
    drawn, real = gradient_energy(predicted), gradient_energy(truth)
    size = (truth.shape[1], truth.shape[0])
    shown: dict[str, list[np.ndarray]] = {"mouth": [], "eyes": [], "hair": [hair > _HAIR]}
    for part, organs in (("mouth", (LIPS,)), ("eyes", (LEFT_EYE, RIGHT_EYE))):
        for organ in organs:
            if box := box_around(landmarks[list(organ)], size, _MARGIN):
                inside = np.zeros(truth.shape[:2], bool)
                inside[box] = True
                shown[part].append(inside)
    return {part: _ratio(drawn, real, masks) for part, masks in shown.items()}


def mean_sharpness(rows: Iterable[dict[str, float]]) -> dict[str, float | None]:
    """Mean over frames that show the part; None where none does."""
    table = list(rows)
    means: dict[str, float | None] = {}
    for part in PARTS:
        known = [row[part] for row in table if math.isfinite(row[part])]
        means[part] = round(float(np.mean(known)), 3) if known else None
    return means


def _ratio(drawn: np.ndarray, real: np.ndarray, masks: list[np.ndarray]) -> float:
    inside = np.logical_or.reduce(masks) if masks else np.zeros(real.shape, bool)
    energy = float(real[inside].sum(dtype=np.float64))
    return float(drawn[inside].sum(dtype=np.float64)) / energy if energy > 0 else math.nan
