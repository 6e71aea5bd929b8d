"""Detail: what the mean of many frames loses is added to what a head is fitted to.

52 numbers and a pose do not say all of a frame. A head that is fitted to frames which they tell apart no further becomes their mean:
a little blurred. Unsharp masking is linear, so a head that is fitted to sharpened frames becomes their sharpened mean: no image
costs more to draw, and a head that is exported has it as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import cv2
import numpy as np

from ...workspace.shapes import Bool, Float, UInt8
from ..dataset import Frame

RADIUS_PX = 0.9
"""Standard deviation of the blur in the mask."""
MOST = 1.2
"""Times that the mask is added, at most."""
_INSET_PX = 3
"""What is nearer to the matte's border is left alone: it is mixed with what was behind."""
_MIXED_PX = 2.0


@dataclass(frozen=True)
class Detail:
    """How many times the mask is added at the mouth, at the eyes and elsewhere."""

    mouth: float
    eyes: float
    elsewhere: float

    def and_more(self, missing: Detail) -> Detail:
        """With what a head still misses that was fitted to frames with this detail: at most `MOST`."""
        return Detail(*(min(own + more, MOST) for own, more in zip(astuple(self), astuple(missing), strict=True)))

    def to_json(self) -> list[float]:
        return [round(amount, 3) for amount in astuple(self)]


def sharpened(frame: Frame, detail: Detail) -> UInt8[np.ndarray, "height width 3"]:
    """The frame's colour, sharpened inside its matte."""
    amounts = np.full(frame.alpha.shape, detail.elsewhere, np.float32)
    mouth, eyes = _parts(frame)
    amounts[eyes], amounts[mouth] = detail.eyes, detail.mouth
    amounts = cv2.GaussianBlur(amounts, (0, 0), _MIXED_PX)
    inside = cv2.erode(frame.alpha, np.ones((2 * _INSET_PX + 1,) * 2, np.uint8))
    amounts *= cv2.GaussianBlur(inside, (0, 0), 1.0).astype(np.float32) / 255
    colour = frame.colour.astype(np.float32)
    return np.clip(colour + amounts[..., None] * _mask(colour) + 0.5, 0, 255).astype(np.uint8)


def missing_detail(pairs: Iterable[tuple[Float[np.ndarray, "height width 3"], Frame]]) -> Detail:
    """What makes drawn images as sharp as their frames: of equal gradient energy in each part.

    The energy of a drawn image g with a times its mask h is |g|² + 2a g·h + a² |h|², which is solved for a.

    Args:
        pairs: drawn colours in the frame's crop, in [0, 255], and the frame.
    """
    sums = np.zeros((3, 4))
    for drawn, frame in pairs:
        mouth, eyes = _parts(frame)
        inside = cv2.erode(frame.alpha, np.ones((2 * _INSET_PX + 1,) * 2, np.uint8)) > 250
        if frame.covered is not None:
            inside &= ~frame.covered
        real, own, more = (_gradient(image) for image in (frame.colour.astype(np.float32), drawn, _mask(drawn)))
        for row, part in enumerate((mouth, eyes & ~mouth, ~eyes & ~mouth)):
            shown = part & inside
            for column, (one, other) in enumerate(((real, real), (own, own), (own, more), (more, more))):
                sums[row, column] += float((one * other).sum(0)[shown].sum(dtype=np.float64))
    true, energy, both, mask = sums.T
    root = np.sqrt(np.maximum(both**2 - mask * (energy - true), 0.0))
    amounts = np.clip((root - both) / np.maximum(mask, 1e-9), 0.0, MOST)
    return Detail(*np.where(true > energy, amounts, 0.0).tolist())


def _mask(colour: np.ndarray) -> np.ndarray:
    return colour - cv2.GaussianBlur(colour, (0, 0), RADIUS_PX)


def _gradient(colour: np.ndarray) -> np.ndarray:
    """(2, H, W) of the luminance."""
    return np.stack(np.gradient(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)))


def _parts(frame: Frame) -> tuple[Bool[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
    """The mouth and the eyes."""
    found = []
    for boxes in (frame.boxes[1:2], frame.boxes[2:]):
        part = np.zeros(frame.alpha.shape, bool)
        for x0, y0, x1, y1 in boxes.round().astype(int).tolist():
            part[y0:y1, x0:x1] = True
        found.append(part)
    return found[0], found[1]
