"""Building blocks of the blendshapes: handles on lips, lids and jaw, and the skin that follows them."""

from __future__ import annotations

import math

import numpy as np

from ..workspace import landmarks as groups
from ..workspace.landmarks import HALVES, LEFT, RIGHT, HalfFace
from .deformation import FaceDeformer

JAW_OPEN_RAD = math.radians(17.0)
EYEBALL_RADIUS_M = 0.012
ADULT_MOUTH_WIDTH_M = 0.050
ADULT_EYE_WIDTH_M = 0.028

Handles = dict[int, np.ndarray]
"""Landmark to its displacement, metres."""

Vector = tuple[float, float, float]
Profile = tuple[float | np.ndarray, float | np.ndarray, float | np.ndarray]
"""(lateral, up, forward) millimetres along the lips; each a number or (4, 6)."""


class Sculptor:
    """Builds single shapes on one face. Vectors are written (lateral, up, forward) in millimetres: lateral is away from
    the middle of the face on the half's own side, so that one recipe serves both."""

    def __init__(self, face: np.ndarray) -> None:
        self.face = face
        self.deformer = FaceDeformer(face)
        corner = np.linalg.norm(face[LEFT.mouth_corner] - face[RIGHT.mouth_corner])
        self.mouth_scale = float(corner) / ADULT_MOUTH_WIDTH_M
        eye_widths = [np.linalg.norm(np.subtract(*face[list(half.eye_corners)])) for half in HALVES]
        self.eye_scale = float(np.mean(eye_widths)) / ADULT_EYE_WIDTH_M
        self.jaw_weight = self._jaw_weight()
        held = [i for half in HALVES for i in (*half.upper_lid, *half.lower_lid, *half.eye_corners)]
        self._held = {i: np.zeros(3) for i in (*held, *groups.FOREHEAD_TOP, 6, 197)}

    @staticmethod
    def vector(
        half: HalfFace,
        lateral: float | np.ndarray,
        up: float | np.ndarray,
        forward: float | np.ndarray,
        scale: float = 1.0,
    ) -> np.ndarray:
        """(..., 3) head-frame metres of a vector in the half's own millimetres."""
        side = 1.0 if half is LEFT else -1.0
        lateral, up, forward = np.broadcast_arrays(lateral, up, forward)
        return np.stack([side * lateral, -up, -forward], -1) * (scale / 1000)

    def points(self, half: HalfFace, vectors: dict[int, Vector], scale: float = 1.0) -> Handles:
        return {index: self.vector(half, *value, scale) for index, value in vectors.items()}

    def lips(self, half: HalfFace, upper: Profile, lower: Profile) -> Handles:
        """Handles of one half of the mouth. `upper` and `lower` are (lateral, up, forward), each a number or (4, 6):
        layers from the outer to the inner edge, places from the middle to the corner. At the corner both must agree;
        where they do not, their mean is taken."""
        handles: dict[int, list[np.ndarray]] = {}
        for arcs, motion in ((half.upper_lip, upper), (half.lower_lip, lower)):
            lateral, up, forward = (np.broadcast_to(part, (4, 6)) for part in motion)
            vectors = self.vector(half, lateral, up, forward, self.mouth_scale)
            for layer in range(4):
                for place in range(6):
                    handles.setdefault(arcs[layer][place], []).append(vectors[layer, place])
        return {index: np.mean(values, 0) for index, values in handles.items()}

    def solve(self, *handles: Handles, reach_mm: float, hold_lips: bool = True) -> np.ndarray:
        """(478, 3): the skin moved by `handles`; lids, forehead and (unless they are given) the lips stay.

        Where only one half of the mouth is given, the motion of its middle fades out over the other half."""
        given: Handles = {}
        for part in handles:
            given |= part
        merged = dict(self._held)
        if hold_lips:
            for half in HALVES:
                for arc in (*half.upper_lip, *half.lower_lip):
                    middle = given.get(arc[0], np.zeros(3))
                    merged |= {index: middle * (1 - place / 5) ** 2 for place, index in enumerate(arc)}
        merged |= given
        result = np.zeros((groups.COUNT, 3))
        result[: groups.SKIN_COUNT] = self.deformer.interpolate(merged, reach_mm / 1000)
        return result

    def _jaw_weight(self) -> np.ndarray:
        """(478, 1) in [0, 1]: how much of the jaw's motion each landmark takes."""
        handles: dict[int, float] = dict.fromkeys(groups.CHIN, 1.0) | dict.fromkeys(groups.FOREHEAD_TOP, 0.0)
        for half in HALVES:
            handles |= zip(half.jaw_line, (0, 0.08, 0.22, 0.42, 0.62, 0.8, 0.92, 1, 1, 1), strict=True)
            for upper, lower in zip(half.upper_lip, half.lower_lip, strict=True):
                for place in range(6):
                    along = place / 5
                    handles[upper[place]] = 0.5 * along**3
                    handles[lower[place]] = 1 - 0.5 * along**2
            handles |= dict.fromkeys((*half.upper_lid, *half.lower_lid, *half.nose_wing, half.cheek_apple), 0.0)
            handles |= dict.fromkeys(half.nasolabial[:3], 0.0)
        handles |= dict.fromkeys(groups.NOSE_TIP, 0.0)
        weight = np.zeros((groups.COUNT, 1))
        field = self.deformer.interpolate({index: np.array([value]) for index, value in handles.items()}, reach_m=1.0)
        weight[: groups.SKIN_COUNT] = np.clip(field, 0, 1)
        return weight

    def jaw_open(self) -> np.ndarray:
        """The jaw turned down about the axis through the hinges (temporomandibular joints), just before the ears."""
        hinge = self.face[[LEFT.ear, RIGHT.ear]].mean(0) + np.array([0, 0.004, -0.006])
        cosine, sine = math.cos(JAW_OPEN_RAD), math.sin(JAW_OPEN_RAD)
        # About +x with y down and z into the head, a positive turn takes the chin (before the hinge, -z) down (+y).
        turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        moved = (self.face - hinge) @ turn.T + hinge
        narrowing = np.zeros_like(self.face)
        for half in HALVES:
            for arc in (*half.upper_lip, *half.lower_lip):
                for place, index in enumerate(arc):
                    narrowing[index] = self.vector(half, -3.0 * (place / 5) ** 2, 0, 0, self.mouth_scale)
        return self.jaw_weight * (moved - self.face) + narrowing

    def closing(self, opened: np.ndarray) -> Handles:
        """Handles that bring the lips of an open jaw together (the upper lip travels a third of the way)."""
        handles: dict[int, list[np.ndarray]] = {}
        for half in HALVES:
            inner_upper, inner_lower = half.upper_lip[-1], half.lower_lip[-1]
            for place in range(6):
                gap = opened[inner_lower[place]] - opened[inner_upper[place]]
                gap[0] = 0
                for arcs, share in ((half.upper_lip, 0.35), (half.lower_lip, -0.65)):
                    for arc in arcs:
                        handles.setdefault(arc[place], []).append(share * gap)
        return {index: np.mean(values, 0) for index, values in handles.items()}

    def eyeball(self, half: HalfFace) -> np.ndarray:
        """(3,) centre of the eyeball: behind the iris by its radius, between the lids' corners from side to side."""
        centre = self.face[half.iris[0]].copy()
        centre[2] += EYEBALL_RADIUS_M
        return centre

    def lids(self, half: HalfFace, closing: float, lower_share: float = 0.15) -> Handles:
        """Handles that bring the lids together by `closing` (1: shut); the lower one goes `lower_share` of the way."""
        handles = {}
        for upper, lower in zip(half.upper_lid, half.lower_lid, strict=True):
            line = self.face[lower] + lower_share * (self.face[upper] - self.face[lower])
            line[0] = 0.5 * (self.face[upper, 0] + self.face[lower, 0])
            for index in (upper, lower):
                handles[index] = closing * (self._over_eyeball(half, line, self.face[index]) - self.face[index])
        return handles

    def _over_eyeball(self, half: HalfFace, target: np.ndarray, start: np.ndarray) -> np.ndarray:
        """`target` at the distance from the eyeball's centre that `start` has: a lid slides, it does not sink."""
        centre = self.eyeball(half)
        radius = max(float(np.linalg.norm(start - centre)), EYEBALL_RADIUS_M)
        across = float(np.linalg.norm(target[:2] - centre[:2]))
        depth = math.sqrt(max(radius**2 - across**2, 0.25 * radius**2))
        return np.array([target[0], target[1], min(centre[2] - depth, start[2] + 0.002)])

    def turn_iris(self, shape: np.ndarray, half: HalfFace, yaw: float, pitch: float) -> np.ndarray:
        """Add to `shape` the iris turned about the eyeball's centre: `yaw` outwards, `pitch` up, radians."""
        side = 1.0 if half is LEFT else -1.0
        index = list(half.iris)
        centre = self.eyeball(half)
        cy, sy = math.cos(side * yaw), math.sin(side * yaw)
        cp, sp = math.cos(pitch), math.sin(pitch)
        around_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        around_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        shape[index] += (self.face[index] - centre) @ (around_x @ around_y).T + centre - self.face[index]
        return shape
