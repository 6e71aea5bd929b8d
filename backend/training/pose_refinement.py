"""Pose refinement: direct alignment of each frame with the field's rendering of it.

The rendered head is moved by a small rigid motion until it matches the frame (Lucas and Kanade's linearisation), at some
thousand pixels with structure. Mouth and eyes, which are not rigid, are excluded by the field's regions. Landmarks jitter
by half a pixel from frame to frame; thousands of pixels together do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..renderer.head import HeadRenderer
from ..renderer.regions import Region, region_weight
from ..workspace.camera import Camera
from .dataset import Frame

# Expected errors of a tracked pose: the prior for poorly constrained motions, above all depth.
_PRIOR_ROTATION_RAD = np.radians(0.5)
_PRIOR_SHIFT_M = 0.002
_PRIOR_DEPTH_M = 0.006
_NOISE = 120.0
"""Grey levels per pixel: far above the camera's noise, as a field's errors are correlated between neighbouring pixels."""
_HUBER = 10.0
_SQUARE = 4
PIXELS = 4000


@dataclass(frozen=True)
class Refined:
    """The alignment of one frame.

    Attributes:
        pose: (4, 4) head_to_camera.
        normal: (7, 7) the last normal equations, without prior: rotation, translation, logarithm of the focal length.
        gradient: (7) their right side; both are 0 where alignment failed.
    """

    pose: np.ndarray
    normal: np.ndarray
    gradient: np.ndarray


def refine_pose(
    renderer: HeadRenderer,
    camera: Camera,
    pose: np.ndarray,
    blendshapes: np.ndarray,
    frame: Frame,
    regions: tuple[Region, ...],
    rng: np.random.Generator,
    pixels: int = PIXELS,
    iterations: int = 2,
) -> Refined:
    """A better head_to_camera for one frame.

    Args:
        camera: of the reduced frame that `frame` is cut from.
        pose: (4, 4) as tracked.
        regions: excluded, as the face is not rigid there.
        rng: chooses the pixels, those with more structure more often.
    """
    failed = Refined(pose, np.zeros((7, 7)), np.zeros(7))
    target = cv2.GaussianBlur(frame.colour.astype(np.float32), (0, 0), 0.7)
    across, down = cv2.Scharr(target, -1, 1, 0) / 32, cv2.Scharr(target, -1, 0, 1) / 32
    inside = cv2.erode(frame.alpha, np.ones((7, 7), np.uint8)) > 230
    if frame.covered is not None:
        inside &= cv2.dilate(frame.covered.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
    structure = np.sqrt(np.einsum("yxc,yxc->yx", across, across) + np.einsum("yxc,yxc->yx", down, down)) * inside
    total = float(structure.sum())
    if total < 1:
        return failed
    rows, columns = _structured(structure * (pixels / total), rng)
    if len(rows) < 200:
        return failed
    across, down, target = across[rows, columns], down[rows, columns], target[rows, columns]
    u, v = columns + (frame.x0 + 0.5), rows + (frame.y0 + 0.5)
    prior = np.array([_PRIOR_ROTATION_RAD] * 3 + [_PRIOR_SHIFT_M] * 2 + [_PRIOR_DEPTH_M])
    result = pose
    for _ in range(iterations):
        rgba, depth = renderer.render_rays(camera, result, blendshapes, u, v)
        matrix, residual = _equations(rgba, depth, camera, result, u, v, across, down, target, regions)
        normal, right = matrix.T @ matrix / _NOISE**2, matrix.T @ residual / _NOISE**2
        step = np.linalg.solve(normal[:6, :6] + np.diag(prior**-2), right[:6] - _difference(pose, result) / prior**2)
        if not np.isfinite(step).all():
            return failed
        result = move(result, step)
    return Refined(result, normal, right - normal[:, :6] @ step)


def _structured(chance: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of random pixels, by squares of 4: for neighbours, a kernel reads the same entries of its tables.

    Args:
        chance: (H, W) of each pixel; that of a square is its pixels' mean.
    """
    height, width = (side // _SQUARE for side in chance.shape)
    mean = cv2.resize(chance[: height * _SQUARE, : width * _SQUARE], (width, height), interpolation=cv2.INTER_AREA)
    row, column = np.nonzero(mean > rng.random(mean.shape, np.float32))
    rows, columns = np.divmod(np.arange(_SQUARE**2), _SQUARE)
    return (row[:, None] * _SQUARE + rows).ravel(), (column[:, None] * _SQUARE + columns).ravel()


def focal_step(frames: list[Refined], sigma: float) -> float:
    """Change of the logarithm of the focal length that fits all frames best.

    Each frame's six pose unknowns are eliminated (Schur complement), so perspective alone counts, not the head's size.

    Args:
        sigma: of a prior on that change.
    """
    normal, gradient = sigma**-2, 0.0
    loose = np.diag(np.array([_PRIOR_ROTATION_RAD] * 3 + [0.05, 0.05, 0.5]) ** -2)
    for frame in frames:
        if frame.normal[6, 6] > 0:
            along = np.linalg.solve(frame.normal[:6, :6] + loose, frame.normal[:6, 6])
            normal += frame.normal[6, 6] - frame.normal[6, :6] @ along
            gradient += frame.gradient[6] - along @ frame.gradient[:6]
    return float(gradient / normal)


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
    by_u = np.concatenate([np.cross(arm, du), du, (f * x / z)[:, None]], 1)
    by_v = np.concatenate([np.cross(arm, dv), dv, (f * y / z)[:, None]], 1)
    residual = rgba[:, :3] * 255 - target
    matrix = across[:, :, None] * by_u[:, None] + down[:, :, None] * by_v[:, None]
    weight = np.sqrt(weight[:, None] * np.minimum(1, _HUBER / np.maximum(np.abs(residual), 1e-3)))
    return (matrix * weight[..., None]).reshape(-1, 7), (residual * weight).ravel()


def move(pose: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Turn about the head's origin by step[:3] (rotation vector, camera axes), then shift by step[3:]."""
    moved = pose.copy()
    moved[:3, :3] = Rotation.from_rotvec(step[:3]).as_matrix() @ pose[:3, :3]
    moved[:3, 3] = pose[:3, 3] + step[3:]
    return moved


def _difference(reference: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """The step that `move` would need to come from `reference` to `pose`."""
    turn = Rotation.from_matrix(pose[:3, :3] @ reference[:3, :3].T).as_rotvec()
    return np.concatenate([turn, pose[:3, 3] - reference[:3, 3]])
