"""Rotations and 4x4 poses. A pose maps the head to an OpenCV camera: x right, y down, z forward."""

from __future__ import annotations

import numpy as np

from .shapes import Bool, Float


def skew(vectors: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Cross-product matrices of vectors."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape, 3)


def rotation_exp(vectors: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrices of rotation vectors, radians (Rodrigues' formula)."""
    angle2 = (vectors**2).sum(-1)[..., None, None]
    angle = np.sqrt(angle2)
    k = skew(vectors)
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2  # (1 - cos) / angle² without the cancellation near zero
    return np.eye(3) + a * k + b * (k @ k)


def turned(pose: Float[np.ndarray, "4 4"], yaw_deg: float, pitch_deg: float) -> Float[np.ndarray, "4 4"]:
    """The head turned about its own origin: first nodded about its x axis, then turned about its y axis."""
    result = pose.copy()
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    result[:3, :3] = pose[:3, :3] @ rotation_exp(np.array([0.0, yaw, 0.0])) @ rotation_exp(np.array([pitch, 0.0, 0.0]))
    return result


def rotation_log(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3"]:
    """Rotation vectors, radians, of rotation matrices."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices).as_rotvec()


def mean_rotation(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation nearest to all of them (chordal mean)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices).mean().as_matrix()


def to_camera(poses: Float[np.ndarray, "n 4 4"], points: Float[np.ndarray, "*batch p 3"]) -> Float[np.ndarray, "n p 3"]:
    """Points of the head in the cameras of the poses."""
    return points @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]


def to_pixels(
    points: Float[np.ndarray, "*batch 3"], focal: float, principal: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "*batch 2"]:
    """Pixels of points in the camera: the perspective division, with square pixels."""
    return focal * points[..., :2] / points[..., 2:] + principal


def project(
    poses: Float[np.ndarray, "n 4 4"],
    points: Float[np.ndarray, "*batch p 3"],
    focal: float,
    principal: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, "n p 2"]:
    """Pixels of head points under poses: Eq. 6's projection with square pixels."""
    return to_pixels(to_camera(poses, points), focal, principal)


def make_poses(
    rotation: Float[np.ndarray, "n 3 3"], translation: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 4 4"]:
    """Poses from rotations and translations."""
    poses = np.zeros((len(rotation), 4, 4))
    poses[:, :3, :3], poses[:, :3, 3], poses[:, 3, 3] = rotation, translation, 1.0
    return poses


def step_poses(poses: Float[np.ndarray, "n 4 4"], step: Float[np.ndarray, "n 6"]) -> Float[np.ndarray, "n 4 4"]:
    """Poses moved by a rotation vector, applied in the camera's axes about the head's origin, then by a shift."""
    moved = poses.copy()
    moved[:, :3, :3] = rotation_exp(step[:, :3]) @ poses[:, :3, :3]
    moved[:, :3, 3] += step[:, 3:]
    return moved


def similarity(
    source: Float[np.ndarray, "*#batch p 3"],
    target: Float[np.ndarray, "*#batch p 3"],
    weights: Float[np.ndarray, " p"] | None = None,
) -> tuple[Float[np.ndarray, "*batch"], Float[np.ndarray, "*batch 3 3"], Float[np.ndarray, "*batch 3"]]:
    """Least-squares similarities target ≈ scale · source @ rotationᵀ + shift, batched (Umeyama 1991).

    Args:
        weights: of the points, not all 0; None: all equal.

    Returns:
        scale, rotation, shift.
    """
    share = np.full((source.shape[-2], 1), 1.0) if weights is None else weights[:, None]
    share = share / share.sum()
    source_mean, target_mean = (share * source).sum(-2, keepdims=True), (share * target).sum(-2, keepdims=True)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(np.swapaxes(share * b, -1, -2) @ a)
    sign = np.ones(singular.shape)
    sign[..., 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = np.asarray((singular * sign).sum(-1) / (share * a**2).sum((-1, -2)))
    shift = (target_mean - scale[..., None, None] * source_mean @ np.swapaxes(rotation, -1, -2))[..., 0, :]
    return scale, rotation, shift


def image_similarity(points: Float[np.ndarray, "p 2"], others: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "2 3"]:
    """The least-squares similarity that takes places of an image to those of another."""
    scale, rotation, shift = similarity(*(np.pad(part, ((0, 0), (0, 1))) for part in (points, others)))
    return np.column_stack([scale * rotation[:2, :2], shift[:2]])


def bridge_poses(poses: Float[np.ndarray, "n 4 4"], known: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "n 4 4"]:
    """Poses with those that are not `known` filled in: rotation by slerp, position linearly, held at both ends."""
    from scipy.spatial.transform import Rotation, Slerp

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
