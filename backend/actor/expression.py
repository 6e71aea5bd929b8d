"""The 52 ARKit blendshapes of the actor, as displacement fields over the face.

Each shape is a smooth function of position on the sculpted (lips apart) face, in the face frame and in mm, so that
skin, lips, brow hair and lashes all move by the same field. Upper and lower lip, and upper and lower lid, are
separated by the lines between them. "Left" is the subject's left, x > 0.
"""

from __future__ import annotations

import numpy as np

from ..protocol import BLENDSHAPE_NAMES
from ..workspace.arrays import smoothstep
from .anatomy import CANTHUS_INNER, CANTHUS_OUTER, EYE_CENTRE, LIP_GAP, MOUTH_HALF_WIDTH, lid_margins, lip_line

JAW_HINGE = np.array([0.0, -18.0, -76.0])
JAW_OPEN_DEG = 17.0
BLINK = (0.92, -0.14)
"""A full blink: the upper margin comes down most of the way, the lower rises a little (see `FaceFields.lid_turn`)."""


def _gauss(points: np.ndarray, centre, sigma) -> np.ndarray:
    return np.exp(-0.5 * (((points - np.asarray(centre)) / np.asarray(sigma)) ** 2).sum(1))


def _field(weight: np.ndarray, vector) -> np.ndarray:
    """Displacements (N,3): `vector` times the weight (N,) of each point."""
    return weight[:, None] * np.asarray(vector, float)


def lower_weight(points: np.ndarray) -> np.ndarray:
    """1 on the lower lip's side of the mouth line, 0 on the upper; the change is sharp between the lips and wide beyond
    their corners (N,)."""
    a = np.abs(points[:, 0])
    band = 0.3 + 0.0045 * np.maximum(a - 7.0, 0) ** 2.5
    band = np.minimum(band, 45.0) + np.maximum(-6.0 - points[:, 2], 0) * 0.25
    return smoothstep(0, 1, (lip_line(a) - points[:, 1]) / (2 * band) + 0.5)


def rotated_about_x(points: np.ndarray, centre: np.ndarray, degrees) -> np.ndarray:
    """Points (N,3) turned about the x axis through `centre`; a positive angle takes y to z."""
    y, z = points[:, 1] - centre[1], points[:, 2] - centre[2]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.stack([points[:, 0], centre[1] + cos * y - sin * z, centre[2] + sin * y + cos * z], 1)


def jaw_rigid(points: np.ndarray) -> dict[str, np.ndarray]:
    """Displacements of what is fixed to the lower jaw (lower teeth, tongue root), by blendshape."""

    def moved(*by: float) -> np.ndarray:
        return np.tile(by, (len(points), 1))

    return {
        "jawOpen": rotated_about_x(points, JAW_HINGE, JAW_OPEN_DEG) - points,
        "jawForward": moved(0, -1.0, 6.0),
        "jawLeft": moved(8.0, 0, 0),
        "jawRight": moved(-8.0, 0, 0),
    }


