"""Quality of head poses: error against a truth, jitter, and residual of the stabilised skull."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.spatial.transform import Rotation

from ...workspace.arrays import correlation
from ...workspace.camera import PIXEL_CENTRE
from ...workspace.poses import mean_rotation, rotation_log

SKULL_OUTLINE = np.array(
    [10, 338, 297, 332, 333, 334, 296, 336, 417, 351, 399, 456, 5, 236, 174, 122, 193, 107, 66, 105, 104, 103, 67, 109]
)
"""Landmarks around the forehead and the bridge of the nose, which only the skull should move."""


@dataclass(frozen=True)
class PoseError:
    """Of N poses against the truth after one rigid alignment of the head frames: degrees, per cent of the distance."""

    turn_deg: np.ndarray
    place_percent: np.ndarray


def pose_error(poses: np.ndarray, truth: np.ndarray) -> PoseError:
    """Compare poses (N, 4, 4); the scale of the scene is free, for one camera cannot see it."""
    own = aligned_to(poses, truth)[:, :3, :3]
    turn = np.degrees(Rotation.from_matrix(own.transpose(0, 2, 1) @ truth[:, :3, :3]).magnitude())
    design = np.concatenate([poses[:, :3, 3:], own], -1).reshape(-1, 4)
    fitted = design @ np.linalg.lstsq(design, truth[:, :3, 3].ravel(), rcond=None)[0]
    off = np.linalg.norm(fitted.reshape(-1, 3) - truth[:, :3, 3], axis=1)
    return PoseError(turn, 100 * off / truth[:, 2, 3])


def aligned_to(poses: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) with their head frame rotated once onto the truth's."""
    own = poses[:, :3, :3]
    between = mean_rotation(own.transpose(0, 2, 1) @ truth[:, :3, :3])
    aligned = poses.copy()
    aligned[:, :3, :3] = own @ between
    return aligned


def nods(poses: np.ndarray, truth: np.ndarray, fps: float) -> tuple[float, float]:
    """Part of the true nods' amplitude that poses (N, 4, 4) keep, and their lag in frames.

    Nods are pitch minus its mean over a second; the amplitude is the slope of a line through the origin.
    """
    second = round(fps)

    def pitch(some: np.ndarray) -> np.ndarray:
        angle = rotation_log(some[:, :3, :3] @ truth[len(truth) // 2, :3, :3].T)[:, 0]
        return angle - uniform_filter1d(angle, second)

    own, true = pitch(aligned_to(poses, truth))[second:-second], pitch(truth)
    middle = true[second:-second]
    before, here, after = (correlation(own, true[second + lag : len(true) - second + lag]) for lag in (-1, 0, 1))
    return float(own @ middle / (middle @ middle)), -float(0.5 * (before - after) / (before - 2 * here + after))


def rotation_jitter_deg(
    poses: np.ndarray, valid: np.ndarray | None = None, cuts: np.ndarray | None = None, median: bool = False
) -> float:
    """Root mean square of the second difference of rotation, degrees: jitter, and the head's own acceleration.

    Args:
        poses: (N, 4, 4). valid: (N), only runs of three count. cuts: (N), first frames of shots; not across.
        median: the median instead, in which a head's own acceleration matters less.
    """
    rotation = poses[:, :3, :3]
    velocity = rotation_log(rotation[1:] @ rotation[:-1].transpose(0, 2, 1))
    second = np.degrees(np.linalg.norm(np.diff(velocity, axis=0), axis=1))
    keep = np.ones(len(second), bool)
    if valid is not None:
        keep &= valid[2:] & valid[1:-1] & valid[:-2]
    if cuts is not None:
        keep &= ~(cuts[2:] | cuts[1:-1])
    if not keep.any():
        return 0.0
    return float(np.median(second[keep]) if median else np.sqrt((second[keep] ** 2).mean()))


Warp = Callable[[int, np.ndarray], np.ndarray]
"""Frame number and its grey image (S, S) to the image as the reference frame would see it, (S, S)."""


def skull_mask(landmarks_px: np.ndarray, size: int) -> np.ndarray:
    """Forehead and bridge of the nose of one frame with landmarks (478, 2): (S, S) bool."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [(landmarks_px[SKULL_OUTLINE] - PIXEL_CENTRE).round().astype(np.int32)], 255)
    return mask > 0


def stabilized_residual(
    warp: Warp, read_grey: Callable[[int], np.ndarray], skull: np.ndarray, frames: np.ndarray
) -> float:
    """Temporal standard deviation of grey, of 255, over `frames` warped onto the reference: mean over the mask `skull`
    (S, S)."""
    total = np.zeros(skull.sum())
    squares = np.zeros_like(total)
    for frame in frames:
        grey = warp(int(frame), read_grey(int(frame)))[skull].astype(np.float64)
        total += grey
        squares += grey**2
    variance = squares / len(frames) - (total / len(frames)) ** 2
    return float(np.sqrt(np.maximum(variance, 0)).mean())
