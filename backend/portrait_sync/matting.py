"""Soft person matte: the network's, refined by the known background.

With the background B known and the foreground's colour F estimated from the person nearby, the pixel I = αF + (1−α)B
gives α = (I−B)·(F−B) / |F−B|² (difference matting). It is only as good as F and B differ, and the network's only as good as the
network: both are measurements of one α with a variance, and are mixed by the inverse of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..compilation import has_numba
from ..workspace.arrays import smoothstep
from .fill import disc, push_pull
from .pixels import dot, times

SHADE_RIDGE = 0.3
MEASURED_SIGMA = 0.05
"""Standard deviation of a measured α beside that by noise: F is an estimate."""


@dataclass(frozen=True)
class Trust:
    """How far a network's matte is to be trusted."""

    sigma: float
    """Standard deviation of its α where it says one half."""
    floor: float
    """Its variance where it says 0 or 1, as a share of that."""
    inner: float
    """How far inside its border α is open, in face heights."""
    outer: float
    """How far outside."""

    def variance(self, alpha: np.ndarray) -> np.ndarray:
        """Of α (...) as the network says it."""
        return self.sigma**2 * (4.0 * alpha * (1.0 - alpha) + self.floor)


SEGMENTED = Trust(sigma=0.5, floor=0.1, inner=0.035, outer=0.09)
"""A segmentation at 256², blurred and blind to ears and strands."""
MATTED = Trust(sigma=0.3, floor=0.02, inner=0.02, outer=0.06)
"""The matting network."""
LEAST_APART = 0.01
"""See `Estimator.apart`."""
SLIT = 0.007
"""Half the width of what is no slit between strands, and of what is no strand before an unknown background, in face heights."""


