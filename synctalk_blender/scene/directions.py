"""What drives a head at one frame. No `bpy` here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Directions:
    """What the rig asks of the renderer at one frame."""

    head_to_camera: np.ndarray
    """(4, 4), OpenCV camera, metres."""
    blendshapes: np.ndarray
    """(52,), `protocol.BLENDSHAPE_NAMES`."""
    scale: float = 1.0
    """How many times larger than its own size the head is in the scene, and so further away than `head_to_camera` has it."""
