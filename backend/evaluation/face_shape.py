"""Whose face a rendered one has: the distance of its landmarks to a person's neutral face in the same pose."""

from __future__ import annotations

import numpy as np

from ..workspace.camera import Camera
from ..workspace.landmarks import LEFT, RIGHT, RIGID, SKIN_COUNT
from ..workspace.poses import project
from ..workspace.shapes import Float


def shape_distance(
    landmarks_px: Float[np.ndarray, "n 478 2"],
    poses: Float[np.ndarray, "n 4 4"],
    camera: Camera,
    face_head_m: Float[np.ndarray, "478 3"],
) -> Float[np.ndarray, " n"]:
    """Root mean square over the skin's landmarks, in distances between the eyes' outer corners; NaN without a face.

    Both are aligned by the similarity that fits the landmarks that move with the skull, so that neither place nor size
    counts, and the pose by its foreshortening alone.

    Args:
        landmarks_px: in pixels of `camera`.
        poses: in which the face was rendered.
        face_head_m: the person's neutral face.
    """
    neutral_px = project(poses, face_head_m, camera.focal_px, np.array(camera.principal_px))
    seen, neutral = (_about_the_skull(points) for points in (landmarks_px.astype(np.float64), neutral_px))
    # As complex numbers a similarity of the plane is one factor, here of least squares.
    size = (np.abs(seen[:, RIGID]) ** 2).sum(1)
    factor = (np.conj(seen[:, RIGID]) * neutral[:, RIGID]).sum(1) / np.where(np.isfinite(size), size, 1.0)
    apart = np.abs(factor[:, None] * seen - neutral)[:, :SKIN_COUNT]
    eyes = np.abs(neutral[:, RIGHT.eye_corners[1]] - neutral[:, LEFT.eye_corners[1]])
    return np.sqrt((apart**2).mean(1)) / eyes


def _about_the_skull(points: Float[np.ndarray, "n 478 2"]) -> np.ndarray:
    """(n, 478) complex, less the mean of the landmarks that move with the skull."""
    centred = points - points[:, RIGID].mean(1, keepdims=True)
    return centred[..., 0] + 1j * centred[..., 1]
