"""Fifty-two ARKit-like blendshapes on MediaPipe's landmarks, authored here and scaled to the subject.

Each shape states the displacement of a few named landmarks (lip arcs, lids, brows, cheeks, chin) in millimetres of an
adult face and lets `FaceDeformer` carry it smoothly over the skin. The jaw turns about the hinge before the ears; lids
close over the eyeball; irises turn about its centre. Directions follow Apple's descriptions of `ARFaceAnchor`
blend-shape locations; amplitudes follow what faces do at a coefficient of 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..protocol import BLENDSHAPE_NAMES
from ..workspace import landmarks as groups
from ..workspace.landmarks import HALVES, LEFT, RIGHT, HalfFace
from .sculptor import Handles, Profile, Sculptor, Vector

GAZE_RAD = math.radians(28.0)

_ALONG = np.linspace(0.0, 1.0, 6)[None, :]
"""Position on a lip arc: 0 in the middle of the mouth, 1 at its corner."""
_INWARD = np.linspace(0.0, 1.0, 4)[:, None]
"""0 on the outer edge of the lip's red, 1 on its inner edge."""


def displacements(face_head_m: np.ndarray) -> np.ndarray:
    """The displacement of every landmark for each blendshape at a coefficient of 1.

    Args:
        face_head_m: (478, 3) the subject's neutral face in the head frame (x to the right of the image, y down,
            z into the head), metres, 63 mm between the pupils.

    Returns:
        (52, 478, 3) float64, metres, head frame, in the order of `BLENDSHAPE_NAMES`.
    """
    face = np.asarray(face_head_m, np.float64)
    if face.shape != (groups.COUNT, 3):
        raise ValueError(f"face_head_m must be (478, 3), not {face.shape}")
    sculptor = Sculptor(face)
    shapes: dict[str, np.ndarray] = {}
    for half, side in ((LEFT, "Left"), (RIGHT, "Right")):
        for name, shape in _one_sided(sculptor, half).items():
            shapes[name + side] = shape
    shapes |= _both_sided(sculptor)
    return np.stack([shapes[name] for name in BLENDSHAPE_NAMES])