def person_alpha(
    frame: np.ndarray,
    background: np.ndarray,
    known: np.ndarray,
    probability: np.ndarray,
    noise: np.ndarray,
    face_height: float,
    continued: np.ndarray | float = 0.0,
    trust: Trust = SEGMENTED,
) -> np.ndarray:
    """Soft matte of the person.

    Args:
        frame: (H, W, 3) uint8.
        background: (H, W, 3) float32, 0 to 255, as it is in this frame.
        known: (h, w) float32, 1 where the background was visible, at half the frame's size.
        probability: of the person by a network, float32 of any size.
        noise: (h, w) float32, standard deviation of the background in 8-bit levels.
        face_height: pixels of the frame.
        continued: (h, w) float32, 1 where it was not visible but certainly continues.
        trust: in `probability`.

    Returns:
        (H, W) float32 in [0, 1].
    """
    full, half = frame.shape[1::-1], known.shape[::-1]
    inner, outer = trust.inner * face_height, trust.outer * face_height
    small = cv2.resize(frame, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    small_background = cv2.resize(background, half, interpolation=cv2.INTER_AREA)
    network, coarse = resized(probability, full), resized(probability, half)

    inside = cv2.erode((coarse > 0.6).astype(np.uint8), disc(inner / 2))
    near = (coarse > 0.3).astype(np.uint8)
    distance = cv2.distanceTransform(1 - near, cv2.DIST_L2, 3) * (2.0 / outer)  # 1 at the outer end of the band
    sure_colour = cv2.erode((coarse > 0.8).astype(np.uint8), disc(inner / 4)).astype(np.float32)
    foreground = cv2.GaussianBlur(push_pull(small, sure_colour), (0, 0), 1.5)
    alpha = network * cv2.resize((distance <= 1.0).astype(np.float32), full)
    band = foreground, small_background, noise, known, np.maximum(known, continued, dtype=np.float32), inside, distance
    if has_numba() and full == (2 * half[0], 2 * half[1]):
        from .frame_kernels import measure_band

        constants = (1.0 + SHADE_RIDGE, MEASURED_SIGMA**2, LEAST_APART, trust.sigma**2, trust.floor)
        measure_band(frame, background, *band, *map(np.float32, constants), alpha)
    else:
        alpha = measured_alpha(frame, background, *band, trust, alpha)
    # Where the background was never visible, what has a strand's width may be a strand as well as a piece of it.
    slit = disc(SLIT * face_height)
    opened = cv2.morphologyEx(alpha, cv2.MORPH_OPEN, slit)
    alpha += cv2.resize(1.0 - known, full) * (opened - alpha)
    # Between strands that the network takes for inside, a dark one before a dark background is no slit through the head.
    closed = cv2.morphologyEx(alpha, cv2.MORPH_CLOSE, slit)
    if has_numba():
        from .region_kernels import close_slits

        close_slits(network, closed, alpha)
        return alpha
    return alpha + smoothstep(0.5, 0.9, network) * (closed - alpha)


def resized(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`probability` (h, w) at `size` (width, height)."""
    smaller = size[0] < probability.shape[1]
    return cv2.resize(probability, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def measured_alpha(
    frame: np.ndarray,
    background: np.ndarray,
    foreground: np.ndarray,
    small_background: np.ndarray,
    noise: np.ndarray,
    known: np.ndarray,
    plain: np.ndarray,
    inside: np.ndarray,
    distance: np.ndarray,
    trust: Trust,
    alpha: np.ndarray,
) -> np.ndarray:
    """`frame_kernels.measure_band` by NumPy, for any size: its oracle, and what runs without Numba."""
    (height, width), half = frame.shape[:2], inside.shape[::-1]
    full = (width, height)
    estimator = Estimator.between(foreground, small_background, noise)
    sure = cv2.resize(inside, full, interpolation=cv2.INTER_NEAREST) > 0
    band = ((inside == 0) & (distance <= 1.0)).astype(np.uint8)
    pixels = np.flatnonzero(cv2.resize(band, full, interpolation=cv2.INTER_NEAREST))
    rows, columns = np.divmod(pixels, width)
    # Half-resolution quantities are smooth: nearest neighbour is enough.
    at = np.minimum(rows // 2, half[1] - 1) * half[0] + np.minimum(columns // 2, half[0] - 1)
    change = cv2.subtract(frame, background, dtype=cv2.CV_32F).reshape(-1, 3).take(pixels, axis=0)
    measured, alike = estimator.alpha(change, at, 0.4 * distance.take(at) ** 2)
    network, visible = alpha.take(pixels), known.take(at)
    says, noisy = trust.variance(network), estimator.faint.take(at) ** 2 + MEASURED_SIGMA**2
    noisy = np.where(measured < network, noisy / estimator.apart.take(at), noisy)
    mixed = network + plain.take(at) * says / (plain.take(at) * says + noisy) * (measured - network)
    # Where the background was never visible, its estimate still shows that an ear is not part of it.
    mixed = np.maximum(mixed, (1.0 - visible) * estimator.reliability.take(at) * alike)
    alpha[sure] = 1.0
    alpha.put(pixels, mixed)
    return np.clip(alpha, 0.0, 1.0)


def close_doubts(probability: np.ndarray) -> np.ndarray:
    """Fill uncertain regions of the network that are enclosed by the person and nowhere clearly background.

    A large earring is one; a gap between hair and neck is not, as the network is certain of it.

    Args:
        probability: (h, w) float32.

    Returns:
        (h, w) float32.
    """
    count, labels = cv2.connectedComponents((probability < 0.8).astype(np.uint8), connectivity=4)
    if count <= 2:
        return probability
    plain = np.zeros(count, bool)
    plain[labels[probability < 0.1]] = True
    plain[0] = True
    doubted = cv2.dilate((~plain[labels]).astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.maximum(probability, doubted.astype(np.float32))


def away_from_shades(colours: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32: what colours differ by from the nearest shade of others, which is as bright as these or darker."""
    darker = np.clip(dot(lit, colours) / (dot(lit, lit) + 1.0), 0.0, 1.0)
    return colours - times(lit, darker)


@dataclass(frozen=True)
class Estimator:
    """Difference matting against a foreground colour that is known up to its brightness.

    With I = α·sF + (1−α)B and unknown shade s, I − B = a(F−B) + b(−B) where a + b = α: so hair darker or brighter than
    its surroundings gets the right α too. b is kept small by a ridge, as F and B may have the same hue.
    """

    foreground: np.ndarray
    """(h, w, 3) float32: F − B."""
    shade: np.ndarray
    """(h, w, 3) float32: −B."""
    to_foreground: np.ndarray
    """(h, w, 3) float32: a is its dot product with I − B."""
    to_shade: np.ndarray
    """(h, w, 3) float32: b likewise."""
    contrast: np.ndarray
    """(h, w) float32: |F − B|."""
    faint: np.ndarray
    """(h, w) float32: the standard deviation that noise causes in α."""
    reliability: np.ndarray
    """(h, w) float32 in [0, 1]: how far the measured α is to be trusted."""
    apart: np.ndarray
    """(h, w) float32, `LEAST_APART` to 1: how far B is from all shades of F, as a share of the squared contrast. Where that is little, what
    has B's colour may be F in shadow: roots of hair before a dark wall."""

    @classmethod
    def between(cls, foreground: np.ndarray, background: np.ndarray, noise: np.ndarray) -> Estimator:
        """Of two images (h, w, 3) float32 and the noise (h, w), all in 8-bit levels."""
        difference, shade = foreground - background, -background
        dd = dot(difference, difference) + noise**2
        dk = dot(difference, shade)
        kk = (1.0 + SHADE_RIDGE) * dot(shade, shade) + 30.0**2
        scale = 1.0 / (dd * kk - dk * dk)
        to_foreground = times(difference, scale * kk) - times(shade, scale * dk)
        to_shade = times(shade, scale * dd) - times(difference, scale * dk)
        total = to_foreground + to_shade
        faint = noise * np.sqrt(dot(total, total))
        away = away_from_shades(background, foreground)
        apart = np.clip((dot(away, away) + noise**2) / dd, LEAST_APART, 1.0)
        reliability = 1.0 / (1.0 + (10.0 * faint) ** 4)
        return cls(difference, shade, to_foreground, to_shade, np.sqrt(dd), faint, reliability, apart)

    def alpha(self, change: np.ndarray, at: np.ndarray, doubt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measured matte of some pixels.

        Args:
            change: (n, 3) float32, I − B.
            at: (n) index of the pixels in this estimator's images, row after row.
            doubt: (n) α below which a pixel counts as background.

        Returns:
            (n) float32 in [0, 1]; and (n) float32, how certainly it is the foreground's colour.
        """
        foreground, shade, to_foreground, to_shade = (
            image.reshape(-1, 3).take(at, axis=0)
            for image in (self.foreground, self.shade, self.to_foreground, self.to_shade)
        )
        a, b = dot(change, to_foreground), dot(change, to_shade)
        floor = np.minimum(0.02 + 2.0 * self.faint.take(at) + doubt, 0.6)
        mixture = np.clip((a + b - floor) / (0.97 - floor), 0.0, 1.0)
        # What no shade of F mixed with B explains (an earring, a bright strand) is foreground as well.
        rest = change - foreground * np.maximum(a, 0.0)[:, None] - shade * b[:, None]
        rest = np.sqrt(dot(rest, rest)) / (self.contrast.take(at) + 30.0)
        alike = smoothstep(0.6, 0.9, a + b - doubt) * smoothstep(0.4, 0.2, rest)
        return np.maximum(mixture, smoothstep(0.3 + floor, 0.7 + floor, rest)), alike