class FaceFields:
    """Displacement fields of all shapes at `points` (N,3): `shapes()` gives {name: (N,3) mm}."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = np.asarray(points, float)
        x, y, z = self.points.T
        self.lower = lower_weight(self.points)
        self.front = smoothstep(-34, -8, z)
        self.left = smoothstep(-7, 7, x)
        self.side = {"Left": self.left, "Right": 1 - self.left}
        above = np.abs(y - lip_line(x))
        across = np.exp(-0.5 * (np.maximum(np.abs(x) - 20, 0) / 9) ** 2)
        near = np.exp(-0.5 * (np.maximum(above - 4, 0) / 8.5) ** 2) * across * self.front
        # Lip weights fall to nothing at the corners, which belong to both lips.
        rim = 1 - smoothstep(14, 27, np.abs(x)) * 0.85
        self.upper_lip, self.lower_lip = near * (1 - self.lower), near * self.lower
        self.upper_mid, self.lower_mid = self.upper_lip * rim, self.lower_lip * rim

    def _jaw_mask(self) -> np.ndarray:
        _, y, z = self.points.T
        below = (-118.0 - 0.55 * (z + 8)) - y  # how far under the jaw's lower edge
        return self.lower * (1 - smoothstep(0, 42, below)) * smoothstep(-84, -50, z)

    def _corner(self, side: str) -> np.ndarray:
        sign = 1 if side == "Left" else -1
        return _gauss(self.points, (sign * 27, -68, 3), (13, 14, 18)) * self.front

    def _lid_angles(self):
        centre = EYE_CENTRE
        a = np.abs(self.points[:, 0])
        x = np.clip(a, CANTHUS_INNER[0] + 0.3, CANTHUS_OUTER[0] - 0.3)
        upper, lower = lid_margins(x)
        depth = np.sqrt(np.maximum(13.4**2 - (x - centre[0]) ** 2, 16.0))
        angle = np.degrees(np.arctan2(self.points[:, 1] - centre[1], self.points[:, 2] - centre[2]))
        up, low = np.degrees(np.arctan2(upper, depth)), np.degrees(np.arctan2(lower, depth))
        near = np.exp(-0.5 * (np.maximum(np.abs(a - centre[0]) - 11, 0) / 4.0) ** 2)
        radius = np.linalg.norm((self.points - centre * np.array([0, 1, 1]))[:, 1:], axis=1)
        near = near * (1 - smoothstep(16, 27, radius)) * smoothstep(-16, -9, self.points[:, 2])
        return angle, up, low, near

    def lid_turn(self, upper: float, lower: float) -> np.ndarray:
        """Degrees (N,) by which points turn about the eye when its margins turn by parts of the eye's opening.

        Args:
            upper, lower: part by which each lid's margin moves down. Each lid's skin follows its margin and is stretched
                up to its fold.
        """
        angle, up, low, near = self._lid_angles()
        middle = low + 0.5 * (up - low)
        is_upper = angle > middle
        follow_up = 1 - smoothstep(up + 4, up + 36, angle)
        follow_low = 1 - smoothstep(-low + 3, -low + 30, -angle)
        a = np.abs(self.points[:, 0])
        between = smoothstep(CANTHUS_INNER[0] - 0.3, CANTHUS_INNER[0] + 2.7, a)
        between = between * (1 - smoothstep(CANTHUS_OUTER[0] - 2.7, CANTHUS_OUTER[0] + 0.3, a))
        share = np.where(is_upper, upper, lower)
        margin = between * share * (up - low)
        # The margins' turn falls steeply towards the corners of the eye; the skin beyond them follows more evenly.
        peak = share * (np.degrees(np.arctan2(4.7, 13.4)) - np.degrees(np.arctan2(-5.2, 13.4)))
        even = 0.9 * peak * np.exp(-0.5 * ((a - EYE_CENTRE[0]) / 8.0) ** 2)
        away = smoothstep(2, 16, np.where(is_upper, angle - up, low - angle))
        return near * (margin * (1 - away) + even * away) * np.where(is_upper, follow_up, follow_low)

    def lids(self, upper: float, lower: float, share: float = 1.0) -> np.ndarray:
        """Displacements of `share` of a turn of the lids; see `lid_turn`."""
        return rotated_about_x(self.points, EYE_CENTRE, share * self.lid_turn(upper, lower)) - self.points

    def rest(self) -> np.ndarray:
        """Displacement that closes the sculpted lips into the neutral mouth."""
        x, y, _ = self.points.T
        gap = np.sqrt(np.clip(1 - (x / MOUTH_HALF_WIDTH) ** 2, 0, 1)) * LIP_GAP * 0.5
        fade = np.exp(-0.5 * (np.maximum(np.abs(y - lip_line(x)) - 1, 0) / 4) ** 2)
        direction = np.where(y > lip_line(x), -1.0, 1.0)
        inside = (np.abs(x) < MOUTH_HALF_WIDTH) & (np.abs(y - lip_line(x)) < 16)
        return _field(direction * gap * fade * inside * 1.02, (0, 1, 0))

    def shapes(self) -> dict[str, np.ndarray]:
        """All 52 fields by ARKit name, plus `<name>Mid` corrections that keep a half-closed lid on the eye."""
        out = self._lower_face() | self._upper_face()
        assert set(BLENDSHAPE_NAMES) <= set(out)
        return out

    def _lower_face(self) -> dict[str, np.ndarray]:
        p, x = self.points, self.points[:, 0]
        out: dict[str, np.ndarray] = {}
        jaw = self._jaw_mask()
        hinge = rotated_about_x(p, JAW_HINGE, JAW_OPEN_DEG) - p
        chin = jaw[:, None] * hinge
        # The corners are pulled in as the jaw drops, and cheeks follow.
        pull = _gauss(p, (27, -70, 2), (12, 14, 18)) - _gauss(p, (-27, -70, 2), (12, 14, 18))
        out["jawOpen"] = chin + _field(pull * self.front, (-2.2, 0, 0))
        out["jawForward"] = _field(jaw, (0, -1, 6))
        out["jawLeft"], out["jawRight"] = _field(jaw, (8, 0, 0)), _field(jaw, (-8, 0, 0))

        lips = self.upper_lip + self.lower_lip
        meet = self.lower_lip[:, None] * -hinge * 0.72
        out["mouthClose"] = meet + _field(self.upper_lip, hinge[np.argmax(self.lower_mid)] * 0.28)
        inwards = np.sign(x) * smoothstep(0, 26, np.abs(x))
        ring = np.clip(lips + 0.5 * (self._corner("Left") + self._corner("Right")), 0, 1)
        out["mouthPucker"] = (
            np.stack([-11.5 * inwards * ring, 0 * x, 6.0 * ring], 1)
            + _field(self.upper_mid, (0, 0.6, 1.5))
            + _field(self.lower_mid, (0, -0.8, 1.5))
        )
        out["mouthFunnel"] = (
            np.stack([-7.5 * inwards * ring, 0 * x, 4.0 * ring], 1)
            + _field(self.upper_mid, (0, 4.2, 3.0))
            + _field(self.lower_mid, (0, -4.6, 3.0))
        )
        for side, sign in (("Left", 1.0), ("Right", -1.0)):
            corner, half = self._corner(side), self.side[side]
            cheek = _gauss(p, (sign * 40, -32, -8), (13, 13, 20))
            ala = _gauss(p, (sign * 15, -40, 11), (7, 8, 10))
            below_eye = _gauss(p, (sign * 33, -15, 0), (13, 7, 14))
            out["mouth" + side] = _field(np.clip(lips + 0.6 * corner, 0, 1), (sign * 8, 0, 0))
            out["mouthSmile" + side] = _field(corner, (sign * 8, 7.5, -4.0)) + _field(cheek, (sign, 3.2, 2.2))
            out["mouthFrown" + side] = _field(corner, (sign * 1.5, -7, -0.5))
            out["mouthDimple" + side] = _field(corner, (sign * 3.5, 0, -4.5))
            out["mouthStretch" + side] = _field(corner, (sign * 8, -2, -3))
            out["mouthPress" + side] = _field(self.upper_mid * half, (0, -1.2, -1.2)) + _field(
                self.lower_mid * half, (0, 1.2, -1.2)
            )
            out["mouthLowerDown" + side] = _field(self.lower_mid * half, (0, -7.5, 0.8))
            out["mouthUpperUp" + side] = _field(self.upper_mid * half, (0, 6.5, 0.6)) + _field(ala, (0, 1, 0))
            out["cheekSquint" + side] = _field(below_eye, (0, 4, 1)) + _field(cheek, (0, 2.5, 1.5))
            out["noseSneer" + side] = (
                _field(ala, (sign * 0.6, 4, 0))
                + _field(self.upper_mid * half, (0, 2.2, 0))
                + _field(_gauss(p, (sign * 8, -8, 6), (6, 12, 8)), (0, 1.5, 1))
            )
        down_in = _gauss(p, (0, -66, 10), (40, 9, 30))
        out["mouthRollUpper"] = _field(self.upper_mid * down_in, (0, -2.2, -4.2))
        out["mouthRollLower"] = _field(self.lower_mid, (0, 2.4, -4.6))
        chin_pad = _gauss(p, (0, -95, 8), (17, 12, 18)) * self.lower
        out["mouthShrugLower"] = _field(self.lower_mid, (0, 3.6, 1.6)) + _field(chin_pad, (0, 4, 1.5))
        out["mouthShrugUpper"] = _field(self.upper_mid, (0, 3.0, 2.0))
        puff = _gauss(p, (40, -58, -12), (15, 17, 24)) + _gauss(p, (-40, -58, -12), (15, 17, 24))
        out["cheekPuff"] = np.stack([8 * puff * np.sign(x), 0 * x, 6 * puff], 1)
        out["tongueOut"] = np.zeros_like(p)
        return out

    def _upper_face(self) -> dict[str, np.ndarray]:
        p, x = self.points, self.points[:, 0]
        out: dict[str, np.ndarray] = {}
        brow = _gauss(p, (0, 22, 5), (30, 12, 40)) * smoothstep(-30, -14, p[:, 2])
        inner = _gauss(p, (0, 23, 5), (16, 12, 30)) * smoothstep(-30, -14, p[:, 2])
        out["browInnerUp"] = _field(inner, (0, 7.5, 0.5)) + _field(_gauss(p, (0, 45, 8), (30, 16, 40)), (0, 2.5, 0))
        for side, sign in (("Left", 1.0), ("Right", -1.0)):
            half = smoothstep(-3, 10, sign * x)
            outer = _gauss(p, (sign * 40, 21, -4), (17, 12, 30)) * smoothstep(-34, -16, p[:, 2])
            out["browOuterUp" + side] = _field(outer, (0, 7.0, 0)) + _field(
                _gauss(p, (sign * 30, 45, 0), (22, 16, 40)), (0, 2, 0)
            )
            out["browDown" + side] = _field(brow * half, (-sign * 1.8, -5.0, 1.0))
            eye = smoothstep(0, 4, sign * x)[:, None]
            full = self.lids(*BLINK)
            out["eyeBlink" + side] = full * eye
            out[f"eyeBlink{side}Mid"] = (self.lids(*BLINK, share=0.5) - 0.5 * full) * eye
            below_eye = _field(_gauss(p, (sign * 33, -13, 0), (12, 5, 14)), (0, 2, 1))
            out["eyeSquint" + side] = self.lids(0.12, -0.26) * eye + below_eye
            out["eyeWide" + side] = self.lids(-0.2, 0.05) * eye
            out["eyeLookDown" + side] = self.lids(0.55, 0.12) * eye
            out["eyeLookUp" + side] = self.lids(-0.26, -0.1) * eye
            sideways = _gauss(p, (sign * 31, 0, 0), (10, 7, 8))
            out["eyeLookOut" + side] = _field(sideways, (sign * 0.9, 0, 0))
            out["eyeLookIn" + side] = _field(sideways, (-sign * 0.9, 0, 0))
        return out
