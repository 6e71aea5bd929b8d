"""Coordinate changes of the actor: face frame (mm, y up) to head frame (m, y down), poses, and the camera."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

# The head frame's origin lies near the atlas joint: 85 mm behind and 45 mm below the midpoint between the pupils.
ORIGIN_IN_FACE_MM = np.array([0.0, -45.0, -85.0])
FACE_TO_HEAD_AXES = np.diag([1.0, -1.0, -1.0])


def face_to_head(points_mm: np.ndarray) -> np.ndarray:
    """Points (…,3) from the face frame (mm) to the head frame (m): x to image right, y down, z into the head."""
    return (points_mm - ORIGIN_IN_FACE_MM) @ FACE_TO_HEAD_AXES / 1000.0


def directions_to_head(directions: np.ndarray) -> np.ndarray:
    """Directions or displacements (…,3) from the face frame to the head frame's axes; lengths are kept."""
    return directions @ FACE_TO_HEAD_AXES


def focal_px(size: int) -> float:
    """Focal length in pixels of the 80 mm lens (36 mm wide sensor) of the actor's camera."""
    return size * 80.0 / 36.0


def rotation(euler_deg: np.ndarray) -> np.ndarray:
    """Rotations (N,3,3) in OpenCV camera axes from (N,3) pitch (nods down), yaw (to image right), roll (clockwise)."""
    # The face points along -z: a positive angle about +x drops the chin, and a negative one about y turns to +x.
    pitch, yaw, roll = np.moveaxis(euler_deg, -1, 0)
    return Rotation.from_euler("YXZ", np.stack([-yaw, pitch, roll], -1), degrees=True).as_matrix()


# Position of the neutral head's origin: the head fills about half of the image's height.
NEUTRAL_POSITION_M = np.array([0.0, 0.018, 1.145])


def head_to_camera(euler_deg: np.ndarray, shift_m: np.ndarray) -> np.ndarray:
    """Poses (N,4,4) that take head-frame points (m) to the OpenCV camera."""
    pose = np.tile(np.eye(4), (len(euler_deg), 1, 1))
    pose[:, :3, :3] = rotation(euler_deg)
    pose[:, :3, 3] = NEUTRAL_POSITION_M + shift_m
    return pose


def torso_to_camera(euler_deg: np.ndarray, shift_m: np.ndarray, follow: float = 0.16) -> np.ndarray:
    """Poses (N,4,4) of the shoulders: they take part in the head's turn by `follow`, about a point in the chest."""
    pose = head_to_camera(euler_deg * np.array([0.3, 1.0, 0.9]) * follow, shift_m * 0.55)
    chest = np.array([0.0, 0.25, 0.03])
    pose[:, :3, 3] += chest - np.einsum("nij,j->ni", pose[:, :3, :3], chest)
    return pose
