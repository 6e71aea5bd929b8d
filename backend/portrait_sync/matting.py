"""Soft person matte: what the network sees, made exact by the known background.

With the background B known and the foreground's colour F estimated from the person nearby, the pixel I = αF + (1−α)B
gives α = (I−B)·(F−B) / |F−B|² (difference matting). It is only as good as F and B differ, so it is mixed with the
network's matte by how much they do.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .fill import disc, push_pull, smoothstep


@dataclass(frozen=True)
class Bands:
    """Widths around the network's border in pixels of the frame, within which alpha is open."""

    inner: float
    outer: float


def person_alpha(
    frame: np.ndarray,
    background: np.ndarray,
    known: np.ndarray,
    probability: np.ndarray,
    bands: Bands,
    noise: np.ndarray,
) -> np.ndarray:
    """Soft matte of the person.

    Args:
        frame: (H, W, 3) uint8.
        background: (H, W, 3) float32, 0 to 255, as it is in this frame.
        known: (h, w) float32, 1 where the background was really seen, at half the frame's size.
        probability: (h, w) float32, the network's person probability at half size.
        bands: how far from the network's border alpha may differ from it.
        noise: (h, w) float32, standard deviation of the background in 8-bit levels.

    Returns:
        (H, W) float32 in [0, 1].
    """
    height, width = frame.shape[:2]
    half = probability.shape[::-1]
    small = cv2.resize(frame, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    small_background = cv2.resize(background, half, interpolation=cv2.INTER_AREA)

    inside = cv2.erode((probability > 0.6).astype(np.uint8), disc(bands.inner / 2))
    near = (probability > 0.3).astype(np.uint8)
    distance = cv2.distanceTransform(1 - near, cv2.DIST_L2, 3) * (2.0 / bands.outer)  # 1 at the outer end of the band
    sure_colour = cv2.erode((probability > 0.8).astype(np.uint8), disc(bands.inner / 4)).astype(np.float32)
    foreground = push_pull(small, sure_colour)
    foreground = cv2.GaussianBlur(foreground, (0, 0), 1.5)

    difference = foreground - small_background
    contrast = np.einsum("hwc,hwc->hw", difference, difference)
    reliability = known * contrast / (contrast + (12.0 * noise) ** 2)
    coefficients = difference / (contrast + noise**2)[..., None]
    # What is too faint to tell from noise and compression is none; far from the person more is asked for.
    floor = 0.02 + 2.0 * noise / np.sqrt(contrast + noise**2) + 0.4 * distance**2

    full = (width, height)
    change = frame.astype(np.float32) - background
    measured = np.einsum("hwc,hwc->hw", change, cv2.resize(coefficients, full))
    # What is neither F nor B nor between (an earring, a bright strand) is foreground as well: judged by its distance
    # from that line.
    contrast = cv2.resize(contrast, full)
    mixed = np.maximum(measured, 0.0)
    aside = np.einsum("hwc,hwc->hw", change, change) + (mixed * mixed - 2.0 * mixed * measured) * contrast
    aside = np.sqrt(np.maximum(aside, 0.0) / (contrast + 30.0**2))
    floor = np.minimum(cv2.resize(floor, full), 0.6)
    measured = np.clip((measured - floor) / (0.92 - floor), 0.0, 1.0)
    measured = np.maximum(measured, smoothstep(0.25 + floor, 0.6 + floor, aside))
    alpha = cv2.resize(probability, full)
    alpha = alpha + cv2.resize(reliability, full) * (measured - alpha)
    alpha[cv2.resize(distance, full) > 1.0] = 0.0
    return np.maximum(alpha, cv2.resize(inside.astype(np.float32), full))
