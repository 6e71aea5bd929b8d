"""Names for the landmarks of MediaPipe's 478-point face topology.

Left and right are the subject's: the left half lies at positive x in the head frame (x to the right of the image).
Each `HalfFace` lists the same places in the same order, so that `LEFT.x[i]` mirrors `RIGHT.x[i]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COUNT = 478
SKIN_COUNT = 468
"""The first 468 are skin; the last ten are the irises: centre, then four points of the rim, right and left eye."""


@dataclass(frozen=True)
class HalfFace:
    """One half of the face. Lip arcs run from the middle of the mouth to its corner, outermost first; lids from the
    inner to the outer corner of the eye (corners left out); brows from the nose outwards."""

    upper_lip: tuple[tuple[int, ...], ...]
    lower_lip: tuple[tuple[int, ...], ...]
    mouth_corner: int
    upper_lid: tuple[int, ...]
    lower_lid: tuple[int, ...]
    eye_corners: tuple[int, int]
    brow_upper: tuple[int, ...]
    brow_lower: tuple[int, ...]
    iris: tuple[int, ...]
    cheek_apple: int
    cheek_hollow: tuple[int, ...]
    nasolabial: tuple[int, ...]
    nose_wing: tuple[int, ...]
    jaw_line: tuple[int, ...]
    ear: int


LEFT = HalfFace(
    upper_lip=(
        (0, 267, 269, 270, 409, 291),
        (11, 302, 303, 304, 408, 306),
        (12, 268, 271, 272, 407, 292),
        (13, 312, 311, 310, 415, 308),
    ),
    lower_lip=(
        (17, 314, 405, 321, 375, 291),
        (16, 315, 404, 320, 307, 306),
        (15, 316, 403, 319, 325, 292),
        (14, 317, 402, 318, 324, 308),
    ),
    mouth_corner=291,
    upper_lid=(398, 384, 385, 386, 387, 388, 466),
    lower_lid=(382, 381, 380, 374, 373, 390, 249),
    eye_corners=(362, 263),
    brow_upper=(336, 296, 334, 293, 300),
    brow_lower=(285, 295, 282, 283, 276),
    iris=(473, 474, 475, 476, 477),
    cheek_apple=280,
    cheek_hollow=(425, 411, 427, 434, 416),
    nasolabial=(358, 423, 391, 426, 436),
    nose_wing=(278, 294, 327, 344),
    jaw_line=(454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    ear=454,
)

RIGHT = HalfFace(
    upper_lip=(
        (0, 37, 39, 40, 185, 61),
        (11, 72, 73, 74, 184, 76),
        (12, 38, 41, 42, 183, 62),
        (13, 82, 81, 80, 191, 78),
    ),
    lower_lip=(
        (17, 84, 181, 91, 146, 61),
        (16, 85, 180, 90, 77, 76),
        (15, 86, 179, 89, 96, 62),
        (14, 87, 178, 88, 95, 78),
    ),
    mouth_corner=61,
    upper_lid=(173, 157, 158, 159, 160, 161, 246),
    lower_lid=(155, 154, 153, 145, 144, 163, 7),
    eye_corners=(133, 33),
    brow_upper=(107, 66, 105, 63, 70),
    brow_lower=(55, 65, 52, 53, 46),
    iris=(468, 471, 470, 469, 472),
    cheek_apple=50,
    cheek_hollow=(205, 187, 207, 214, 192),
    nasolabial=(129, 203, 165, 206, 216),
    nose_wing=(48, 64, 98, 115),
    jaw_line=(234, 93, 132, 58, 172, 136, 150, 149, 176, 148),
    ear=234,
)

HALVES = (LEFT, RIGHT)
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
"""Outer, then inner border of the lips."""
LIP_PAIRS = ((13, 14), (82, 87), (312, 317))
"""Upper and lower inner lip about their middle."""
LID_PAIRS = (((160, 144), (159, 145), (158, 153)), ((385, 380), (386, 374), (387, 373)))
"""Upper and lower lid of the right and the left eye."""
CHIN = (152, 175, 199, 200)
"""From the tip of the chin up to the fold under the lip."""
NOSE_TIP = (1, 4, 5, 2, 19, 94)
FOREHEAD_TOP = (10, 338, 297, 332, 284, 251, 109, 67, 103, 54, 21)

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


def distance(landmarks: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """(N) mean distance of the pairs in (N, 478, D) landmarks."""
    points = landmarks.astype(np.float64)
    return np.mean([np.linalg.norm(points[:, one] - points[:, other], axis=-1) for one, other in pairs], axis=0)


def lip_opening(landmarks: np.ndarray) -> np.ndarray:
    """(N) distance between the inner lips over that between the outer corners of the eyes: 0 (shut) to about 0.3.

    Args:
        landmarks: (N, 478, 2) pixels.
    """
    return distance(landmarks, LIP_PAIRS) / distance(landmarks, [(RIGHT.eye_corners[1], LEFT.eye_corners[1])])


def eye_opening(landmarks: np.ndarray) -> np.ndarray:
    """(N) distance between the lids over the eye's width (eye aspect ratio, Soukupová and Čech 2016), mean of both eyes.

    About 0.3 for open and 0.1 for shut eyes: the lids' borders keep a distance. landmarks: (N, 478, 2) pixels.
    """
    eyes = zip(LID_PAIRS, (RIGHT.eye_corners, LEFT.eye_corners), strict=True)
    return np.mean([distance(landmarks, lids) / distance(landmarks, [corners]) for lids, corners in eyes], axis=0)
