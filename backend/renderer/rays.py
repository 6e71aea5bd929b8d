"""Rays of a pinhole camera in the head's frame. OpenCV axes: x right, y down, z forward; pixel centres at n + 0.5."""

from __future__ import annotations

import numpy as np

from ..workspace.camera import Camera


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
