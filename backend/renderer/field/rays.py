"""Rays of a pinhole camera in the head's frame. OpenCV axes: x right, y down, z forward; pixel centres at n + 0.5."""

from __future__ import annotations

import numpy as np

from ...workspace.camera import Camera
from ...workspace.shapes import Float, Int


def pixel_rays(
    camera: Camera,
    head_to_camera: Float[np.ndarray, "*one_or_rays 4 4"],
    u: Float[np.ndarray, " rays"],
    v: Float[np.ndarray, " rays"],
) -> tuple[Float[np.ndarray, "rays 3"], Float[np.ndarray, "rays 3"]]:
    """Origins in metres and unit directions, in the head's frame, of rays through pixel positions u, v."""
    rotation, translation = head_to_camera[..., :3, :3], head_to_camera[..., :3, 3]
    cx, cy = camera.principal_px
    towards = np.stack([(u - cx) / camera.focal_px, (v - cy) / camera.focal_px, np.ones_like(u)], -1)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    directions = np.einsum("...ij,...i->...j", rotation, towards)
    origins = np.broadcast_to(-np.einsum("...ij,...i->...j", rotation, translation), directions.shape)
    return np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32)


def image_rays(
    camera: Camera,
    head_to_camera: Float[np.ndarray, "4 4"],
    u: Float[np.ndarray, " rays"],
    v: Float[np.ndarray, " rays"],
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "rays 3"]]:
    """As `pixel_rays` for one pose, several times as fast: the camera's position and the directions."""
    rotation, translation = head_to_camera[:3, :3], head_to_camera[:3, 3]
    towards = np.empty((len(u), 3), np.float32)
    towards[:, 0] = (u - camera.principal_px[0]) / camera.focal_px
    towards[:, 1] = (v - camera.principal_px[1]) / camera.focal_px
    towards[:, 2] = 1
    directions = towards @ rotation.astype(np.float32)
    directions /= np.sqrt(np.einsum("ri,ri->r", towards, towards))[:, None]
    return (-translation @ rotation).astype(np.float32), directions


def surface_points(
    camera: Camera,
    head_to_camera: Float[np.ndarray, "4 4"],
    depth_m: Float[np.ndarray, "height width"],
    rows: Int[np.ndarray, " pixels"],
    columns: Int[np.ndarray, " pixels"],
) -> Float[np.ndarray, "pixels 3"]:
    """Where the surface that pixels show is in the head's frame, metres, from its distance along their rays."""
    origin, directions = image_rays(camera, head_to_camera, columns + 0.5, rows + 0.5)
    return origin + directions * depth_m[rows, columns, None]
