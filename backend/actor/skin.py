"""Skin: linear base colour of every vertex by its place on the face. Positions (N,3) are in the face frame, mm."""

from __future__ import annotations

import numpy as np

from ..workspace.arrays import smoothstep
from .anatomy import (
    CANTHUS_INNER,
    CANTHUS_OUTER,
    MOUTH_HALF_WIDTH,
    lid_margins,
    lip_depth,
    lip_line,
    vermilion_borders,
)
from .features import brow_line

BASE = np.array([0.55, 0.305, 0.205])


def noise(points: np.ndarray, scale_mm: float, seed: int, octaves: int = 3) -> np.ndarray:
    """Smooth noise (N,) of about unit variance: a few random plane waves an octave."""
    rng = np.random.default_rng(seed)
    value, weight = np.zeros(len(points)), 0.0
    for octave in range(octaves):
        amplitude = 0.6**octave
        for _ in range(9):
            direction = rng.normal(size=3)
            direction /= np.linalg.norm(direction)
            phase = points @ direction * (2 * np.pi * 2**octave / scale_mm / rng.uniform(0.7, 1.4))
            value += amplitude * np.sin(phase + rng.uniform(0, 2 * np.pi))
        weight += amplitude**2 * 9 / 2
    return value / np.sqrt(weight)


def lip_mask(points: np.ndarray) -> np.ndarray:
    """1 on the red of the lips (N,), with an edge about 2 mm soft."""
    x, y, z = points.T
    upper, lower = vermilion_borders(x)
    edge = np.minimum(upper - y, y - lower)
    ends = MOUTH_HALF_WIDTH - np.abs(x)
    return smoothstep(-1.3, 1.1, edge) * smoothstep(-0.5, 2.5, ends) * (z > -14)


def wetness(points: np.ndarray) -> np.ndarray:
    """How much skin shines (N,) in [0, 1]: moist lips and lid margins, less so the nose's tip and the forehead."""
    x, y, z = points.T
    nose = np.exp(-0.5 * ((x / 8) ** 2 + ((y + 36) / 10) ** 2 + ((z - 28) / 12) ** 2))
    return np.clip(lip_mask(points) + 0.8 * lid_margin_mask(points, 1.0) + 0.5 * nose, 0, 1)


def lid_margin_mask(points: np.ndarray, width_mm: float) -> np.ndarray:
    """1 on the margins of the lids (N,), falling off over `width_mm`."""
    x, y, z = points.T
    a = np.abs(x)
    upper, lower = lid_margins(a)
    gap = np.minimum(np.abs(y - upper - 0.3), np.abs(y - lower) + width_mm)
    within = smoothstep(CANTHUS_INNER[0] - 1, CANTHUS_INNER[0] + 2, a) * (
        1 - smoothstep(CANTHUS_OUTER[0] - 2, CANTHUS_OUTER[0] + 2, a)
    )
    return np.exp(-((gap / width_mm) ** 2)) * within * (z > -14)


def skin_colour(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Linear RGB (N,3): flushed cheeks, nose and ears, cooler eye sockets, a shaved beard, freckles, lips, mouth."""
    x, y, z = points.T
    a = np.abs(x)

    def spot(cx, cy, cz, sx, sy, sz):
        return np.exp(-0.5 * (((a - cx) / sx) ** 2 + ((y - cy) / sy) ** 2 + ((z - cz) / sz) ** 2))

    colour = np.tile(BASE, (len(points), 1))

    def tint(mask, factor):
        colour[:] *= 1 + np.clip(mask, 0, 1)[:, None] * (np.asarray(factor) - 1)

    tint(0.95 * spot(40, -29, -8, 15, 12, 18) + 0.65 * spot(0, -40, 28, 10, 8, 12), (1.03, 0.76, 0.72))
    tint(0.5 * spot(15, -43, 10, 5, 6, 8), (0.98, 0.72, 0.68))
    tint(0.45 * spot(0, 45, 8, 40, 20, 40), (1.04, 1.02, 0.92))
    tint(0.75 * spot(29, -8.5, 0, 11, 5, 10) + 0.55 * spot(20, 3, -2, 6, 7, 9), (0.86, 0.79, 0.80))
    tint(0.4 * spot(33, 7, 0, 13, 5, 10), (0.93, 0.86, 0.83))
    # The roots of the lashes darken the margins, and the fold above the lid lies in its own shade.
    tint(0.85 * lid_margin_mask(points, 1.1), (0.38, 0.31, 0.29))
    fold = lid_margins(a)[0] + 4.6 - y
    tint(0.5 * np.exp(-((fold / 1.6) ** 2)) * (a > 17) * (a < 47) * (z > -16), (0.80, 0.70, 0.67))
    beard = smoothstep(50, 62, -y) * (1 - smoothstep(118, 140, -y)) * smoothstep(-80, -45, z)
    beard *= 1 - 0.75 * spot(31, -48, 4, 11, 9, 20)
    tint(beard * (0.40 + 0.12 * noise(points, 3.0, 5, 2)), (0.70, 0.70, 0.72))
    tint(0.6 * spot(0, -52, 17, 3.2, 5, 8), (1.08, 1.10, 1.12))
    tint(0.7 * smoothstep(108, 150, -y), (0.97, 0.90, 0.86))
    colour *= 1 + 0.06 * noise(points, 26, 1)[:, None] * np.array([0.6, 1.0, 1.1])
    colour *= 1 + 0.035 * noise(points, 5.5, 2)[:, None] * np.array([0.8, 1.0, 1.0])
    freckles = smoothstep(1.6, 2.6, noise(points, 4.5, 3, 2))
    tint(0.4 * freckles, (0.78, 0.66, 0.58))
    for mx, my, size in ((-37, -52, 1.3), (26, -78.5, 0.9), (44, -12, 0.8), (-20, 40, 0.9)):
        tint(np.exp(-(((x - mx) ** 2 + (y - my) ** 2) / size**2)) * (z > -40), (0.35, 0.28, 0.25))

    # Skin shows through the brows darker than beside them.
    for side in (1.0, -1.0):
        t = np.linspace(0, 1, 60)
        line = brow_line(t) * [side, 1]
        near = np.flatnonzero((x * side > 4) & (y > 4) & (y < 32) & (z > -30))
        gap = np.linalg.norm(points[near, None, :2] - line[None], axis=2)
        thick = 3.2 * np.interp(t, [0, 0.15, 0.5, 0.8, 1], [0.5, 0.9, 1.0, 0.6, 0.25])
        mask = np.zeros(len(points))
        mask[near] = np.exp(-((gap / thick) ** 2)).max(1)
        tint(0.3 * mask, (0.42, 0.38, 0.36))

    lips = lip_mask(points)
    ridges = 1 + 0.11 * np.sin(x * 2.6 + 0.8 * noise(points, 9, 8))
    upper = (y > lip_line(x))[:, None]
    red = np.where(upper, [0.34, 0.108, 0.096], [0.42, 0.142, 0.124]) * ridges[:, None]
    colour = colour * (1 - 0.85 * lips[:, None]) + red * 0.85 * lips[:, None]
    depth = np.abs(y - lip_line(x)) < 24
    inside = smoothstep(0, 4, lip_depth(x) - 2.5 - z) * depth * (a < 30) * (normals[:, 2] < 0.5) * (z > -66)
    return colour * (1 - inside[:, None]) + np.array([0.30, 0.085, 0.075]) * inside[:, None]
