"""A made-up head: an ellipsoid of 20 cm covered with Gaussians, and views of it."""

from __future__ import annotations

import numpy as np

from backend.renderer.gaussians.kernels import View
from backend.renderer.gaussians.kernels.interface import COLOUR, LOG_SCALE, OPACITY, POSITION, ROTATION
from backend.workspace.camera import Camera
from backend.workspace.poses import rotation_exp

SEMI_AXES_M = np.array([0.075, 0.1, 0.085])


def make_attributes(count: int, seed: int = 0, sizes_m: tuple[float, float] = (0.002, 0.004)) -> np.ndarray:
    """Gaussians of random size, colour, opacity and rotation on the ellipsoid, (14, count)."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal((3, count))
    directions /= np.linalg.norm(directions, axis=0)
    attributes = np.zeros((14, count), np.float32)
    attributes[POSITION] = directions * SEMI_AXES_M[:, None] * (1 + 0.02 * random.standard_normal(count))
    attributes[LOG_SCALE] = np.log(random.uniform(*sizes_m, (3, count)))
    attributes[ROTATION] = random.standard_normal((4, count))
    attributes[OPACITY] = random.normal(0.5, 1.5, count)
    attributes[COLOUR] = 0.5 + 0.4 * np.sin(directions * 5 + random.uniform(-0.5, 0.5, (3, count)))
    return attributes


def make_order(attributes: np.ndarray) -> np.ndarray:
    """From front to back as a camera before the face sees them; the face looks at -z."""
    return np.argsort(attributes[2]).astype(np.int32)


def make_view(size: int = 64, height: int | None = None, turn_deg=(0.0, 0.0, 0.0), filter_m: float = 3e-4) -> View:
    """A camera 60 cm before the head, which is turned about its own axes."""
    camera = Camera(size, height or size, 2.05 * size, (size / 2, (height or size) / 2))
    pose = np.eye(4)
    pose[:3, :3] = rotation_exp(np.radians(turn_deg))
    pose[2, 3] = 0.6
    return View(camera, pose, filter_m)
