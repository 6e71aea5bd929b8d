"""Rotations, projection and poses as arrays. Camera as OpenCV's: x right, y down, z forward. A pose maps head to
camera."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp


def skew(vectors: np.ndarray) -> np.ndarray:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape, 3)


def rotation_exp(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3), radians (Rodrigues' formula)."""
    angle2 = (vectors**2).sum(-1)[..., None, None]
    angle = np.sqrt(angle2)
    k = skew(vectors)
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2  # (1 - cos) / angle² without the cancellation near zero
    return np.eye(3) + a * k + b * (k @ k)


def rotation_log(matrices: np.ndarray) -> np.ndarray:
    """Rotation vectors (N, 3), radians, of rotation matrices (N, 3, 3)."""
    return Rotation.from_matrix(matrices).as_rotvec()


def to_camera(poses: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (P, 3) of the head in the cameras of poses (N, 4, 4): (N, P, 3)."""
    return points @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]


def project(poses: np.ndarray, points: np.ndarray, focal: float, principal: np.ndarray) -> np.ndarray:
    """Pixels (N, P, 2) of head points (P, 3) under poses (N, 4, 4): Eq. 6's projection with square pixels."""
    camera = to_camera(poses, points)
    return focal * camera[..., :2] / camera[..., 2:] + principal


def make_poses(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) from rotations (N, 3, 3) and translations (N, 3)."""
    poses = np.zeros((len(rotation), 4, 4))
    poses[:, :3, :3], poses[:, :3, 3], poses[:, 3, 3] = rotation, translation, 1.0
    return poses


def step_poses(poses: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) moved by (N, 6): a rotation vector applied in the camera's axes about the head's origin, then a
    shift."""
    moved = poses.copy()
    moved[:, :3, :3] = rotation_exp(step[:, :3]) @ poses[:, :3, :3]
    moved[:, :3, 3] += step[:, 3:]
    return moved


def similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least-squares similarities target ≈ scale · source @ rotationᵀ + shift, batched (Umeyama 1991).

    Args:
        source, target: (..., P, 3), broadcast against one another. weights: (P), not all 0; None: all alike.

    Returns:
        scale (...), rotation (..., 3, 3), shift (..., 3).
    """
    share = np.full((source.shape[-2], 1), 1.0) if weights is None else weights[:, None]
    share = share / share.sum()
    source_mean, target_mean = (share * source).sum(-2, keepdims=True), (share * target).sum(-2, keepdims=True)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(np.swapaxes(share * b, -1, -2) @ a)
    sign = np.ones(singular.shape)
    sign[..., 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (singular * sign).sum(-1) / (share * a**2).sum((-1, -2))
    shift = (target_mean - scale[..., None, None] * source_mean @ np.swapaxes(rotation, -1, -2))[..., 0, :]
    return scale, rotation, shift


def bridge_poses(poses: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) with those that are not `known` (N) filled in: rotation by slerp, position linearly, held at
    both ends."""
    frames, at = np.arange(len(poses)), np.flatnonzero(known)
    if len(at) == len(poses):
        return poses
    clamped = np.clip(frames, at[0], at[-1])
    if len(at) == 1:
        return np.repeat(poses[at], len(poses), 0)
    rotation = Slerp(at, Rotation.from_matrix(poses[at, :3, :3]))(clamped).as_matrix()
    position = np.stack([np.interp(clamped, at, poses[at, axis, 3]) for axis in range(3)], 1)
    bridged = make_poses(rotation, position)
    bridged[at] = poses[at]
    return bridged
