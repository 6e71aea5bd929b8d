"""A pinhole camera. OpenCV axes: x right, y down, z forward; the first pixel's centre is (0.5, 0.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PIXEL_CENTRE = 0.5
"""The first pixel's centre, both ways. OpenCV counts it as 0: what comes from OpenCV gets this added, what goes to it
has it subtracted."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. All lengths in pixels of its own picture."""

    width: int
    height: int
    focal_px: float
    principal_px: tuple[float, float]

    def scaled(self, width: int, height: int) -> Camera:
        """The same view with another number of pixels (same aspect)."""
        x, y = width / self.width, height / self.height
        return Camera(width, height, self.focal_px * x, (self.principal_px[0] * x, self.principal_px[1] * y))


def project(camera: Camera, head_to_camera: np.ndarray, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (…, 2) and depths (…) in metres of points (…, 3) in the head's frame."""
    points = points_m @ head_to_camera[:3, :3].T + head_to_camera[:3, 3]
    depth = points[..., 2]
    return points[..., :2] / depth[..., None] * camera.focal_px + np.asarray(camera.principal_px), depth
