"""The surface that a depth image shows: its points, its normals, and where they are at another time."""

from __future__ import annotations

import cv2
import numpy as np

from ..workspace.camera import Camera
from ..workspace.poses import to_pixels
from ..workspace.shapes import Bool, Float, Int
from .head import Moment

SMOOTHING_M = 0.004
"""Standard deviation over which a normal is fitted: on a face nothing finer is surface, but noise of the depth."""
_MIN_SMOOTHING_PX = 1.0


def along_axis(depth_m: Float[np.ndarray, "height width"], camera: Camera) -> Float[np.ndarray, "height width"]:
    """Depth along the optical axis from distances along the rays, metres; 0 stays 0."""
    return (depth_m / camera.ray_lengths()).astype(np.float32)


def points_m(z_m: Float[np.ndarray, "height width"], camera: Camera) -> Float[np.ndarray, "height width 3"]:
    """The points that the pixels show, in the camera's axes."""
    x, y = camera.ray_slopes()
    return np.stack(np.broadcast_arrays(x * z_m, y * z_m, z_m), -1)


def normals(z_m: Float[np.ndarray, "height width"], camera: Camera) -> Float[np.ndarray, "height width 3"]:
    """Unit normals towards the camera, in its axes (x right, y down, z forward); 0 where there is no depth.

    On a plane 1/z is linear in the image, so a plane is fitted to it about each pixel, by least squares with Gaussian weights.

    Args:
        z_m: depth along the optical axis; 0 for none.
    """
    seen = (z_m > 0).astype(np.float32)
    result = np.zeros((*z_m.shape, 3), np.float32)
    if not seen.any():
        return result
    inverse = seen / np.where(z_m > 0, z_m, 1).astype(np.float32)
    sigma_px = max(_MIN_SMOOTHING_PX, SMOOTHING_M * camera.focal_px / float(np.median(z_m[z_m > 0])))
    offset = np.arange(-np.ceil(3 * sigma_px), np.ceil(3 * sigma_px) + 1)
    weight = np.exp(-0.5 * (offset / sigma_px) ** 2)
    kernels = [(weight * offset**power).astype(np.float32) for power in range(3)]

    def moment(image: np.ndarray, x: int, y: int) -> np.ndarray:
        return cv2.sepFilter2D(image, cv2.CV_32F, kernels[x], kernels[y], borderType=cv2.BORDER_CONSTANT)

    total = np.maximum(moment(seen, 0, 0), 1e-6)
    x, y, middle = moment(seen, 1, 0) / total, moment(seen, 0, 1) / total, moment(inverse, 0, 0) / total
    xx, yy = moment(seen, 2, 0) / total - x * x, moment(seen, 0, 2) / total - y * y
    xy = moment(seen, 1, 1) / total - x * y
    by_x, by_y = moment(inverse, 1, 0) / total - x * middle, moment(inverse, 0, 1) / total - y * middle
    # A lone pixel has no spread: it faces the camera.
    scale = 1.0 / np.maximum(xx * yy - xy * xy, 1e-3)
    slope_x, slope_y = scale * (yy * by_x - xy * by_y), scale * (xx * by_y - xy * by_x)
    at_pixel = middle - slope_x * x - slope_y * y
    across, along = camera.ray_slopes()
    slope_x, slope_y = slope_x * camera.focal_px, slope_y * camera.focal_px
    result[...] = -np.stack([slope_x, slope_y, at_pixel - slope_x * across - slope_y * along], -1)
    result /= np.maximum(np.linalg.norm(result, axis=-1, keepdims=True), 1e-12)
    return result * seen[..., None]


def rigid_motion(
    z_m: Float[np.ndarray, "height width"], now: Moment, other: Moment
) -> Float[np.ndarray, "height width 2"]:
    """As `HeadRenderer.motion`, of a head that moves as one piece.

    Args:
        z_m: depth along the optical axis `now`; 0 for none.
    """
    seen = z_m > 0
    result = np.zeros((*z_m.shape, 2), np.float32)
    moved = other.head_to_camera @ np.linalg.inv(now.head_to_camera)
    here = points_m(z_m, now.camera)[seen].astype(np.float64)
    there = here @ moved[:3, :3].T + moved[:3, 3]
    there[:, 2] = np.maximum(there[:, 2], 1e-3)
    places = [
        to_pixels(points, moment.camera.focal_px, np.array(moment.camera.principal_px))
        for points, moment in ((there, other), (here, now))
    ]
    result[seen] = places[0] - places[1]
    return result


def nearest(
    known: Bool[np.ndarray, "height width"],
) -> tuple[Int[np.ndarray, "height width"], Int[np.ndarray, "height width"]]:
    """Row and column of the nearest known pixel, of each pixel; its own where it is known, and where none is."""
    rows, columns = np.indices(known.shape, np.int32)
    if not known.any() or known.all():
        return rows, columns
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    count = int(labels.max()) + 1
    row_of, column_of = np.zeros((2, count), np.int32)
    row_of[labels[known]], column_of[labels[known]] = rows[known], columns[known]
    return row_of[labels], column_of[labels]
