"""Which landmarks belong to the skull, and the canonical head frame that the face's own symmetry defines."""

from __future__ import annotations

import numpy as np

PUPIL_DISTANCE_M = 0.063
"""Metres between the pupils (an adult's mean): fixes the scale of a head seen by one camera."""

ORIGIN_FROM_PUPILS_M = np.array([0.0, 0.045, 0.085])
"""From the midpoint between the pupils to the head frame's origin: near the atlas joint, about which a neck turns a
head."""

FOREHEAD_TOP, CHIN = 10, 152
RIGHT_PUPIL, LEFT_PUPIL = 468, 473
"""Of the subject; the right one is on the left of the image."""

MIDLINE = np.array([10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1])
"""From the top of the forehead to the tip of the nose."""

PAIRS = np.array([
    (109, 338), (67, 297), (103, 332), (54, 284), (21, 251), (162, 389), (127, 356), (234, 454),  # hairline, temples
    (108, 337), (69, 299), (104, 333), (68, 298), (71, 301), (139, 368), (34, 264), (143, 372),  # forehead, temples
    (193, 417), (122, 351), (245, 465), (188, 412), (174, 399), (196, 419), (3, 248), (236, 456),  # bridge of the nose
    (198, 420), (131, 360), (51, 281), (45, 275), (220, 440), (115, 344), (114, 343), (47, 277),  # nose
    (126, 355), (217, 437), (209, 429), (49, 279),
    (116, 345), (117, 346), (118, 347), (111, 340), (123, 352), (227, 447), (137, 366),  # cheekbones
    (101, 330), (100, 329), (119, 348),
    (33, 263), (133, 362),  # corners of the eyes
])  # fmt: skip
"""Landmarks of both halves, the subject's right first, that move with the skull and not with lips, jaw, lids or brows."""

RIGID = np.concatenate([MIDLINE, PAIRS.ravel()])

_HALF_WEIGHT = {4, 1, 45, 275, 220, 440, 33, 263, 133, 362, 101, 330, 123, 352, 137, 366, 234, 454, 49, 279, 209, 429}

RIGID_WEIGHTS = np.array([0.5 if index in _HALF_WEIGHT else 1.0 for index in RIGID])
"""Relative weights: the tip of the nose, the eyes' corners and the cheeks move a little with speech and squints."""

RIGHT_EYE = np.array([33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246])
LEFT_EYE = np.array([263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466])
RIGHT_BROW = np.array([70, 63, 105, 66, 107, 55, 65, 52, 53, 46])
LEFT_BROW = np.array([300, 293, 334, 296, 336, 285, 295, 282, 283, 276])

UPPER_FACE = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 447, 345, 346, 347, 348, 329, 279, 275, 4, 45, 49, 100, 119, 118, 117,
    116, 227, 234, 127, 162, 21, 54, 103, 67, 109,
])  # fmt: skip
"""Outline, in order, of the part of the face that moves with the skull: forehead, temples, cheekbones, nose."""

LOWER_FACE = np.array(
    [234, 227, 4, 447, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93]
)
"""Outline, in order, of the rest: cheeks, mouth and jaw."""


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
