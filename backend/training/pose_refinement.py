"""Poses refined by the picture: direct alignment of each frame with the field's own rendering of it.

The rendered head is moved by a small rigid motion until its picture matches the frame (Lucas and Kanade's
linearisation, with the mean of both pictures' gradients as in Malis 2004). Only what is rigid counts: mouth and eyes
are left out by the field's regions. Landmarks jitter by half a pixel from frame to frame; thousands of pixels don't.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..renderer.cameras import Camera
from ..renderer.field import Region, region_weight
from ..renderer.render import Renderer

# How far a tracked pose is expected to be off: the prior that keeps an ill-seen motion (depth, above all) in place.
_PRIOR_ROTATION_RAD = np.radians(0.5)
_PRIOR_SHIFT_M = 0.002
_PRIOR_DEPTH_M = 0.006
_NOISE = 12.0  # grey levels a pixel, after robust weighting
_HUBER = 10.0


def refine_pose(
    renderer: Renderer,
    camera: Camera,
    pose: np.ndarray,
    blendshapes: np.ndarray,
    frame: np.ndarray,
    alpha: np.ndarray,
    regions: tuple[Region, ...],
    iterations: int = 2,
) -> np.ndarray:
    """A better head_to_camera for one frame.

    Args:
        camera: of the small pictures aligned.
        pose: (4, 4) as tracked.
        frame: (H, W, 3) uint8 of the camera's size.
        alpha: (H, W) uint8, its head matte.
        regions: where the face moves by itself; left out.
    """
    reference, result = pose, pose
    target = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 0.7)
    for _ in range(iterations):
        picture = renderer.render(camera, result, blendshapes)
        matrix, residual = _equations(picture, camera, result, target, alpha, regions)
        if len(residual) < 200:
            return result
        prior = np.array([_PRIOR_ROTATION_RAD] * 3 + [_PRIOR_SHIFT_M] * 2 + [_PRIOR_DEPTH_M])
        moved = _difference(reference, result)
        normal = matrix.T @ matrix / _NOISE**2 + np.diag(prior**-2)
        step = np.linalg.solve(normal, matrix.T @ residual / _NOISE**2 - moved / prior**2)
        if not np.isfinite(step).all():
            return result
        result = _move(result, step)
    return result


def _equations(picture, camera: Camera, pose, target, alpha, regions) -> tuple[np.ndarray, np.ndarray]:
    use = (picture.rgba[..., 3] > 0.9) & (alpha > 230) & (picture.depth_m > 0)
    use = cv2.erode(use.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rows, columns = np.nonzero(use)
    distance = picture.depth_m[rows, columns]
    u, v = columns + 0.5 - camera.principal_px[0], rows + 0.5 - camera.principal_px[1]
    along = np.stack([u / camera.focal_px, v / camera.focal_px, np.ones_like(u)], 1)
    points = along / np.linalg.norm(along, axis=1, keepdims=True) * distance[:, None]
    in_head = torch.from_numpy(((points - pose[:3, 3]) @ pose[:3, :3]).astype(np.float32))
    rigid = np.ones(len(rows), np.float32)
    for region in regions:
        rigid *= 1 - region_weight(in_head, region).numpy()
    rendered = cv2.GaussianBlur(picture.rgba[..., :3] * 255, (0, 0), 0.7)
    mean = (rendered + target) / 2
    across, down = cv2.Scharr(mean, -1, 1, 0) / 32, cv2.Scharr(mean, -1, 0, 1) / 32
    x, y, z = points.T
    f, zero = camera.focal_px, np.zeros_like(x)
    du = np.stack([f / z, zero, -f * x / z**2], 1)
    dv = np.stack([zero, f / z, -f * y / z**2], 1)
    arm = points - pose[:3, 3]
    # d(point)/d(rotation) is -[arm]x; written out row by row for du, dv.
    turn_u, turn_v = np.cross(arm, du), np.cross(arm, dv)
    by_u, by_v = np.concatenate([turn_u, du], 1), np.concatenate([turn_v, dv], 1)
    gradient_u, gradient_v = across[rows, columns], down[rows, columns]
    residual = rendered[rows, columns] - target[rows, columns]
    matrix = gradient_u[:, :, None] * by_u[:, None] + gradient_v[:, :, None] * by_v[:, None]
    weight = rigid[:, None] * np.minimum(1, _HUBER / np.maximum(np.abs(residual), 1e-3))
    weight = np.sqrt(weight)
    return (matrix * weight[..., None]).reshape(-1, 6).astype(np.float64), (residual * weight).ravel().astype(
        np.float64
    )


def _move(pose: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Turn about the head's origin by step[:3] (rotation vector, camera axes), then shift by step[3:]."""
    moved = pose.copy()
    moved[:3, :3] = Rotation.from_rotvec(step[:3]).as_matrix() @ pose[:3, :3]
    moved[:3, 3] = pose[:3, 3] + step[3:]
    return moved


def _difference(reference: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """The step that `_move` would need to come from `reference` to `pose`."""
    turn = Rotation.from_matrix(pose[:3, :3] @ reference[:3, :3].T).as_rotvec()
    return np.concatenate([turn, pose[:3, 3] - reference[:3, 3]])
