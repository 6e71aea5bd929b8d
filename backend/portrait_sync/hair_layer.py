"""The footage's own hair as a layer: put over a rendered head it brings each strand, where and how it hangs in that frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..workspace.shapes import UInt8
from .fill import dilated, disc
from .head_region import BROW, face_frame, face_oval

SPREAD = 0.05
"""How far about the hair the frame is taken, in face heights: loose strands, and what a rendered head shows beyond them."""
CLEAR = 0.15
"""How far about the hair the frame is taken where speech changes nothing, in face heights: there a rendered head may leave faint
strands."""
CLEAR_OF_FACE = 0.03
"""Standard deviation of the distance that this keeps from the face, which moves with the speech, in face heights."""
SOFTNESS = 0.015
"""Standard deviation of its border, in face heights."""
OVAL_SOFTNESS = 0.02
"""The same where it meets the face (`paper_blend.SIGMA`)."""


@dataclass(frozen=True)
class HairLayer:
    """A window of one working frame.

    Attributes:
        x, y, width, height: of the window in the working frame, pixels.
        head: the frame's head, display-encoded colour times alpha, and alpha: over the plate it is the frame.
        weight: where it replaces a rendered head, 0 to 255.
        face_height: from the top of the forehead to the chin, pixels.
    """

    x: int
    y: int
    head: UInt8[np.ndarray, "height width 4"]
    weight: UInt8[np.ndarray, "height width"]
    face_height: float

    @property
    def mattes(self) -> UInt8[np.ndarray, "height width 4"]:
        """What the layer's head is of mouth, hair and skin, and its alpha: hair alone."""
        alpha = self.head[..., 3]
        nothing = np.zeros_like(alpha)
        return np.stack([nothing, alpha, nothing, alpha], -1)

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    @property
    def height(self) -> int:
        return self.weight.shape[0]


def hair_layer(frame: np.ndarray, plate: np.ndarray, mattes: np.ndarray, landmarks_px: np.ndarray) -> HairLayer | None:
    """The hair of a frame; None where it shows none.

    With the frame C, the plate P and the head's matte α, the layer is (C − (1 − α)·P, α). It counts on the hair and `SPREAD`
    about it, but not on the face: that moves with the speech. Above the brows hair counts inside the face's oval as well, and
    what speech does not change as far as `CLEAR`.

    Args:
        frame, plate: (S, S, 3) uint8.
        mattes: (S, S, 4) uint8, of `Workspace.read_matte`.
        landmarks_px: (478, 2).
    """
    axes = face_frame(landmarks_px)
    hair = mattes[..., 1]
    found = np.nonzero(hair > 127)
    if found[0].size < (0.02 * axes.height) ** 2:
        return None
    margin = round((CLEAR + 4 * SOFTNESS) * axes.height) + 1
    window = tuple(
        slice(max(0, int(at.min()) - margin), min(hair.shape[0], int(at.max()) + margin + 1)) for at in found
    )
    hair = hair[window]
    landmarks = landmarks_px - np.array([window[1].start, window[0].start])
    oval = face_oval(landmarks, hair.shape, 1.0)
    face = cv2.GaussianBlur(oval, (0, 0), OVAL_SOFTNESS * axes.height)
    weight = np.maximum(
        _about(hair, SPREAD * axes.height, axes.height) * (1.0 - face),
        hair.astype(np.float32) / 255 * _above_brows(landmarks, hair.shape),
    )
    still = _still(mattes[window][..., 3], oval, landmarks)
    weight = np.maximum(weight, still * _about(hair, CLEAR * axes.height, axes.height))
    alpha = mattes[window][..., :1]
    colour = frame[window].astype(np.float32) - (1.0 - alpha.astype(np.float32) / 255) * plate[window]
    head = np.concatenate([np.clip(colour + 0.5, 0, alpha).astype(np.uint8), alpha], 2)
    return HairLayer(window[1].start, window[0].start, head, cv2.convertScaleAbs(255 * weight), axes.height)


def _still(person: np.ndarray, oval: np.ndarray, landmarks_px: np.ndarray) -> np.ndarray:
    """(H, W) float32: 1 where speech changes nothing: beside the face and the jaw; below the chin, which may open, only where the frame
    shows the background."""
    axes = face_frame(landmarks_px)
    beside = np.clip((-0.05 - axes.coordinates(oval.shape, 1.0)[1]) / 0.1, 0.0, 1.0)
    sigma = CLEAR_OF_FACE * axes.height
    near = np.minimum(2.0 * cv2.GaussianBlur(cv2.dilate(oval, disc(0.5 * sigma)), (0, 0), sigma), 1.0)
    return np.maximum(1.0 - person.astype(np.float32) / 255, beside) * (1.0 - near)


def _about(hair: np.ndarray, reach_px: float, face_height: float) -> np.ndarray:
    """(H, W) float32: 1 on the hair and up to `reach_px` about it, with a soft border."""
    grown = cv2.GaussianBlur(dilated(hair, reach_px), (0, 0), SOFTNESS * face_height)
    return grown.astype(np.float32) / 255


def _above_brows(landmarks_px: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) float32: 1 from a tenth of the face's height above the brows on."""
    axes = face_frame(landmarks_px)
    down = axes.coordinates(shape, 1.0)[1]
    brow = float((landmarks_px[BROW] - axes.chin) @ axes.down) / axes.height
    return np.clip((brow - 0.05 - down) / 0.05, 0.0, 1.0)
