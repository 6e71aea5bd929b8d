"""Live Link Face's CSV of an animation, for what reads the app's takes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.animation import Animation
from ...workspace.files import atomic_path
from ...workspace.frame_rate import Timecode
from ...workspace.shapes import Float
from ..axes import angles_of

_SHAPES = (
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft", "EyeSquintLeft", "EyeWideLeft",
    "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight", "EyeSquintRight",
    "EyeWideRight", "JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker",
    "MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight",
    "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight", "MouthRollLower", "MouthRollUpper",
    "MouthShrugLower", "MouthShrugUpper", "MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft",
    "MouthLowerDownRight", "MouthUpperUpLeft", "MouthUpperUpRight", "BrowDownLeft", "BrowDownRight", "BrowInnerUp",
    "BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft",
    "NoseSneerRight", "TongueOut",
)  # fmt: skip
"""In the app's order, for readers that go by position: JawRight before JawLeft."""
_ANGLES = tuple(f"{of}{angle}" for of in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll"))
_THEIRS = np.array([BLENDSHAPE_NAMES.index(name[0].lower() + name[1:]) for name in _SHAPES])


def write_live_link(path: Path, animation: Animation, middle: Float[np.ndarray, "3 3"], start: Timecode) -> None:
    """Write the file, atomically.

    The eyes' own angles are 0: gaze is in the eyeLook shapes, and the app's scale of those angles is not documented.

    Args:
        middle: the rotation of a pose at which the head's angles are 0.
        start: the time code of the first frame.
    """
    values = np.zeros((animation.frames, len(_SHAPES) + len(_ANGLES)))
    values[:, : len(_SHAPES)] = animation.blendshapes[:, _THEIRS]
    values[:, len(_SHAPES) : len(_SHAPES) + 3] = angles_of(middle.T @ animation.head_to_camera[:, :3, :3])
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Timecode", "BlendShapeCount", *_SHAPES, *_ANGLES])
        for frame, row in enumerate(values):
            writer.writerow([f"{start.later(frame)}.000", values.shape[1], *(f"{value:.7f}" for value in row)])
