"""Where on a head lips, expression and eyes act, from the subject's own face (478, 3) in the head frame, metres."""

from __future__ import annotations

import numpy as np

from ..renderer.regions import Region

EVERYWHERE = Region((0.0, 0.0, 0.0), (100.0, 100.0, 100.0), 1.0)
"""No region: for training without gated conditions."""


def lip_region(face_head_m: np.ndarray) -> Region:
    """Where lip shape may act: mouth, jaw and cheeks."""
    mouth, nose, chin = face_head_m[[13, 14]].mean(0), face_head_m[2], face_head_m[152]
    width = float(np.linalg.norm(face_head_m[454] - face_head_m[234]))
    top, bottom = float(nose[1] + 0.2 * (mouth[1] - nose[1])), float(chin[1] + 0.03)
    centre = (float(mouth[0]), (top + bottom) / 2, float(mouth[2] + 0.02))
    return Region(centre, (0.55 * width, (bottom - top) / 2, 0.075))


def expression_region(face_head_m: np.ndarray) -> Region:
    """Where expression may act: brows, lids, eyes and the root of the nose."""
    eyes = face_head_m[[33, 133, 263, 362]].mean(0)
    width = float(np.linalg.norm(face_head_m[454] - face_head_m[234]))
    brow_to_eye = abs(float(face_head_m[[105, 334], 1].mean() - eyes[1]))
    return Region(
        (float(eyes[0]), float(eyes[1] - brow_to_eye * 0.6), float(eyes[2])), (0.5 * width, brow_to_eye * 2.2, 0.06)
    )


def eye_regions(face_head_m: np.ndarray) -> tuple[Region, ...]:
    """The two eyes with their lids, which do not move with the head's pose."""
    regions = []
    for outer, inner in ((33, 133), (263, 362)):
        x, y, z = (float(value) for value in face_head_m[[outer, inner]].mean(0))
        radius = 0.7 * float(np.linalg.norm(face_head_m[outer] - face_head_m[inner]))
        regions.append(Region((x, y, z), (radius, radius * 0.8, radius * 1.2), 0.003))
    return tuple(regions)
