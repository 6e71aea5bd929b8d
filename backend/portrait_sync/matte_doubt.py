"""Where a hair matte may be wrong: holes before a wall of the hair's colours, and pieces of wall that it took along.

Where the frame has the head neither is seen: the composite is the frame, whatever the matte says. Where the head is moved both are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..workspace.arrays import smoothstep
from ..workspace.shapes import Float, UInt8
from .beyond_frame import CROWN_BAND
from .fill import disc, push_pull, without_notches
from .head_region import BROW, face_frame
from .matting import Estimator, away_from_shades
from .pixels import largest, to_bytes

FACE_PX = 55.0
"""Height of a face at which they are found, at most."""
APART = (0.03, 0.15)
"""`Estimator.apart` at which hair and what is behind it look the same, and from which on they differ."""
NOISE = 3.0
"""Standard deviation of either, in 8-bit levels."""
NOTCH = 0.15
"""Half the width of a notch in a crown that may be none, in face heights."""
SHADOW = (12.0, 30.0)
"""Difference from all shades of the hair nearby, in 8-bit levels, up to which a hole may show hair, and from which on it does not."""
VISIBLE = 8
"""Difference of a frame from its plate, in 8-bit levels, that is seen."""
INSIDE = 0.05
"""From so far inside the outline on hair is certain, in face heights: its colour is that of the hair nearby."""
OTHER = (20.0, 45.0)
"""Difference from it, in 8-bit levels, up to which a place is hair, and from which on it is none."""
STEPS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
"""What holds none of these, at `FACE_PX`, is the steps and the softness of an outline."""


def no_doubt() -> np.ndarray:
    """As `replace_by` takes it."""
    return np.zeros((0, 0, 2), np.uint8)


def with_least_alpha(mattes: np.ndarray, frame: np.ndarray, plate: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mattes whose head is opaque enough to make the frame of its plate where no frame shows the background.

    With the frame C and the plate P, of α·F = C − (1 − α)·P each channel is in [0, 255·α]: so α is at least (C − P) / (255 − P) and
    (P − C) / P. Else what is guessed there shows as a streak beside the hair.

    Args:
        mattes: (H, W, 4) uint8; frame, plate: (H, W, 3) uint8; seen: (H, W) bool.

    Returns:
        (H, W, 4) uint8; `mattes` where nothing is missing.
    """
    rows, columns = np.nonzero((largest(cv2.absdiff(frame, plate)) > VISIBLE) & ~seen)
    shown, guess = frame[rows, columns].astype(np.float32), plate[rows, columns].astype(np.float32)
    least = np.maximum((shown - guess) / np.maximum(255 - guess, 1), (guess - shown) / np.maximum(guess, 1)).max(1)
    missing = 255 * least > mattes[rows, columns, 0]
    if not missing.any():
        return mattes
    result, at = mattes.copy(), (rows[missing], columns[missing])
    enough = np.ceil(255 * least[missing])
    for channel in (result[..., 0], result[..., 3]):
        channel[at] = np.maximum(channel[at], enough)
    return result


@dataclass(frozen=True)
class HairColours:
    """A window of a frame, reduced: hair and what is behind it.

    Attributes:
        frame, plate, mattes: as `Workspace` reads them.
        seen: how much of the background is known: there hair was measured against it.
        brow_row: the first row that is not above the brows: from there on grey temples differ from the hair nearby as much as a wall
            does.
        face_height: pixels of these.
    """

    frame: UInt8[np.ndarray, "h w 3"]
    plate: UInt8[np.ndarray, "h w 3"]
    mattes: UInt8[np.ndarray, "h w 4"]
    seen: Float[np.ndarray, "h w"]
    brow_row: int
    face_height: float

    @classmethod
    def of(
        cls, frame: np.ndarray, plate: np.ndarray, mattes: np.ndarray, seen: np.ndarray, landmarks_px: np.ndarray
    ) -> HairColours:
        """Of a window at its own size; seen: (H, W) bool, landmarks_px: (478, 2) in it."""
        face_height, brow_px = face_frame(landmarks_px).height, landmarks_px[BROW, 1]
        share = min(1.0, FACE_PX / face_height)
        size = tuple(max(1, round(share * length)) for length in seen.shape[::-1])
        small, behind, parts, known = (
            cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            for image in (frame, plate, mattes, seen.astype(np.float32))
        )
        return cls(small, behind, parts, known, max(0, math.ceil(share * brow_px - 0.5)), share * face_height)

    def doubt(self, shape: tuple[int, int]) -> UInt8[np.ndarray, "height width 2"]:
        """How far holes in the frame's hair, and how far hair itself, may be none, 0 to 255; at the window's own size."""
        head = cv2.compare(self.mattes[..., 0], 127, cv2.CMP_GT)
        sure = cv2.compare(self.mattes[..., 1], 230, cv2.CMP_GT)
        sure &= cv2.erode(head, disc(INSIDE * self.face_height), borderValue=0)
        frame, plate = self.frame.astype(np.float32), self.plate.astype(np.float32)
        hair = push_pull(frame, sure.astype(np.float32) / 255)
        apart = Estimator.between(hair, plate, np.full(head.shape, NOISE, np.float32)).apart
        # Beyond the head's outline a hole is none, and what is no hair in any shadow is no hair.
        hole = smoothstep(*APART[::-1], apart) * (self._holes(head) > 0)
        hole *= smoothstep(*SHADOW[::-1], np.abs(away_from_shades(frame, hair)).max(2))
        other = smoothstep(*OTHER, np.abs(frame - hair).max(2)) * (self.mattes[..., 1] > 230) * (1.0 - self.seen)
        other[self.brow_row :] = 0.0
        # A line along an outline is its rim. Where the frame cuts a crown off there is none; where not, the first rows have no hair.
        below = slice(math.ceil(CROWN_BAND * self.face_height), None)
        other[below] = cv2.morphologyEx(other.astype(np.float32), cv2.MORPH_OPEN, STEPS)[below]
        both = cv2.merge([to_bytes(hole, 255.0), to_bytes(other, 255.0)])
        return cv2.resize(both, shape[::-1], interpolation=cv2.INTER_LINEAR)

    def _holes(self, head: np.ndarray) -> np.ndarray:
        """(h, w) uint8: holes and notches of a head that are more than the steps of its outline, and the pixels next to them."""
        closed = without_notches(head, NOTCH * self.face_height)
        missing = cv2.morphologyEx(closed & ~head, cv2.MORPH_OPEN, STEPS)
        return closed & cv2.dilate(missing, np.ones((3, 3), np.uint8))
