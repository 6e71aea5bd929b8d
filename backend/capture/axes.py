"""Head rotations of other programs in the head frame (x to the right of the image, y down, z into the head)."""

from __future__ import annotations

import numpy as np

from ..workspace.poses import rotation_exp
from ..workspace.shapes import Float

Y_UP = np.diag([1.0, -1.0, -1.0])
"""Axes of ARKit, glTF, VRM, BVH and USD with Y up, whose face looks along +z: as rows in the head frame."""

Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Axes of Blender and of USD with Z up, whose face looks along -y: as rows in the head frame."""


def in_head_frame(
    turn: Float[np.ndarray, "*batch 3 3"], axes: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotations about the axes of a program, such as `Y_UP`, as rotations in the head frame."""
    return axes @ turn @ axes.T


def turn_of(angles: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotations in the head frame of yaw, pitch and roll in radians.

    They are turns about ARKit's axes y (up), x (to the right of the image) and z (out of the face), right-handed, the
    roll first: positive yaw faces the right of the image, positive pitch nods, positive roll leans to the left of the image.
    """
    yaw, pitch, roll = np.moveaxis(angles, -1, 0)
    zero = np.zeros_like(yaw)
    about = (np.stack(axis, -1) for axis in ((zero, yaw, zero), (pitch, zero, zero), (zero, zero, roll)))
    about_y, about_x, about_z = (rotation_exp(vectors) for vectors in about)
    return in_head_frame(about_y @ about_x @ about_z, Y_UP)


def angles_of(turn: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Yaw, pitch and roll, radians, of rotations in the head frame: the inverse of `turn_of` for pitches below 90°."""
    arkit = in_head_frame(turn, Y_UP)
    yaw = np.arctan2(arkit[..., 0, 2], arkit[..., 2, 2])
    pitch = np.arcsin(np.clip(-arkit[..., 1, 2], -1, 1))
    roll = np.arctan2(arkit[..., 1, 0], arkit[..., 1, 1])
    return np.stack([yaw, pitch, roll], -1)
