"""Poses refined by the picture: direct alignment of each frame with the field's own rendering of it.

The rendered head is moved by a small rigid motion until its picture matches the frame (Lucas and Kanade's
linearisation), at a thousand pixels with structure. Only what is rigid counts: mouth and eyes are left out by the
field's regions. Landmarks jitter by half a pixel from frame to frame; a thousand pixels together don't.
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
    rng: np.random.Generator,
    corner: tuple[int, int] = (0, 0),
    pixels: int = 3000,
    iterations: int = 2,
) -> np.ndarray:
    """A better head_to_camera for one frame.

    Args:
        camera: of the whole picture that `frame` is cut from.
        pose: (4, 4) as tracked.
        frame: (H, W, 3) uint8.
        alpha: (H, W) uint8, its head matte.
        regions: where the face moves by itself; left out.
        rng: chooses the pixels, those with more structure more often.
        corner: x, y of the frame's first pixel in the camera's picture.
    """
    target = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 0.7)
    across, down = cv2.Scharr(target, -1, 1, 0) / 32, cv2.Scharr(target, -1, 0, 1) / 32
    structure = np.sqrt((across**2 + down**2).sum(-1)) * (cv2.erode(alpha, np.ones((7, 7), np.uint8)) > 230)
    total = float(structure.sum())
    if total < 1:
        return pose
    chosen = np.flatnonzero(structure.ravel() * (pixels / total) > rng.random(structure.size))
    rows, columns = np.divmod(chosen, frame.shape[1])
    if len(rows) < 200:
        return pose
    across, down, target = across[rows, columns], down[rows, columns], target[rows, columns]
    u, v = columns + corner[0] + 0.5, rows + corner[1] + 0.5
    prior = np.array([_PRIOR_ROTATION_RAD] * 3 + [_PRIOR_SHIFT_M] * 2 + [_PRIOR_DEPTH_M])
    result = pose
    for _ in range(iterations):
        rgba, depth = renderer.render_rays(camera, result, blendshapes, u, v)
        matrix, residual = _equations(rgba, depth, camera, result, u, v, across, down, target, regions)
        normal = matrix.T @ matrix / _NOISE**2 + np.diag(prior**-2)
        step = np.linalg.solve(normal, matrix.T @ residual / _NOISE**2 - _difference(pose, result) / prior**2)
        if not np.isfinite(step).all():
            return pose
        result = _move(result, step)
    return result


def _equations(rgba, depth, camera: Camera, pose, u, v, across, down, target, regions) -> tuple[np.ndarray, np.ndarray]:
    """Rows of  gradient · d(u, v)/d(step) · step = rendered - frame, weighted; a miss weighs nothing."""
    f = camera.focal_px
    along = np.stack([(u - camera.principal_px[0]) / f, (v - camera.principal_px[1]) / f, np.ones_like(u)], 1)
    points = along / np.linalg.norm(along, axis=1, keepdims=True) * depth[:, None]
    in_head = torch.from_numpy(((points - pose[:3, 3]) @ pose[:3, :3]).astype(np.float32))
    weight = ((rgba[:, 3] > 0.9) & (depth > 0)).astype(np.float64)
    for region in regions:
        weight *= 1 - region_weight(in_head, region).numpy()
    x, y, z = points[:, 0], points[:, 1], np.maximum(points[:, 2], 1e-3)
    zero = np.zeros_like(x)
    du = np.stack([f / z, zero, -f * x / z**2], 1)
    dv = np.stack([zero, f / z, -f * y / z**2], 1)
    arm = points - pose[:3, 3]
    # A turn w moves the point by w x arm, and du · (w x arm) = w · (arm x du).
    by_u, by_v = np.concatenate([np.cross(arm, du), du], 1), np.concatenate([np.cross(arm, dv), dv], 1)
    residual = rgba[:, :3] * 255 - target
    matrix = across[:, :, None] * by_u[:, None] + down[:, :, None] * by_v[:, None]
    weight = np.sqrt(weight[:, None] * np.minimum(1, _HUBER / np.maximum(np.abs(residual), 1e-3)))
    return (matrix * weight[..., None]).reshape(-1, 6), (residual * weight).ravel()


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
