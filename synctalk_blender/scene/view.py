"""What a 3D view sees, as a pinhole: where the camera's frame lies in it, and the view itself. Pure functions on arrays."""

from __future__ import annotations

import numpy as np

from ...backend.workspace.camera import Camera

ORTHOGRAPHIC_DISTANCE_M = 50.0
"""An orthographic view is drawn through a pinhole this far away: at 50 m, a head's depth changes its size by 0.3 %."""


def view_pinhole(window_matrix: np.ndarray, width: int, height: int) -> Camera:
    """The pinhole of a region.

    Args:
        window_matrix: (4, 4), the view's projection (`RegionView3D.window_matrix`).
        width, height: of the region, pixels.
    """
    if is_orthographic(window_matrix):
        focal = window_matrix[0, 0] * width / 2 * ORTHOGRAPHIC_DISTANCE_M
        principal = ((1 + window_matrix[0, 3]) * width / 2, (1 - window_matrix[1, 3]) * height / 2)
    else:
        focal = window_matrix[0, 0] * width / 2
        principal = ((1 - window_matrix[0, 2]) * width / 2, (1 + window_matrix[1, 2]) * height / 2)
    return Camera(width, height, float(focal), (float(principal[0]), float(principal[1])))


def is_orthographic(window_matrix: np.ndarray) -> bool:
    """Whether a projection has no vanishing point."""
    return bool(window_matrix[3, 3] == 1.0)


def far_away(head_to_camera: np.ndarray) -> np.ndarray:
    """The head at the distance that `view_pinhole` takes for an orthographic view, at the same place in the image."""
    result = head_to_camera.copy()
    result[2, 3] = ORTHOGRAPHIC_DISTANCE_M
    return result


def frame_in_region(
    corners: np.ndarray, camera: np.ndarray, perspective_matrix: np.ndarray, width: int, height: int
) -> tuple[float, float, float, float]:
    """Where the camera's frame lies in a region: x, y of its lower left corner, width, height, in pixels.

    Args:
        corners: (4, 3) of the frame in the camera's axes (`Camera.view_frame`).
        camera: (4, 4) of the camera object.
        perspective_matrix: (4, 4), world to clip space (`RegionView3D.perspective_matrix`).
        width, height: of the region, pixels.
    """
    points = np.concatenate([corners, np.ones((4, 1))], 1) @ (perspective_matrix @ camera).T
    points = (points[:, :2] / points[:, 3:] + 1) / 2 * (width, height)
    x, y = points.min(0)
    right, top = points.max(0)
    return float(x), float(y), float(right - x), float(top - y)


def preview_factor(ms_a_pixel: float | None, pixels: int, budget_ms: float) -> float:
    """How much smaller an image must be to take `budget_ms`; 1 when the full size does, and a guess before the first.

    Args:
        ms_a_pixel: measured on earlier images; None before the first.
    """
    affordable = 200 * 200 if ms_a_pixel is None else budget_ms / max(ms_a_pixel, 1e-9)
    return float(np.clip(np.sqrt(affordable / pixels), 1 / 16, 1.0))
