"""The character as arrays in the head frame, in one file for the studio."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..workspace.arrays import smoothstep, vertex_normals
from ..workspace.files import atomic_path
from . import anatomy, bust, features, hair
from .expression import FaceFields
from .features import Part
from .frames import directions_to_head, face_to_head
from .implicit import largest_component, relax
from .skin import skin_colour, wetness


def head_weight(points: np.ndarray) -> np.ndarray:
    """How much of the head's motion (against the shoulders') the skin takes part in (N,): it changes along the neck."""
    _, y, z = points.T
    below = (-121.0 - 0.5 * (z + 10)) - y
    return 1 - smoothstep(0, 85, below)


def asymmetric(points: np.ndarray) -> np.ndarray:
    """Points (N,3) mm, moved by about a millimetre so that the face's halves differ, as in real faces."""

    def spot(centre, sigma):
        return np.exp(-0.5 * (((points - np.array(centre)) / sigma) ** 2).sum(1))

    shift = spot((0, -40, 20), (14, 16, 22))[:, None] * [0.9, 0, 0]
    shift = shift + spot((0, -100, 0), (40, 26, 50))[:, None] * [-1.4, 0, 0]
    shift = shift + spot((-24, -68, 5), (14, 10, 22))[:, None] * [-0.3, 0.9, 0]
    shift = shift + spot((36, 19, 0), (16, 8, 24))[:, None] * [0, 0.9, 0]
    shift = shift + spot((-46, -45, -20), (20, 24, 40))[:, None] * [-1.2, 0, 0]
    return points + shift


def build_head() -> tuple[Part, np.ndarray, np.ndarray]:
    """The skin of head and neck: its part, sculpted positions (V,3) mm and normals (V,3)."""
    vertices, triangles = largest_component(*anatomy.sculpt_head().mesh())
    vertices = relax(vertices, triangles, 3)
    normals = vertex_normals(vertices, triangles)
    fields = FaceFields(vertices)
    rest = fields.rest()
    shapes = {name: move for name, move in fields.shapes().items() if np.abs(move).max() > 1e-3}
    colour = skin_colour(vertices, normals)
    # Skin under the hair lies in its shade, so that the hairline is no edge of a cap.
    shade = 0.9 * hair.shade(vertices)[:, None]
    colour = colour * (1 - shade) + np.array([0.030, 0.026, 0.023]) * shade
    return Part(vertices + rest, triangles, colour, shapes), vertices, normals


def build_ears() -> Part:
    vertices, triangles = bust.ear()
    parts = []
    for side in (1.0, -1.0):
        colour = np.tile([0.54, 0.295, 0.215], (len(vertices), 1))
        faces = triangles if side > 0 else triangles[:, ::-1]
        parts.append(Part(vertices * [side, 1, 1], faces, colour))
    return features.joined(parts)


def build_character(path: Path, strand_count: int, seed: int) -> None:
    """Build every part and write them to `path` (npz): `<part>.vertices` (m), `.faces`, `.colours`, `.shape.<name>`."""
    from scipy.interpolate import LinearNDInterpolator

    head, sculpted, normals = build_head()
    arrays: dict[str, np.ndarray] = {}

    def put(name: str, part: Part) -> None:
        warped = asymmetric(part.vertices)
        arrays[name + ".vertices"] = face_to_head(warped).astype(np.float32)
        # y and z change sign, which keeps orientation.
        arrays[name + ".faces"] = part.faces.astype(np.int32)
        arrays[name + ".colours"] = part.colours.astype(np.float32)
        for shape, move in part.shapes.items():
            arrays[f"{name}.shape.{shape}"] = (
                directions_to_head(asymmetric(part.vertices + move) - warped) / 1000
            ).astype(np.float32)

    put("head", head)
    arrays["head.weight"] = head_weight(sculpted).astype(np.float32)
    arrays["head.wet"] = wetness(sculpted).astype(np.float32)
    arrays["head.rest"] = (sculpted / 1000).astype(np.float32)
    facing = (normals[:, 2] > 0.15) & (sculpted[:, 1] > 0) & (sculpted[:, 1] < 40) & (sculpted[:, 2] > -40)
    skin_z = LinearNDInterpolator(sculpted[facing][:, :2], sculpted[facing][:, 2], fill_value=-10.0)
    put("brows", features.brows(lambda x, y: skin_z(x, y), np.array([0.110, 0.074, 0.052])))
    put("lashes", features.lashes(hair.COLOUR * 0.6))
    put("ears", build_ears())
    put("teeth", features.teeth())
    put("tongue", features.tongue())
    put("corners", features.eye_corners())
    for name, part in (("eye", features.eyeball()), ("cornea", features.cornea())):
        arrays[name + ".vertices"] = (directions_to_head(part.vertices) / 1000).astype(np.float32)
        arrays[name + ".faces"] = part.faces.astype(np.int32)
        arrays[name + ".colours"] = part.colours.astype(np.float32)
    centre = anatomy.EYE_CENTRE
    arrays["eye.centres"] = face_to_head(np.stack([centre, centre * [-1, 1, 1]])).astype(np.float32)
    vertices, triangles = bust.sweater()
    put("sweater", Part(vertices, triangles, np.tile([0.035, 0.055, 0.085], (len(vertices), 1))))
    paths, radii, tone = hair.strands(sculpted, head.faces, normals, strand_count, seed)
    arrays["hair.paths"] = face_to_head(paths).astype(np.float32)
    arrays["hair.radii"] = (radii / 1000).astype(np.float32)
    arrays["hair.colours"] = tone.astype(np.float32)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
