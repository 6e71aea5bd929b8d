"""Rays of a pinhole camera in the head's frame. OpenCV axes: x right, y down, z forward; pixel centres at n + 0.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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


def pixel_rays(
    camera: Camera, head_to_camera: np.ndarray, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rays through pixel positions.

    Args:
        head_to_camera: (4, 4), or (R, 4, 4) for a pose a ray.
        u, v: (R,) positions in pixels (centre of the first pixel: 0.5, 0.5).

    Returns:
        (R, 3) float32 origins in metres and (R, 3) float32 unit directions, in the head's frame.
    """
    rotation, translation = head_to_camera[..., :3, :3], head_to_camera[..., :3, 3]
    cx, cy = camera.principal_px
    towards = np.stack([(u - cx) / camera.focal_px, (v - cy) / camera.focal_px, np.ones_like(u)], -1)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    directions = np.einsum("...ij,...i->...j", rotation, towards)
    origins = np.broadcast_to(-np.einsum("...ij,...i->...j", rotation, translation), directions.shape)
    return np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32)


def picture_rays(
    camera: Camera, head_to_camera: np.ndarray, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As `pixel_rays` for one pose: the camera's place (3,) and the directions (R, 3); several times as fast."""
    rotation, translation = head_to_camera[:3, :3], head_to_camera[:3, 3]
    towards = np.empty((len(u), 3), np.float32)
    towards[:, 0] = (u - camera.principal_px[0]) / camera.focal_px
    towards[:, 1] = (v - camera.principal_px[1]) / camera.focal_px
    towards[:, 2] = 1
    directions = towards @ rotation.astype(np.float32)
    directions /= np.sqrt(np.einsum("ri,ri->r", towards, towards))[:, None]
    return (-translation @ rotation).astype(np.float32), directions


def project(camera: Camera, head_to_camera: np.ndarray, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (…, 2) and depths (…) in metres of points (…, 3) in the head's frame."""
    points = points_m @ head_to_camera[:3, :3].T + head_to_camera[:3, 3]
    depth = points[..., 2]
    return points[..., :2] / depth[..., None] * camera.focal_px + np.asarray(camera.principal_px), depth
