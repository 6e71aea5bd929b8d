"""Where a hair matte may be wrong: holes before a wall of the hair's colours, and pieces of wall that it took along.

Where the frame has the head neither is seen: the composite is the frame, whatever the matte says. Where the head is moved both are.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..workspace.arrays import smoothstep
from ..workspace.shapes import Bool, UInt8
from .fill import disc, push_pull, without_notches
from .matting import Estimator
from .pixels import to_bytes

SHARE = 0.5
"""Size at which they are found."""
APART = (0.03, 0.15)
"""`Estimator.apart` at which hair and what is behind it cannot, and can, be told apart by their colours."""
NOISE = 3.0
"""Standard deviation of either, in 8-bit levels."""
NOTCH = 0.15
"""Half the width of a notch in a crown that may be none, in face heights."""
INSIDE = 0.05
"""From so far inside the outline on hair is certain, in face heights: its colour is that of the hair nearby."""
OTHER = (20.0, 45.0)
"""Difference from it, in 8-bit levels, up to which a place is hair, and from which on it is none."""


def matte_doubt(
    frame: UInt8[np.ndarray, "height width 3"],
    plate: UInt8[np.ndarray, "height width 3"],
    mattes: UInt8[np.ndarray, "height width 4"],
    seen: Bool[np.ndarray, "height width"],
    face_height: float,
) -> UInt8[np.ndarray, "height width 2"]:
    """How far holes in a frame's hair, and how far hair itself, may be none, 0 to 255.

    Args:
        plate: the frame without its head.
        mattes: of `Workspace.read_matte`.
        seen: where the background is known: there hair was measured against it.
        face_height: pixels.
    """
    shape = frame.shape[:2]
    size = tuple(max(1, round(SHARE * length)) for length in shape[::-1])
    images = frame, plate, mattes, seen.astype(np.float32)
    small, behind, parts, known_behind = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images)
    unit = SHARE * face_height
    head = cv2.compare(parts[..., 0], 127, cv2.CMP_GT)
    known = cv2.erode(head, disc(INSIDE * unit), borderValue=255) & cv2.compare(parts[..., 1], 230, cv2.CMP_GT)
    frame_colour = small.astype(np.float32)
    hair = push_pull(frame_colour, known.astype(np.float32) / 255)
    apart = Estimator.between(hair, behind.astype(np.float32), np.full(size[::-1], NOISE, np.float32)).apart
    # Beyond the head's outline a hole is none.
    hole = smoothstep(*APART[::-1], apart) * (without_notches(head, NOTCH * unit) > 0)
    other = smoothstep(*OTHER, np.abs(frame_colour - hair).max(2)) * (parts[..., 1] > 127)
    other *= 1.0 - known_behind
    both = cv2.merge([to_bytes(hole, 255.0), to_bytes(other, 255.0)])
    return cv2.resize(both, shape[::-1], interpolation=cv2.INTER_LINEAR)
