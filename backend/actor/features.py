"""What sits in and on the head: eyes, teeth, gums, tongue, brows and lashes, as meshes in the face frame (mm)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..workspace.arrays import smoothstep
from . import expression
from .anatomy import CANTHUS_INNER, CANTHUS_OUTER, EYE_CENTRE, EYE_RADIUS, curve, lid_margins


@dataclass
class Part:
    """A mesh: `vertices` (V,3) mm, `faces` (F,3 or 4), linear `colours` (V,3), and displacements {name: (V,3)}."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    shapes: dict[str, np.ndarray] = field(default_factory=dict)


def joined(parts: list[Part]) -> Part:
    """One mesh of several with the same number of corners a face."""
    offsets = np.cumsum([0, *[len(part.vertices) for part in parts]])
    names = sorted({name for part in parts for name in part.shapes})
    return Part(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=False)]),
        np.concatenate([part.colours for part in parts]),
        {n: np.concatenate([p.shapes.get(n, np.zeros_like(p.vertices)) for p in parts]) for n in names},
    )


def grid_faces(rows: int, columns: int, wrap: bool = True) -> np.ndarray:
    """Quads (F,4) of a grid of vertices numbered row by row, closed around each row when `wrap`."""
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, 1)
    quads = np.stack([index[:-1], right[:-1], right[1:], index[1:]], -1)
    return (quads if wrap else quads[:, :-1]).reshape(-1, 4)


def _mix(a, b, t) -> np.ndarray:
    t = np.asarray(t, float)[..., None]
    return np.asarray(a) * (1 - t) + np.asarray(b) * t


def eyeball(seed: int = 3) -> Part:
    """An eye about its own centre, looking along +z: flat iris under the cornea, limbal ring, veined sclera."""
    rng = np.random.default_rng(seed)
    columns = 160
    radius = EYE_RADIUS - 0.1
    inner = np.concatenate([np.linspace(0.0, 2.15, 5), np.linspace(2.3, 6.3, 34)])  # mm from the axis
    outer = np.linspace(np.arcsin(6.5 / radius), np.pi * 0.72, 40)
    theta = np.arange(columns) / columns * 2 * np.pi
    rim = np.sqrt(radius**2 - 6.5**2)
    rows, colours = [], []
    streak = sum(np.cos(k * theta + rng.uniform(0, 6.28)) * rng.uniform(0.3, 1) for k in rng.integers(18, 70, 26)) / 6
    for r in inner:
        depth = rim - 0.5 * (1 - (r / 6.3) ** 2)
        rows.append(np.stack([r * np.cos(theta), r * np.sin(theta), np.full(columns, depth)], 1))
        edge = smoothstep(4.5, 6.0, np.array(r))
        fibre = np.clip(0.5 + 0.35 * streak * (0.4 + 0.6 * np.sin(np.pi * (r - 2) / 4.2)), 0, 1)
        iris = _mix((0.035, 0.060, 0.060), (0.19, 0.225, 0.185), fibre)
        iris = _mix(
            iris,
            _mix((0.14, 0.075, 0.025), (0.24, 0.14, 0.05), fibre),
            np.full(columns, np.clip((3.6 - r) / 1.4, 0, 1)),
        )
        iris = _mix(iris, (0.018, 0.02, 0.022), np.full(columns, edge * 0.9))
        colours.append(iris if r > 2.2 else np.full((columns, 3), 0.002))
    for angle in outer:
        r = radius * np.sin(angle)
        rows.append(np.stack([r * np.cos(theta), r * np.sin(theta), np.full(columns, radius * np.cos(angle))], 1))
        vein = np.clip(streak - 0.5, 0, 1) * 0.35 + 0.45 * smoothstep(0.75, 1.25, np.array(angle))
        white = _mix((0.56, 0.52, 0.475), (0.54, 0.32, 0.27), np.clip(vein, 0, 0.75))
        limbus = 1 - smoothstep(6.3, 7.2, np.array(r)) if angle < 1.2 else 0.0
        colours.append(_mix(white, (0.10, 0.10, 0.10), np.full(columns, 0.85 * limbus)))
    points = np.concatenate(rows)
    # The upper lid and its lashes shade the top of the eye.
    shade = 1 - 0.62 * smoothstep(0.5, 5.0, points[:, 1]) - 0.12 * smoothstep(3.0, 7.0, -points[:, 1])
    return Part(points, grid_faces(len(rows), columns), np.concatenate(colours) * shade[:, None])


