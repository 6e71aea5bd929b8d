"""Implicit surfaces on a rectilinear grid: sculpting with signed distances, meshed by marching cubes.

A `Sculpture` holds a sampled signed distance field, negative inside. Primitives are functions of broadcastable
coordinate arrays; each is evaluated only in the box it can reach, which keeps a head of some eighty primitives within
seconds. Distances are millimetres and exact only near the surface, which is all that blending needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Distance:
    """A signed distance as a function of x, y, z, and the box (low, high) outside of which it does not matter."""

    function: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    box: tuple[np.ndarray, np.ndarray]

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return self.function(x, y, z)


def smooth_min(a: np.ndarray, b: np.ndarray, k: float) -> np.ndarray:
    """Union of two distances whose seam is rounded over about `k` mm (polynomial smooth minimum)."""
    if k <= 0:
        return np.minimum(a, b)
    h = np.maximum(k - np.abs(a - b), 0) / k
    return np.minimum(a, b) - h * h * k * 0.25


def ellipsoid(centre, radii, tilt_x: float = 0.0) -> Distance:
    """An axis-aligned ellipsoid, optionally tilted by `tilt_x` degrees about x; first-order distance."""
    (cx, cy, cz), (rx, ry, rz) = centre, radii
    cos, sin = np.cos(np.radians(tilt_x)), np.sin(np.radians(tilt_x))

    def distance(x, y, z):
        px, y0, z0 = x - cx, y - cy, z - cz
        py, pz = cos * y0 + sin * z0, cos * z0 - sin * y0
        k0 = np.sqrt((px / rx) ** 2 + (py / ry) ** 2 + (pz / rz) ** 2)
        k1 = np.sqrt((px / rx**2) ** 2 + (py / ry**2) ** 2 + (pz / rz**2) ** 2)
        return k0 * (k0 - 1.0) / np.maximum(k1, 1e-6)

    return Distance(distance, (np.array(centre) - max(radii), np.array(centre) + max(radii)))


def tube(points, radii) -> Distance:
    """A polyline of round cones: `points` (n,3), `radii` (n,) or a number."""
    points = np.asarray(points, float)
    radii = np.broadcast_to(np.asarray(radii, float), (len(points),))

    def distance(x, y, z):
        best = None
        for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            edge = b - a
            px, py, pz = x - a[0], y - a[1], z - a[2]
            h = np.clip((px * edge[0] + py * edge[1] + pz * edge[2]) / (edge @ edge), 0, 1)
            gap = np.sqrt((px - h * edge[0]) ** 2 + (py - h * edge[1]) ** 2 + (pz - h * edge[2]) ** 2)
            gap = gap - (ra + h * (rb - ra))
            best = gap if best is None else np.minimum(best, gap)
        return best

    return Distance(distance, (points.min(0) - radii.max(), points.max(0) + radii.max()))


class Sculpture:
    """A signed distance field sampled on the axes `x` (nx), `y` (ny), `z` (nz), all ascending, in mm."""

    def __init__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
        self.axes = [np.asarray(axis, np.float32) for axis in (x, y, z)]
        self.field = np.full([len(axis) for axis in self.axes], 1e3, np.float32)

    def _window(self, distance: Distance, margin: float):
        low, high = distance.box
        slices = []
        for axis, a, b in zip(self.axes, low, high, strict=True):
            start = int(np.searchsorted(axis, a - margin))
            slices.append(slice(max(start - 1, 0), int(np.searchsorted(axis, b + margin)) + 1))
        window = tuple(slices)
        x, y, z = (axis[s] for axis, s in zip(self.axes, window, strict=True))
        return window, distance(x[:, None, None], y[None, :, None], z[None, None, :])

    def add(self, distance: Distance, k: float = 0.0, reach: float = 12.0) -> None:
        """Unite with a primitive, sampled out to `reach` mm beyond its box so that blends are complete."""
        window, value = self._window(distance, max(reach, 1.5 * k))
        self.field[window] = smooth_min(self.field[window], value, k)

    def subtract(self, distance: Distance, k: float = 0.0) -> None:
        """Subtract a primitive."""
        window, value = self._window(distance, 1.5 * k + 2)
        self.field[window] = -smooth_min(-self.field[window], value, k)

    def mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """The zero surface: vertices (V,3) in mm and triangles (F,3) that face outwards."""
        from skimage.measure import marching_cubes

        padded = np.pad(self.field, 1, constant_values=10.0)
        vertices, triangles, _, _ = marching_cubes(padded, 0.0, gradient_direction="ascent")
        for k, axis in enumerate(self.axes):
            vertices[:, k] = np.interp(vertices[:, k] - 1, np.arange(len(axis)), axis)
        return vertices.astype(np.float64), triangles[:, ::-1].astype(np.int64)


def spaced_axis(knots: list[tuple[float, float]]) -> np.ndarray:
    """Grid coordinates whose spacing changes: [(start, spacing), …, (end, _)], each holding up to the next knot."""
    parts = [np.arange(a, b, step) for (a, step), (b, _) in itertools.pairwise(knots)]
    return np.concatenate([*parts, [knots[-1][0]]])


def largest_component(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the connected surface with the most vertices; what marching cubes cut loose is dropped."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(vertices),) * 2)
    _, label = connected_components(graph, directed=False)
    keep = label == np.bincount(label).argmax()
    index = np.cumsum(keep) - 1
    return vertices[keep], index[triangles[keep[triangles].all(1)]]


def relax(vertices: np.ndarray, triangles: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Taubin smoothing: evens out marching cubes' slivers and stair steps without shrinking the surface."""
    from scipy.sparse import coo_matrix, diags

    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(vertices),) * 2).tocsr()
    graph = graph.maximum(graph.T)
    mean = diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph
    for _ in range(rounds):
        for step in (0.5, -0.53):
            vertices = vertices + step * (mean @ vertices - vertices)
    return vertices
