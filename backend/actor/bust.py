"""Ears and clothing: sculpted apart from the head, where the grid can be as fine or coarse as each needs."""

from __future__ import annotations

import numpy as np

from .anatomy import curve
from .implicit import Sculpture, ellipsoid, largest_component, relax, spaced_axis, tube


def ear() -> tuple[np.ndarray, np.ndarray]:
    """The left ear: vertices (V,3) in the face frame and triangles.

    It is sculpted flat, u forward, v up, w outwards, and then set on the head: turned out by 14° and leant back by 12°.
    """
    s = Sculpture(
        spaced_axis([(-34, 0.8), (22, 1)]), spaced_axis([(-42, 0.8), (44, 1)]), spaced_axis([(-16, 0.8), (14, 1)])
    )
    s.add(ellipsoid((-4, 6, 0), (17, 26, 2.4)))
    s.add(ellipsoid((-1, -20, 0.6), (9.5, 8.5, 3.4)), 5)
    helix = curve(
        [[4, -3, 1], [10, 5, 3], [12.5, 16, 4], [8, 27, 4], [-3, 32.5, 4], [-14, 28, 4.2], [-20, 17, 4.2],
         [-20.5, 4, 4], [-17, -9, 3.4], [-12, -17, 2], [-7, -22, 1]], 41
    )  # fmt: skip
    s.add(tube(helix, np.interp(np.linspace(0, 1, 41), [0, 0.15, 0.6, 1], [1.6, 2.7, 2.7, 2.0])), 1.6)
    s.add(
        tube(curve([[1, 21, 2], [-7, 17, 3.4], [-12, 8, 3.8], [-12, -3, 3.6], [-8, -12, 3.2], [-2, -16, 3]], 21), 2.5),
        2.2,
    )
    s.add(ellipsoid((9.5, -6, 3), (3.6, 5, 3.4)), 3)
    s.add(tube([[8, 14, -3], [10, 0, -4], [8, -16, -4]], [6, 7, 5]), 5)
    s.subtract(ellipsoid((0.5, -3.5, 4.5), (8, 10.5, 6.5)), 2)
    s.subtract(ellipsoid((0, 10, 3.5), (6, 4, 3)), 2)
    vertices, triangles = largest_component(*s.mesh())
    u, v, w = relax(vertices, triangles, 3).T
    lean, out = np.radians(12), np.radians(14)
    u, v = u * np.cos(lean) - v * np.sin(lean), u * np.sin(lean) + v * np.cos(lean)
    position = np.stack([w * np.cos(out) - u * np.sin(out), v, w * np.sin(out) + u * np.cos(out)], 1)
    return position + np.array([75.8, -16.0, -90.0]), triangles[:, ::-1]


def collar_ring(angle: np.ndarray, widen: float = 0.0) -> np.ndarray:
    """Points (N,3) of the neckline; angle 0 is the throat, π the nape."""
    front = np.cos(angle)
    return np.stack(
        [(63 + widen) * np.sin(angle), -166 - 26 * front - 4 * np.cos(2 * angle), -106 + (58 + widen) * front], 1
    )


def sweater() -> tuple[np.ndarray, np.ndarray]:
    """A crew-neck sweater with soft folds, open at the neck: vertices (V,3) and triangles."""
    s = Sculpture(
        spaced_axis([(-270, 3.5), (270, 1)]),
        spaced_axis([(-400, 4), (-250, 3), (-110, 1)]),
        spaced_axis([(-220, 5), (-120, 3), (20, 1)]),
    )
    s.add(ellipsoid((0, -330, -108), (168, 150, 92)), reach=90)
    for side in (1.0, -1.0):
        flip = np.array([side, 1, 1])
        s.add(tube(flip * [[0, -196, -116], [96, -216, -116], [176, -252, -114]], [56, 51, 47]), 40, reach=60)
        s.add(tube(flip * [[176, -252, -114], [206, -330, -108], [216, -400, -100]], [47, 48, 46]), 30, reach=50)
        s.add(tube(flip * [[40, -160, -128], [90, -205, -122]], [30, 34]), 34, reach=40)
        s.subtract(tube(flip * [[158, -400, -24], [150, -320, -26], [142, -275, -40]], [3, 4, 1]), 22)
        for k, (y0, y1) in enumerate(((-250, -300), (-285, -335), (-320, -372))):
            path = curve([[150 - 12 * k, y0, -45], [110, (y0 + y1) / 2 - 6, -24], [60, y1, -16]], 9)
            s.subtract(tube(flip * path, 1.0), 13)
    angle = np.linspace(0, 2 * np.pi, 73)
    s.subtract(tube(np.concatenate([[[0, -100, -98]], [[0, -192, -104]]]), [60, 60]), 8)
    s.add(tube(collar_ring(angle, 3.0) - np.array([0, 5, 0]), 6.0), 7, reach=14)
    s.add(tube(collar_ring(angle), 4.6), 2.0, reach=10)
    vertices, triangles = largest_component(*s.mesh())
    return relax(vertices, triangles, 2), triangles