def _one_sided(sculptor: Sculptor, half: HalfFace) -> dict[str, np.ndarray]:
    """The shapes that have a left and a right: names without the side."""
    s, d = _ALONG, _INWARD
    lips, solve = sculptor.lips, sculptor.solve
    eye, mouth = sculptor.eye_scale, sculptor.mouth_scale

    def points(vectors: dict[int, Vector], scale: float = 1.0) -> Handles:
        return sculptor.points(half, vectors, scale)

    def brow(upper: tuple[Vector, ...], lower: tuple[Vector, ...]) -> Handles:
        vectors = dict(zip(half.brow_upper, upper, strict=True)) | dict(zip(half.brow_lower, lower, strict=True))
        return points(vectors)

    def lid(upper_mm: float, lower_mm: float) -> Handles:
        """Lids raised by so much in their middle, less towards the corners."""
        profile = (0.45, 0.75, 0.95, 1.0, 0.95, 0.75, 0.4)
        upper = {
            i: (0.0, upper_mm * p, -0.15 * abs(upper_mm) * p) for i, p in zip(half.upper_lid, profile, strict=True)
        }
        lower = {i: (0.0, lower_mm * p, 0.15 * abs(lower_mm) * p) for i, p in zip(half.lower_lid, profile, strict=True)}
        return points(upper | lower, eye)

    apple, hollow, fold, wing = half.cheek_apple, half.cheek_hollow, half.nasolabial, half.nose_wing
    bump = np.sin(math.pi * np.clip(s * 1.1, 0, 1)) ** 1.2  # greatest between the middle and the corner of the mouth
    side_lip = 0.35 * (1 - s) ** 2 + bump

    smile = s**1.4
    shapes = {
        "mouthSmile": solve(
            lips(
                half, (6.5 * smile, 8.0 * smile, -4.5 * smile), (6.5 * smile, 8.0 * smile + 0.8 * (1 - s), -4.5 * smile)
            ),
            points({apple: (1.0, 3.5, 2.0), hollow[0]: (3.0, 5.0, 1.0), hollow[1]: (5.0, 5.0, -1.5)}, mouth),
            points({fold[3]: (4.0, 5.0, -0.5), fold[4]: (5.5, 6.0, -1.5)}, mouth),
            reach_mm=32,
        ),
        "mouthFrown": solve(
            lips(half, (0.5 * smile, -7.0 * s**2, -1.5 * smile), (0.5 * smile, -7.0 * s**2, -1.5 * smile)),
            points({hollow[3]: (0.5, -3.0, 0.5), fold[4]: (0, -3.5, 0)}, mouth),
            reach_mm=26,
        ),
        "mouthDimple": solve(
            lips(half, (4.5 * s**2, 1.0 * s**2, -4.5 * s**2), (4.5 * s**2, 1.0 * s**2, -4.5 * s**2)),
            points({hollow[1]: (2.0, 0.5, -1.0)}, mouth),
            reach_mm=20,
        ),
        "mouthStretch": solve(
            lips(half, (8.5 * smile, -3.0 * s**2, -4.5 * smile), (8.5 * smile, -4.0 * smile, -4.5 * smile)),
            points({hollow[3]: (4.0, -3.0, -1.0), hollow[4]: (4.0, -2.0, -1.0), fold[4]: (4.5, -1.5, -1.0)}, mouth),
            reach_mm=34,
        ),
        "mouthPress": solve(
            lips(
                half,
                (1.5 * s**2, -2.4 * side_lip * (1 - 0.65 * d), -1.2 * side_lip + 0 * d),
                (1.5 * s**2, 3.2 * side_lip * (1 - 0.65 * d), -1.2 * side_lip + 0 * d),
            ),
            reach_mm=14,
        ),
        "mouthUpperUp": solve(
            lips(half, (1.0 * bump, 6.0 * side_lip, 0.8 * side_lip), (0, 0, 0)),
            points(
                {wing[0]: (0.8, 1.5, 0), fold[1]: (0.5, 3.5, 1.0), fold[3]: (0.5, 2.5, 1.0), apple: (0.2, 1.5, 1.0)},
                mouth,
            ),
            reach_mm=24,
        ),
        "mouthLowerDown": solve(lips(half, (0, 0, 0), (1.5 * bump, -6.5 * side_lip, -1.0 * side_lip)), reach_mm=20),
        "cheekSquint": solve(points({apple: (0.5, 5.0, 2.5), hollow[0]: (0.5, 3.0, 1.5)}), lid(-0.3, 2.2), reach_mm=26),
        "noseSneer": solve(
            points(
                {wing[0]: (0.8, 3.5, 0.5), wing[1]: (0.8, 3.8, 0.5), wing[2]: (0.2, 3.0, 0.4), wing[3]: (0.5, 3.0, 0.8)}
            ),
            points({fold[0]: (0.5, 3.5, 0.8), fold[1]: (0.2, 3.0, 0.8), half.brow_lower[0]: (-0.8, -1.8, 0.5)}),
            lips(half, (0.2 * bump, 2.2 * side_lip, 0.4 * side_lip), (0, 0, 0)),
            reach_mm=22,
        ),
        # Tracked brows move as one piece, and apart as they rise: about 0.2 mm sideways per millimetre up.
        "browDown": solve(
            brow(
                ((-1.8, -6.0, 0.6), (-1.6, -6.0, 0.8), (-1.3, -5.5, 0.6), (-1.1, -4.4, 0.3), (-0.9, -3.1, 0)),
                ((-1.8, -5.4, 0.6), (-1.6, -5.4, 0.8), (-1.3, -5.0, 0.6), (-1.1, -4.0, 0.3), (-0.9, -2.8, 0)),
            ),
            {9: sculptor.vector(half, 0, -2.4, 0.3), 8: sculptor.vector(half, 0, -2.0, 0.2)},
            reach_mm=22,
        ),
        "browOuterUp": solve(
            brow(
                ((0.2, 0.8, 0), (0.6, 2.8, -0.2), (1.2, 5.6, -0.8), (1.5, 7.2, -1.5), (1.2, 5.6, -1.5)),
                ((0.2, 0.8, 0), (0.6, 2.6, -0.2), (1.1, 5.2, -0.8), (1.4, 6.6, -1.5), (1.1, 5.0, -1.5)),
            ),
            reach_mm=26,
        ),
        "eyeBlink": solve(sculptor.lids(half, 1.0), reach_mm=13),
        "eyeWide": solve(lid(2.6, -0.6), brow(((0, 0.8, 0),) * 5, ((0, 0.8, 0),) * 5), reach_mm=14),
        "eyeSquint": solve(lid(-1.4, 2.6), points({apple: (0, 1.5, 0.8)}), reach_mm=14),
    }
    down = {i: 0.45 * v for i, v in sculptor.lids(half, 1.0).items() if i in half.upper_lid}
    shapes["eyeLookDown"] = sculptor.turn_iris(
        solve(down | {i: v for i, v in lid(0, -1.2).items() if i in half.lower_lid}, reach_mm=13), half, 0, -GAZE_RAD
    )
    shapes["eyeLookUp"] = sculptor.turn_iris(solve(lid(1.8, 0.8), reach_mm=13), half, 0, GAZE_RAD)
    nothing = np.zeros((groups.COUNT, 3))
    shapes["eyeLookIn"] = sculptor.turn_iris(nothing.copy(), half, -GAZE_RAD, 0)
    shapes["eyeLookOut"] = sculptor.turn_iris(nothing.copy(), half, GAZE_RAD, 0)
    return shapes


