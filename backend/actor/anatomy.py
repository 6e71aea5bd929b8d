"""The head's form, in numbers: an adult face after anthropometric means, sculpted from implicit primitives.

All curves and coordinates are in the face frame (see the package): mm, x to the subject's left, y up, z out of the
face, origin midway between the pupils. What is written for x > 0 is mirrored. The mesh is sculpted with the lips a
little apart, so that both are separate sheets of the surface; `expression.FaceFields.rest` closes them.
"""

from __future__ import annotations

import numpy as np

from .implicit import Distance, Sculpture, ellipsoid, spaced_axis, tube

PUPIL_X = 31.5
EYE_CENTRE = np.array([PUPIL_X, 0.0, -12.6])
EYE_RADIUS = 12.4
LID_RADIUS = 14.3
CANTHUS_INNER = np.array([16.8, -2.2])
CANTHUS_OUTER = np.array([45.6, 0.9])
MOUTH_HALF_WIDTH = 26.0
LIP_GAP = 1.6
LIP_THICKNESS = 7.5


def lid_margins(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights (mm) of the upper and lower lid margin above x (mm, the left eye's side; take |x| for both)."""
    t = np.clip((np.asarray(x, float) - CANTHUS_INNER[0]) / (CANTHUS_OUTER[0] - CANTHUS_INNER[0]), 0, 1)
    base = CANTHUS_INNER[1] + t * (CANTHUS_OUTER[1] - CANTHUS_INNER[1])
    upper = base + 4.9 * np.sin(np.pi * t**0.82) ** 0.75
    lower = base - 4.7 * np.sin(np.pi * t**1.12) ** 0.85
    return upper, lower


def lip_line(x: np.ndarray) -> np.ndarray:
    """Height (mm) of the line between the lips; beyond the corners it runs on level."""
    a = np.minimum(np.abs(np.asarray(x, float)), MOUTH_HALF_WIDTH)
    return -68.6 - 0.7 * np.exp(-((a / 5.0) ** 2)) + 0.6 * np.exp(-(((a - 11) / 6.5) ** 2)) + 2.0 * (a / 25.5) ** 2.4


def lip_depth(x: np.ndarray) -> np.ndarray:
    """How far out (mm) the line between the lips lies: it wraps around the dental arch."""
    a = np.minimum(np.abs(np.asarray(x, float)), 34.0)
    return 13.0 - 10.5 * (a / 25.5) ** 2.0


def vermilion_borders(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights (mm) of the upper lip's border (the cupid's bow) and the lower lip's."""
    a = np.minimum(np.abs(np.asarray(x, float)), MOUTH_HALF_WIDTH)
    t = a / MOUTH_HALF_WIDTH
    rise = 7.8 * (1 - t**1.7) - 1.2 * np.exp(-((a / 3.4) ** 2))
    fall = 8.2 * (1 - t**1.9) ** 0.9
    corner = lip_line(np.array(MOUTH_HALF_WIDTH))
    level = lip_line(a) * (1 - t**3) + corner * t**3
    return level + rise, level - fall


def curve(knots, count: int = 3) -> np.ndarray:
    """A natural cubic spline through `knots` (n,) or (n,d), sampled at `count` even steps of its index."""
    from scipy.interpolate import CubicSpline

    knots = np.asarray(knots, float)
    return CubicSpline(np.arange(len(knots)), knots, bc_type="natural")(np.linspace(0, len(knots) - 1, count))


def _mirrored(add, make, *args, **kwargs) -> None:
    for side in (1.0, -1.0):
        flip = np.array([side, 1.0, 1.0])
        add(make(flip), *args, **kwargs)


def _extruded(x_range, inside, box):
    """A shape given by `inside(x, y, z)` ≤ 0 within |x| limits; a distance exact enough to subtract."""

    def distance(x, y, z):
        side = np.maximum(x_range[0] - x, x - x_range[1])
        return np.maximum(inside(x, y, z), side)

    return Distance(distance, box)


def sculpt_head() -> Sculpture:
    """The skin of head and neck, mouth slightly open, lids open around empty sockets."""
    fine = 1.0
    x = spaced_axis([(-120, 5), (-80, 2.2), (-56, fine), (56, 2.2), (80, 5), (120, 5)])
    # The slit between the lips is thinner than the grid elsewhere: rows are closer there.
    y = spaced_axis([(-235, 5), (-126, 1.8), (-112, fine), (-73, 0.5), (-64, fine), (30, 1.8), (80, 4), (130, 4)])
    z = spaced_axis([(-200, 5), (-80, 2.4), (-32, 1.1), (-14, fine), (44, 1)])
    s = Sculpture(x, y, z)

    # Cranium, forehead, face.
    s.add(ellipsoid((0, 24, -90), (75, 86, 93)), reach=60)
    _mirrored(s.add, lambda f: ellipsoid(f * [30, 52, -92], (43, 58, 72)), 30, reach=40)
    s.add(ellipsoid((0, 36, -56), (63, 50, 66.5)), 22, reach=30)
    s.add(ellipsoid((0, -22, -58), (59, 74, 64)), 24, reach=30)
    s.add(ellipsoid((0, -58, -32), (38, 44, 41)), 24, reach=30)
    # Jaw, with the flesh over it, and the chin.
    _mirrored(s.add, lambda f: tube(f * [[53, -14, -82], [43, -64, -68]], [14, 12]), 24, reach=30)
    _mirrored(
        s.add, lambda f: tube(f * [[42, -66, -66], [29, -90, -36], [13, -102, -12]], [12, 11.5, 13]), 24, reach=30
    )
    _mirrored(s.add, lambda f: ellipsoid(f * [35.5, -50, -48], (20, 34, 36)), 24, reach=30)
    s.add(ellipsoid((0, -100.5, -9), (19, 14, 18.5)), 16, reach=20)
    _mirrored(s.add, lambda f: ellipsoid(f * [6, -101, -1], (9, 9, 9)), 12)
    # Cheekbones and the soft cheek in front of them.
    _mirrored(
        s.add, lambda f: tube(f * curve([[36, -22, -16], [53, -20, -34], [62, -14, -70]]), [14, 11, 6]), 26, reach=30
    )
    _mirrored(s.add, lambda f: ellipsoid(f * [34, -36, -19], (21, 23, 19.5)), 20, reach=24)
    # Temples.
    _mirrored(s.subtract, lambda f: ellipsoid(f * [88, 24, -34], (18, 34, 28)), 26)

    # Brow ridge, sockets.
    brow = curve([[7, 14, 3.5], [18, 18.5, 4.5], [32, 20, 0], [43, 17.5, -8], [51, 10, -17]], 13)
    _mirrored(s.add, lambda f: tube(f * brow, np.linspace(7, 5.5, 13)), 12, reach=18)
    _mirrored(s.subtract, lambda f: ellipsoid(f * [30, 0.5, 11], (21, 12.5, 14.5)), 12)
    _mirrored(s.subtract, lambda f: ellipsoid(f * [15, -1, 13.5], (6, 8, 9)), 10)

    # Nose.
    s.add(
        tube(curve([[0, 16, -2.5], [0, 3, 0], [0, -16, 8.5], [0, -34, 18]], 9), curve([8.5, 6.8, 7.2, 8.2], 9)),
        10,
        reach=18,
    )
    _mirrored(
        s.add,
        lambda f: tube(f * curve([[5, 4, -7], [9.5, -20, 1], [12, -38, 6]], 7), [6, 7, 7.5, 7.8, 7.8, 7.5, 7]),
        11,
        reach=18,
    )
    s.add(ellipsoid((0, -38.5, 21.5), (9.4, 8.8, 9.6)), 7)
    _mirrored(s.add, lambda f: ellipsoid(f * [3.4, -38.5, 22.6], (6.4, 6.2, 6.6)), 5)
    _mirrored(s.add, lambda f: ellipsoid(f * [12.0, -41.6, 11.5], (6.4, 6.8, 9.8), 12), 4.5)
    s.add(tube([[0, -45, 24], [0, -48.6, 13]], [3.8, 4.6]), 4)
    _mirrored(
        s.subtract, lambda f: tube(f * [[6.6, -50, 17.0], [7.6, -47.0, 13.5], [6.5, -41, 12]], [2.3, 3.0, 2.0]), 2.4
    )
    _mirrored(
        s.subtract, lambda f: tube(f * [[20.0, -36.5, 12.5], [20.6, -43, 10], [18.8, -48.5, 9]], [0.8, 1.0, 0.8]), 5
    )

    # Muzzle, philtrum, folds.
    s.add(ellipsoid((0, -64, -20), (31, 24, 33)), 12)
    _mirrored(s.subtract, lambda f: tube(f * curve([[23, -46, 11], [30, -57, 9], [35, -69, 4.5]]), 0.8), 9)

    # Lips: each a tube that runs from corner to corner, thick in the middle.
    u = np.linspace(-1, 1, 25)
    lip_x = u * (MOUTH_HALF_WIDTH - 1.0)
    up, low = vermilion_borders(lip_x)
    line, depth = lip_line(lip_x), lip_depth(lip_x)
    upper_radius = np.maximum(0.60 * (up - line), 0.9)
    lower_radius = np.maximum(0.58 * (line - low), 0.9)
    s.add(tube(np.stack([lip_x, line + upper_radius * 0.86, depth + 1.4 - 0.3 * upper_radius], 1), upper_radius), 4)
    s.add(tube(np.stack([lip_x, line - lower_radius * 0.90, depth + 1.0 - 0.5 * lower_radius], 1), lower_radius), 4)
    s.add(ellipsoid((0, -65.4, 12.2), (4.2, 3.6, 4.4)), 3)
    s.subtract(tube([[0, -50, 17.2], [0, -58.5, 19.2]], [1.6, 2.3]), 4.5)
    _mirrored(s.subtract, lambda f: tube(f * [[27.6, -67.0, 4.4], [28.8, -66.0, 3]], [0.5, 0.4]), 6)
    s.subtract(tube([[-13, -85.6, 12.5], [0, -86.4, 15.4], [13, -85.6, 12.5]], [0.9, 1.6, 0.9]), 9)

    # The mouth: a slit between the lips, and the cavity behind it.
    half = LIP_GAP / 2

    def slit(x, y, z):
        room = half * np.sqrt(np.clip(1 - (x / MOUTH_HALF_WIDTH) ** 2, 0, 1))
        return np.maximum(np.abs(y - lip_line(x)) - room, lip_depth(x) - LIP_THICKNESS - 2 - z)

    def cavity(x, y, z):
        return np.maximum(np.maximum(z - lip_depth(x) + LIP_THICKNESS, -62 - z), np.abs(y + 69.5) - 14 + 0.012 * x**2)

    half_width = MOUTH_HALF_WIDTH
    s.subtract(_extruded((-half_width, half_width), slit, ((-26, -74, -12), (26, -64, 26))), 0.5)
    s.subtract(_extruded((-half_width - 1.5, half_width + 1.5), cavity, ((-28, -84, -62), (28, -55, 8))), 3)

    # Lids: a shell around the eye, cut open along the margins.
    _mirrored(s.add, lambda f: ellipsoid(f * EYE_CENTRE, (LID_RADIUS + 0.9, LID_RADIUS, LID_RADIUS)), 6)
    _mirrored(s.add, lambda f: tube(f * [[19, 9.5, -4], [31, 12.2, -1.2], [43, 9.5, -6.5]], [2.6, 3.4, 3.2]), 5)
    crease = curve([[19.5, 4.2, -1.5], [25, 8.2, 1.2], [32, 9.4, 1.9], [40, 7.8, -1.2], [47, 3.6, -8]], 11)
    _mirrored(s.subtract, lambda f: tube(f * crease, 0.5), 2.6)

    def fissure(x, y, z):
        upper, lower = lid_margins(np.abs(x))
        return np.maximum(np.maximum(y - upper, lower - y) * 0.9, -14 - z)

    for side in (1.0, -1.0):
        span = sorted((side * CANTHUS_INNER[0], side * CANTHUS_OUTER[0]))
        s.subtract(_extruded(span, fissure, ((span[0], -9, -14), (span[1], 9, 12))), 0.9)
    _mirrored(s.subtract, lambda f: ellipsoid(f * EYE_CENTRE, (EYE_RADIUS + 0.35,) * 3), 0.0)
    _mirrored(s.subtract, lambda f: ellipsoid(f * [31.2, -0.6, -13.5], (14.4, 8, 8)), 1.0)

    # Neck: trunk, the two sternocleidomastoids, larynx, and where it spreads into the shoulders.
    s.add(tube([[0, -40, -100], [0, -120, -102], [0, -190, -112]], [47, 50, 54]), 14, reach=40)
    _mirrored(s.add, lambda f: tube(f * [[60, -45, -104], [40, -120, -72], [16, -190, -62]], [9, 10, 8]), 14)
    s.add(tube([[0, -128, -53], [0, -146, -53]], [8, 7]), 14)
    _mirrored(
        s.add, lambda f: tube(f * [[20, -150, -125], [75, -205, -125], [130, -232, -118]], [34, 30, 30]), 30, reach=30
    )
    return s
