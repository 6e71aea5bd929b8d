"""A made-up face with known motion, and what a landmarker without error would see of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from backend.head_sync.face_geometry import CHIN, FOREHEAD_TOP
from backend.workspace.landmarks import LEFT_PUPIL, MIDLINE, PAIRS, RIGHT_PUPIL
from backend.workspace.poses import make_poses, project

SIZE = 512
FOCAL = 1200.0
PRINCIPAL = np.array([256.0, 256.0])


@dataclass
class MadeUp:
    """A face (478, 3) in the head frame, its poses (N, 4, 4), and what a landmarker without error would see of it."""

    face: np.ndarray
    poses: np.ndarray
    landmarks_px: np.ndarray
    depth: np.ndarray


def make_face() -> np.ndarray:
    """Landmarks on a half ellipsoid, mirrored as a face's are, with a nose; in the canonical head frame, metres."""
    rng = np.random.default_rng(4)
    x, y = rng.uniform(-0.07, 0.07, 478), rng.uniform(-0.11, 0.06, 478)
    x[MIDLINE], y[MIDLINE] = 0, np.linspace(-0.11, -0.01, len(MIDLINE))
    x[PAIRS[:, 0]] = -np.abs(x[PAIRS[:, 1]])
    x[PAIRS[:, 1]] = np.abs(x[PAIRS[:, 1]])
    y[PAIRS[:, 0]] = y[PAIRS[:, 1]]
    x[[RIGHT_PUPIL, LEFT_PUPIL]], y[[RIGHT_PUPIL, LEFT_PUPIL]] = [-0.0315, 0.0315], -0.045
    x[[FOREHEAD_TOP, CHIN]], y[[FOREHEAD_TOP, CHIN]] = 0, [-0.105, 0.065]
    z = -0.1 * np.sqrt(np.maximum(1 - (x / 0.09) ** 2 - ((y + 0.02) / 0.14) ** 2, 0))
    z -= 0.025 * np.exp(-((x / 0.012) ** 2) - ((y + 0.02) / 0.02) ** 2)
    z[[RIGHT_PUPIL, LEFT_PUPIL]] = -0.085
    z[CHIN] = z[FOREHEAD_TOP]
    return np.stack([x, y, z], 1)


def make_motion(frames: int) -> np.ndarray:
    """Poses (N, 4, 4) of a head that nods, turns and sways about a metre away."""
    time = np.arange(frames) / 25
    turn = np.stack([6 * np.sin(1.9 * time), 12 * np.sin(1.1 * time + 1), 4 * np.sin(0.8 * time)], 1)
    place = np.stack([0.02 * np.sin(0.7 * time), 0.01 * np.cos(time), 1.0 + 0.02 * np.sin(0.5 * time)], 1)
    return make_poses(Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), place)


def make_observed(face: np.ndarray, poses: np.ndarray) -> MadeUp:
    """What an exact landmarker tells: pixels, and depth in pixels at the face's scale."""
    camera = face @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
    depth = (camera[..., 2] - poses[:, None, 2, 3]) * FOCAL / poses[:, None, 2, 3]
    return MadeUp(face, poses, project(poses, face, FOCAL, PRINCIPAL), depth)
