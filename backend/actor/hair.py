"""Scalp hair as strands that grow from the skin, combed by a direction field and gathered into clumps."""

from __future__ import annotations

import numpy as np

from ..workspace.arrays import smoothstep
from .skin import noise

COLOUR = np.array([0.0125, 0.0068, 0.0038])


def coverage(points: np.ndarray) -> np.ndarray:
    """Density of hair (N,) in [0,1] on the scalp; it thins out softly over some 10 mm at the hairline."""
    x, y, z = points.T
    a = np.abs(x)
    # The hairline is the height above which hair grows, for each depth z: forehead, temple, sideburn, behind the ear.
    front = 58.0 - 0.0034 * a**2 + 3.0 * np.exp(-(((a - 34) / 11) ** 2)) - 1.5 * np.exp(-((a / 12) ** 2))
    line = np.interp(
        z,
        [-175, -130, -114, -100, -88, -82, -74, -66, -56, -44, -34],
        [-78, -72, -40, 12, 12, -18, -24, -6, 14, 34, 47],
    )
    line = np.where((z > -34) | (a < 40), np.where(z > -60, np.maximum(front, line * (z < -30)), line), line)
    soft = line + 1.4 * noise(points, 14, 21, 2)
    density = smoothstep(-3.0, 8.0, y - soft)
    return np.where(density > 0.4, density, 0.0)


def shade(points: np.ndarray) -> np.ndarray:
    """How dark skin is under the hair (N,) in [0, 1]: from nothing at the hairline to all some 25 mm behind it."""
    return np.mean([coverage(points - np.array([0.0, down, 0.0])) for down in (0, 5, 10, 15, 20)], 0) ** 1.5


def combing(points: np.ndarray) -> np.ndarray:
    """The comb's direction (N,3): up and back from the forehead with a side sweep, down and back at the sides."""
    x, y, z = points.T
    # The forehead's edge is combed back like the top: hair combed down there would lie on the forehead.
    top = np.maximum(smoothstep(45, 85, y), smoothstep(-45, -15, z))[:, None]
    sides = np.stack([0.1 * np.sign(x), -0.75 + 0 * x, -0.65 + 0 * x], 1)
    part = np.tanh((x - 30) / 9)
    swept = np.stack(
        [-0.34 + 0.30 * part - 0.002 * np.minimum(x, 0), 0.10 - 0.15 * np.maximum(part, 0), -0.85 + 0 * x], 1
    )
    direction = swept * top + sides * (1 - top)
    return direction / np.linalg.norm(direction, axis=1, keepdims=True)


def strands(vertices: np.ndarray, triangles: np.ndarray, normals: np.ndarray, count: int, seed: int):
    """Grow hair on the skin mesh: paths (H,P,3) mm, radii (H,P) mm and linear colours (H,3)."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    corners = vertices[triangles]
    centre = corners.mean(1)
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    outside = (
        (centre - np.array([0, 20, -88])) * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    ).sum(1) > 0
    # Hair at the forehead is lifted off the skin and combed away: it grows denser there, to cover its own roots.
    front = smoothstep(-85, -45, centre[:, 2]) * smoothstep(25, 45, centre[:, 1])
    weight = area * coverage(centre) * outside * (1 + 2.2 * front)
    chosen = rng.choice(len(triangles), count, p=weight / weight.sum())
    bary = rng.dirichlet((1, 1, 1), count)
    root = (corners[chosen] * bary[..., None]).sum(1)
    normal = (normals[triangles[chosen]] * bary[..., None]).sum(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)

    _, y, z = root.T
    top = smoothstep(30, 88, y)
    length = 6.0 + 8.0 * smoothstep(-60, 40, y) + 30.0 * top
    length *= rng.uniform(0.75, 1.1, count) * (1 + 0.12 * noise(root, 22, 31))
    lift = 0.10 + 0.50 * top * smoothstep(-150, -40, z) + 0.20 * smoothstep(-60, -25, z) * top

    # Clumps: strands bend towards the path of a shared guide, more so at their tips.
    guides = rng.choice(count, max(count // 22, 8), replace=False)
    clump = guides[cKDTree(root[guides]).query(root)[1]]
    wild = rng.normal(size=(count, 3))
    direction = combing(root) + 0.10 * wild[clump] + 0.07 * wild
    skin = cKDTree(vertices)
    steps = 8
    path = [root - 0.6 * normal]
    heading = lift[:, None] * 1.5 * normal + direction
    for k in range(1, steps):
        t = k / (steps - 1)
        near = skin.query(path[-1])[1]
        out = normals[near]
        height = ((path[-1] - vertices[near]) * out).sum(1)
        heading = (1 - 0.30 * t) * heading + 0.34 * direction + np.array([0, -0.10, 0.0]) * t
        # Hair may lie on the head, never in it.
        inward = np.minimum((heading * out).sum(1), 0) * smoothstep(0, 5, 6.0 - height)
        heading = heading - inward[:, None] * out
        heading /= np.linalg.norm(heading, axis=1, keepdims=True)
        path.append(path[-1] + heading * (length / (steps - 1))[:, None])
    path = np.stack(path, 1)
    s = np.linspace(0, 1, steps)[None, :, None]
    gather = rng.uniform(0.35, 0.75, count)[:, None, None] * s**1.3
    offset = (root - root[clump])[:, None] * (1 - s)
    path = path * (1 - gather) + (path[clump] + 0.6 * offset + 0.4 * (root - root[clump])[:, None]) * gather
    # A few strands leave their clump: the silhouette is not an edge.
    loose = np.where((rng.random(count) < 0.06) & (z < -70), 3.2, 1.0)[:, None, None]
    path += 0.35 * loose * s * np.cumsum(rng.normal(0, 0.22, path.shape), 1)
    radius = rng.uniform(0.14, 0.24, count)[:, None] * np.array([1, 1, 1, 1, 0.95, 0.85, 0.6, 0.25])
    tone = (
        COLOUR
        * rng.uniform(0.75, 1.35, count)[:, None]
        * (1 + 0.55 * rng.normal(size=count)[clump, None]).clip(0.35, 2.2)
    )
    return path, radius, tone
