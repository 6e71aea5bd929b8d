"""The normal equations of poses, compiled: what `bundle_adjustment.refine_poses` solves in each iteration."""

from __future__ import annotations

import math

import numpy as np

from ..compilation.kernel_cache import njit


@njit(nogil=True, error_model="numpy")
def pose_equations(points_px, weights, points, poses, camera, huber, normal, gradient):
    """Sum the normal equations of each frame's pose alone, with Huber's loss.

    Args:
        points_px: (N, P, 2), weights: (N, P), 0 where a point is not seen, points: (P, 3), poses: (N, 4, 4), all float64.
        camera: (3) focal length and principal point, pixels. huber: standard deviations up to which a residual counts squared.
        normal: (N, 6, 6), gradient: (N, 6), written: turn about the camera's axes, then shift.
    """
    focal, middle_x, middle_y = camera
    across, down = np.empty(6), np.empty(6)
    for frame in range(len(poses)):
        pose, sums, right = poses[frame], normal[frame], gradient[frame]
        sums[:], right[:] = 0.0, 0.0
        for point in range(len(points)):
            weight = weights[frame, point]
            if weight <= 0.0:
                continue
            x, y, z = points[point, 0], points[point, 1], points[point, 2]
            turned_x = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z
            turned_y = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z
            turned_z = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z
            inverse = 1.0 / (turned_z + pose[2, 3])
            at_x, at_y = (turned_x + pose[0, 3]) * inverse, (turned_y + pose[1, 3]) * inverse
            error_x = focal * at_x + middle_x - points_px[frame, point, 0]
            error_y = focal * at_y + middle_y - points_px[frame, point, 1]
            away = weight * math.sqrt(error_x * error_x + error_y * error_y)
            scale = weight * math.sqrt(min(1.0, huber / max(away, 1e-12)))
            slope = focal * inverse * scale
            slope_x, slope_y = -slope * at_x, -slope * at_y
            across[0], across[1], across[2] = (
                turned_y * slope_x,
                turned_z * slope - turned_x * slope_x,
                -turned_y * slope,
            )
            across[3], across[4], across[5] = slope, 0.0, slope_x
            down[0], down[1], down[2] = turned_y * slope_y - turned_z * slope, -turned_x * slope_y, turned_x * slope
            down[3], down[4], down[5] = 0.0, slope, slope_y
            for i in range(6):
                right[i] += scale * (across[i] * error_x + down[i] * error_y)
                for j in range(i + 1):
                    sums[i, j] += across[i] * across[j] + down[i] * down[j]
        for i in range(6):
            for j in range(i):
                sums[j, i] = sums[i, j]


@njit(nogil=True, error_model="numpy")
def pose_costs(points_px, weights, points, poses, camera, huber, cost):
    """Write Huber's loss of each frame, (N) float64; all else as `pose_equations` has it."""
    focal, middle_x, middle_y = camera
    for frame in range(len(poses)):
        pose, total = poses[frame], 0.0
        for point in range(len(points)):
            weight = weights[frame, point]
            if weight <= 0.0:
                continue
            x, y, z = points[point, 0], points[point, 1], points[point, 2]
            inverse = 1.0 / (pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3])
            at_x = (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]) * inverse
            at_y = (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]) * inverse
            error_x = focal * at_x + middle_x - points_px[frame, point, 0]
            error_y = focal * at_y + middle_y - points_px[frame, point, 1]
            away = weight * math.sqrt(error_x * error_x + error_y * error_y)
            total += 0.5 * away * away if away <= huber else huber * (away - 0.5 * huber)
        cost[frame] = total


def compile_kernels() -> None:
    """Compile or read what `refine_poses` calls."""
    given = np.zeros((1, 1, 2)), np.ones((1, 1)), np.ones((1, 3)), np.eye(4)[None], np.ones(3), 1.0
    pose_equations(*given, np.zeros((1, 6, 6)), np.zeros((1, 6)))
    pose_costs(*given, np.zeros(1))