def cornea() -> Part:
    """The clear bulge in front of the iris, from just behind the limbus, about the eye's centre."""
    columns, reach = 96, 7.0
    base = np.sqrt(EYE_RADIUS**2 - reach**2)
    r = np.linspace(0.02, reach, 24)
    bulge = base + (np.sqrt(8.3**2 - r**2) - np.sqrt(8.3**2 - reach**2)) * 0.80
    theta = np.arange(columns) / columns * 2 * np.pi
    rows = [
        np.stack([a * np.cos(theta), a * np.sin(theta), np.full(columns, z)], 1) for a, z in zip(r, bulge, strict=True)
    ]
    return Part(np.concatenate(rows), grid_faces(len(rows), columns), np.ones((len(r) * columns, 3)))


def _ellipsoid(centre, radii, power: float = 2.0, rows: int = 20, columns: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """A superellipsoid: `power` 2 is an ellipsoid, larger is boxier."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None]
    lon = np.arange(columns) / columns * 2 * np.pi

    def bent(v):
        return np.sign(v) * np.abs(v) ** (2 / power)

    x = bent(np.cos(lat)) * bent(np.cos(lon))
    z = bent(np.cos(lat)) * bent(np.sin(lon))
    y = bent(np.sin(lat)) * np.ones_like(lon)
    points = np.stack([x, y, z], -1).reshape(-1, 3) * radii + centre
    return points, grid_faces(rows, columns)[:, ::-1]


def eye_corners() -> Part:
    """The pink fold and caruncle at each inner corner, which close the gap between lids and eyeball."""
    parts = []
    for side in (1.0, -1.0):
        for centre, radii, colour in (
            ((18.9, -2.0, -4.6), (2.3, 2.0, 2.2), (0.46, 0.22, 0.19)),
            ((44.6, 0.4, -11.5), (2.2, 2.6, 2.6), (0.46, 0.25, 0.19)),
        ):
            points, faces = _ellipsoid(np.array(centre) * [side, 1, 1], radii)
            parts.append(Part(points, faces, np.tile(colour, (len(points), 1))))
    return joined(parts)


def _arch(x: np.ndarray, front: float) -> np.ndarray:
    return front - 0.026 * x**2 - 0.000012 * x**4


def teeth() -> Part:
    """Both rows with their gums. The upper row is fixed to the skull; the lower follows the jaw."""
    upper = ((8.4, 10.2), (6.6, 9.2), (7.5, 10.2), (6.9, 8.4), (6.6, 7.8), (9.6, 7.2))
    lower = ((5.3, 8.6), (5.9, 8.8), (6.7, 9.6), (6.9, 8.2), (7.0, 7.6), (10.4, 7.0))
    rng = np.random.default_rng(5)
    parts = []
    for sizes, edge, front, up in ((upper, -72.0, 7.0, 1.0), (lower, -71.0, 4.4, -1.0)):
        for side in (1.0, -1.0):
            place = 0.0
            for nth, (width, height) in enumerate(sizes):
                slope = np.arctan(abs(2 * 0.026 * (place + width * 0.4)))
                place += width * np.cos(slope) * 0.5
                turn = np.arctan(2 * 0.026 * place) * side
                points, faces = _ellipsoid(np.zeros(3), (width * 0.51, height * 0.55, 2.6), power=4.0)
                points[:, 0] *= 1 - 0.16 * np.clip(points[:, 1] * up / height, -0.5, 0.5)
                root = np.clip((points[:, 1] * up / height + 0.5), 0, 1)
                tone = _mix((0.88, 0.79, 0.63), (0.74, 0.60, 0.42), root**2) * rng.uniform(0.94, 1.04)
                # Less light reaches the back of the mouth, and none the gaps between teeth.
                tone *= np.exp(-0.5 * (place / 17) ** 2)
                tone *= 1 - 0.45 * smoothstep(0.36, 0.5, np.abs(points[:, :1]) / width)
                cos, sin = np.cos(turn), np.sin(turn)
                points = np.stack(
                    [cos * points[:, 0] + sin * points[:, 2], points[:, 1], -sin * points[:, 0] + cos * points[:, 2]], 1
                )
                lift = 0.45 if nth == 1 else 0.0  # the lateral incisors are a little higher
                points += [side * place, edge + up * (height * 0.5 + lift), _arch(np.array(place), front) - 2.0]
                part = Part(points, faces, tone)
                parts.append(part)
                place += width * np.cos(slope) * 0.5
                if up < 0:
                    part.shapes = expression.jaw_rigid(points)
        s = np.linspace(-30, 30, 41)
        around = np.arange(14) / 14 * 2 * np.pi
        height = edge + up * 12.5 + 4.4 * np.sin(around) + 0 * s[:, None]
        depth = _arch(s, front - 2.6)[:, None] + 3.4 * np.cos(around)
        points = np.stack([s[:, None] + 0 * around, height, depth], -1).reshape(-1, 3)
        gum = Part(points, grid_faces(41, 14), np.tile((0.42, 0.13, 0.12), (len(points), 1)))
        if up < 0:
            gum.shapes = expression.jaw_rigid(points)
        parts.append(gum)
    return joined(parts)


def tongue() -> Part:
    """A tongue that rests behind the lower teeth, follows the jaw and comes out with `tongueOut`."""
    points, faces = _ellipsoid((0, -78.5, -20), (17.5, 6.5, 21), power=2.4, rows=26, columns=40)
    groove = np.exp(-((points[:, 0] / 4.0) ** 2)) * (points[:, 1] > -78.5)
    points[:, 1] += -1.6 * groove + 3.0 * smoothstep(5, 40, -points[:, 2])
    shapes = {name: 0.8 * move for name, move in expression.jaw_rigid(points).items()}
    reach = smoothstep(-38, 2, points[:, 2])[:, None]
    shapes["tongueOut"] = reach * np.array([0, 7.0, 22.0])
    colour = _mix((0.42, 0.13, 0.12), (0.52, 0.20, 0.18), smoothstep(-82, -74, points[:, 1]))
    return Part(points, faces, colour, shapes)


def _strips(paths: np.ndarray, widths: np.ndarray, facing=(0.0, 0.1, 1.0)) -> tuple[np.ndarray, np.ndarray]:
    """Flat tapered hairs: `paths` (H,P,3) and `widths` (H,P) to vertices (H·P·2,3) and quads."""
    tangent = np.gradient(paths, axis=1)
    across = np.cross(tangent, np.asarray(facing))
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    sides = np.stack([paths - across * widths[..., None] / 2, paths + across * widths[..., None] / 2], 2)
    hairs, count = paths.shape[:2]
    first = (np.arange(hairs) * count * 2)[:, None] + 2 * np.arange(count - 1)
    quads = np.stack([first, first + 1, first + 3, first + 2], -1).reshape(-1, 4)
    return sides.reshape(-1, 3), quads


def brow_line(t: np.ndarray) -> np.ndarray:
    """Points (N,2) of the left brow's middle line, t from 0 (inner end) to 1 (outer end)."""
    return curve(np.array([[11.0, 14.4], [22, 16.4], [34, 17.8], [44, 16.4], [52.5, 12.6]]), 201)[
        np.round(np.clip(t, 0, 1) * 200).astype(int)
    ]


def brows(surface, colour, seed: int = 7, count: int = 560) -> Part:
    """Brow hair rooted in the skin; `surface(x, y)` gives the skin's height z and `Part.shapes` follow its roots."""
    rng = np.random.default_rng(seed)
    paths, roots = [], []
    for side in (1.0, -1.0):
        t = np.clip(rng.beta(1.3, 1.25, count) + 0.02 * rng.normal(size=count), 0, 1)
        centre, ahead = brow_line(t), brow_line(np.minimum(t + 0.02, 1)) - brow_line(np.maximum(t - 0.02, 0))
        thick = 3.0 * np.interp(t, [0, 0.15, 0.5, 0.8, 1], [0.7, 1.0, 0.95, 0.6, 0.2])
        v = np.clip(rng.normal(0, 0.6, count), -1.6, 1.6)
        x, y = centre[:, 0], centre[:, 1] + v * thick
        along = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
        # Hairs rise at the inner end, lie along the brow further out, and converge on its ridge.
        upward = np.interp(t, [0, 0.15, 0.45, 1], [1.5, 0.8, 0.25, -0.05]) - 0.45 * v
        direction = along + np.stack([np.zeros(count), upward], 1)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = rng.uniform(4.0, 7.5, count) * np.interp(t, [0, 0.2, 1], [0.6, 1.0, 0.75])
        s = np.linspace(0, 1, 5)
        px = side * (x[:, None] + direction[:, :1] * length[:, None] * s)
        py = y[:, None] + direction[:, 1:] * length[:, None] * s - 0.6 * s**2
        pz = surface(px, py) + 0.15 + 1.5 * s * (1 - 0.45 * s)
        paths.append(np.stack([px, py, pz], -1))
        roots.append(np.stack([px[:, 0], py[:, 0], pz[:, 0]], 1))
    paths, roots = np.concatenate(paths), np.concatenate(roots)
    # The inner ends are finer, so that the brow begins softly.
    begin = np.interp(np.abs(roots[:, 0]), [11, 17], [0.55, 1.0])
    widths = (begin * rng.uniform(0.14, 0.24, len(paths)))[:, None] * np.array([0.8, 1, 0.9, 0.65, 0.2])
    points, quads = _strips(paths, widths)
    fields = expression.FaceFields(roots).shapes()
    repeat = paths.shape[1] * 2
    shapes = {name: np.repeat(move, repeat, 0) for name, move in fields.items() if np.abs(move).max() > 1e-3}
    tone = np.repeat(np.asarray(colour) * rng.uniform(0.6, 1.5, (len(paths), 1)), repeat, 0)
    return Part(points, quads, tone, shapes)


def lashes(colour, seed: int = 9) -> Part:
    """Upper and lower lashes, rooted on the lid margins; they turn with their lid."""
    rng = np.random.default_rng(seed)
    paths, roots = [], []
    for side in (1.0, -1.0):
        for count, upper in ((150, True), (44, False)):
            t = np.sort(rng.uniform(0.05, 0.97, count))
            x = CANTHUS_INNER[0] + t * (CANTHUS_OUTER[0] - CANTHUS_INNER[0])
            y = lid_margins(x)[0 if upper else 1]
            depth = np.sqrt(np.maximum(14.0**2 - (x - EYE_CENTRE[0]) ** 2 - y**2, 4.0))
            root = np.stack([x, y + (0.25 if upper else -0.25), EYE_CENTRE[2] + depth], 1)
            length = rng.uniform(0.75, 1.1, count) * ((3.6 + 2.6 * t) if upper else (1.6 + 1.2 * t))
            lean = (t - 0.35) * 0.9 + rng.normal(0, 0.12, count)
            s = np.linspace(0, 1, 6)[None, :, None]
            out = np.stack([lean, np.full(count, 0.05 if upper else -0.25), np.ones(count)], 1)[:, None]
            rise = np.array([0, 0.7 if upper else -0.5, 0.0])
            path = root[:, None] + length[:, None, None] * (out * s * 0.75 + rise * s**2)
            paths.append(path * [side, 1, 1])
            roots.append(root * [side, 1, 1])
    paths, roots = np.concatenate(paths), np.concatenate(roots)
    widths = np.full(len(paths), 0.18)[:, None] * np.array([1, 1, 0.9, 0.75, 0.5, 0.15])
    points, quads = _strips(paths, widths, facing=(0, -0.7, 1.0))
    count = paths.shape[1] * 2
    fields = expression.FaceFields(roots)
    shapes = {n: np.repeat(m, count, 0) for n, m in fields.shapes().items() if np.abs(m).max() > 1e-3}
    turn = np.repeat(fields.lid_turn(*expression.BLINK), count)
    for name, sign in (("Left", 1.0), ("Right", -1.0)):
        mine = (points[:, 0] * sign > 0)[:, None]
        full = expression.rotated_about_x(points, EYE_CENTRE, turn) - points
        half = expression.rotated_about_x(points, EYE_CENTRE, 0.5 * turn) - points
        shapes["eyeBlink" + name], shapes[f"eyeBlink{name}Mid"] = full * mine, (half - 0.5 * full) * mine
    return Part(points, quads, np.tile(colour, (len(points), 1)), shapes)
