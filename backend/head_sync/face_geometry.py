"""Which landmarks belong to the skull, and the canonical head frame that the face's own symmetry defines."""

from __future__ import annotations

import numpy as np

from ..workspace.landmarks import LEFT_PUPIL, PAIRS, RIGHT_PUPIL

PUPIL_DISTANCE_M = 0.063
"""Metres between the pupils (an adult's mean): fixes the scale of a head seen by one camera."""

ORIGIN_FROM_PUPILS_M = np.array([0.0, 0.045, 0.085])
"""From the midpoint between the pupils to the head frame's origin: near the atlas joint, about which a neck turns a
head."""

FOREHEAD_TOP, CHIN = 10, 152


def head_frame(face: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The canonical head frame (docs/animation.md) of a face shape given in any frame and unit.

    x is the mean direction across the midline, from landmarks that mirror one another; y runs from the top of the
    forehead to the chin, square to x. So "frontal" is a property of the face alone and agrees between two clips of
    one person.

    Args:
        face: (478, 3), right-handed, x to the right of the image and y down for a face that looks into the camera.

    Returns:
        scale, rotation (3, 3), shift (3), so that scale · face @ rotationᵀ + shift lies in the head frame, in metres.
    """
    across = (face[PAIRS[:, 1]] - face[PAIRS[:, 0]]).sum(0)
    x = across / np.linalg.norm(across)
    down = face[CHIN] - face[FOREHEAD_TOP]
    y = down - x * (x @ down)
    y /= np.linalg.norm(y)
    rotation = np.stack([x, y, np.cross(x, y)])
    scale = PUPIL_DISTANCE_M / float(np.linalg.norm(face[LEFT_PUPIL] - face[RIGHT_PUPIL]))
    pupils = (face[LEFT_PUPIL] + face[RIGHT_PUPIL]) / 2
    return scale, rotation, -ORIGIN_FROM_PUPILS_M - scale * rotation @ pupils