def _both_sided(sculptor: Sculptor) -> dict[str, np.ndarray]:
    """The shapes without a left and a right."""
    s, d = _ALONG, _INWARD
    solve, scale = sculptor.solve, sculptor.mouth_scale

    def both(handles_of: Callable[[HalfFace], Handles]) -> Handles:
        # The middle of the mouth belongs to both halves: its sideways motion cancels in the mean.
        left, right = handles_of(LEFT), handles_of(RIGHT)
        return {i: (left.get(i, v) + right.get(i, v)) / 2 for i, v in (left | right).items()}

    def lips(upper: Profile, lower: Profile) -> Handles:
        return both(lambda half: sculptor.lips(half, upper, lower))

    def points(vectors_of: Callable[[HalfFace], dict[int, Vector]], by: float = 1.0) -> Handles:
        return both(lambda half: sculptor.points(half, vectors_of(half), by))

    jaw_open = sculptor.jaw_open()
    corner = s**1.3
    middle = 1 - s**2

    # Sideways: positive x is the subject's left; `toward` is +1 on the half that the mouth moves to.
    def sideways(target: HalfFace) -> np.ndarray:
        handles: Handles = {}
        for half in HALVES:
            toward = 1.0 if half is target else -1.0
            lateral = toward * (8.0 - 1.5 * corner * (toward > 0))
            forward = -2.5 * corner if toward > 0 else 1.0 * corner
            for index, value in sculptor.lips(half, (lateral, 0, forward), (lateral, 0, forward)).items():
                handles[index] = (handles[index] + value) / 2 if index in handles else value
            handles |= sculptor.points(
                half, {half.cheek_hollow[3]: (toward * 4.0, 0, 0), half.nasolabial[3]: (toward * 4.0, 0, 0)}, scale
            )
        handles |= {200: sculptor.vector(target, 3.0, 0, 0, scale)}
        return solve(handles, reach_mm=30)

    def brow_inner_up(half: HalfFace) -> dict[int, Vector]:
        rises = (6.5, 4.6, 2.2, 0.6, 0.0)
        upper = {i: (0.2 * rise, rise, -0.5) for i, rise in zip(half.brow_upper, rises, strict=True)}
        return upper | {i: (0.2 * rise, 0.92 * rise, -0.5) for i, rise in zip(half.brow_lower, rises, strict=True)}

    return {
        "browInnerUp": solve(
            points(brow_inner_up),
            {9: sculptor.vector(LEFT, 0, 5.0, 0), 8: sculptor.vector(LEFT, 0, 4.2, 0)},
            reach_mm=26,
        ),
        "cheekPuff": solve(
            points(
                lambda half: dict(
                    zip(half.cheek_hollow, ((4, 0, 6), (8, 0, 7), (9, 0, 5), (9, -1, 4), (7, -1, 6)), strict=True)
                ),
                scale,
            ),
            lips((-1.0 * corner, 0, 1.5), (-1.0 * corner, 0, 1.5)),
            reach_mm=34,
        ),
        "jawOpen": jaw_open,
        "jawForward": sculptor.jaw_weight * sculptor.vector(LEFT, 0, 0, 6.0),
        "jawLeft": sculptor.jaw_weight * sculptor.vector(LEFT, 7.0, 0, 0),
        "jawRight": sculptor.jaw_weight * sculptor.vector(RIGHT, 7.0, 0, 0),
        "mouthClose": solve(
            dict.fromkeys(groups.CHIN[:3], np.zeros(3)), sculptor.closing(sculptor.face + jaw_open), reach_mm=22
        ),
        "mouthFunnel": solve(
            lips(
                (-6.5 * corner, (4.5 - 1.0 * d) * middle, 6.0 * middle + 2.5 * s),
                (-6.5 * corner, (-5.0 + 1.0 * d) * middle, 6.5 * middle + 2.5 * s),
            ),
            points(lambda half: {half.nasolabial[4]: (-3.0, 0, 1.5), half.cheek_hollow[3]: (-3.0, 0, 1.0)}, scale),
            reach_mm=26,
        ),
        "mouthPucker": solve(
            lips(
                (-11.0 * corner, (1.2 - 2.2 * d) * middle, 7.0 * middle + 3.5 * s),
                (-11.0 * corner, (-1.4 + 2.4 * d) * middle, 7.0 * middle + 3.5 * s),
            ),
            points(
                lambda half: {
                    half.nasolabial[4]: (-5.5, 0, 2.0),
                    half.cheek_hollow[3]: (-5.0, 0, 1.5),
                    half.cheek_hollow[1]: (-4, 0, 0),
                },
                scale,
            ),
            reach_mm=30,
        ),
        "mouthLeft": sideways(LEFT),
        "mouthRight": sideways(RIGHT),
        "mouthRollLower": solve(
            lips((0, -0.4 * middle, 0), (0, (4.2 - 1.2 * d) * middle, (-2.0 - 3.5 * d) * middle)),
            {200: sculptor.vector(LEFT, 0, 1.0, 0)},
            reach_mm=16,
        ),
        "mouthRollUpper": solve(
            lips((0, (-3.2 + 1.0 * d) * middle, (-1.5 - 3.5 * d) * middle), (0, 0.4 * middle, 0)), reach_mm=14
        ),
        "mouthShrugLower": solve(
            lips((0, 0, 0), (0, (4.0 + 0.5 * d) * (1 - 0.8 * s), (2.5 + 0.5 * d) * middle)),
            {
                index: sculptor.vector(LEFT, 0, up, 1.0, scale)
                for index, up in zip(groups.CHIN, (1.0, 2.2, 3.5, 4.0), strict=True)
            },
            reach_mm=24,
        ),
        "mouthShrugUpper": solve(lips((0, 4.0 * (1 - 0.7 * s), 2.5 * middle), (0, 0, 0)), reach_mm=16),
        # The topology has no tongue: the lower lip makes way for it.
        "tongueOut": solve(lips((0, 0, 0), (0, -1.2 * d * middle, 0.6 * d * middle)), reach_mm=10),
    }
