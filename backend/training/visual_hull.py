"""The visual hull: the cells of the head's box that are inside the mattes of most views."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from ..workspace.camera import Camera
from ..workspace.shapes import Bool

SEARCH_SIZE_M = 0.5
"""Side of the cube around the head's origin in which the head is searched."""
BEHIND_M = 0.07
"""How far behind the origin the head is modelled: a camera in front sees no more than ears and the hair's edge."""
BEFORE_FACE_M = 0.022
BEHIND_FACE_M = 0.03
"""The face is searched in a shell about the tracked surface, with room for lips, glasses, a beard, an open mouth."""
BEFORE_HAIR_M = 0.035
"""Beside the face, nothing is further before the face's edge than this, not even a fringe."""


def head_box(
    alphas: list[np.ndarray], poses: list[np.ndarray], camera: Camera, face_head_m: np.ndarray, cells: int = 64
) -> tuple[np.ndarray, float]:
    """The cube around the hull: low corner (3) and side, metres.

    Args:
        alphas: head mattes, uint8, of the camera's size.
        poses: head_to_camera of each.
        face_head_m: (478, 3), the subject's face, which the shell surrounds.
    """
    low = np.array([-SEARCH_SIZE_M / 2, -SEARCH_SIZE_M * 0.6, -SEARCH_SIZE_M / 2])
    hull = visual_hull(alphas, poses, camera, low, SEARCH_SIZE_M, cells, face_head_m)
    found = np.argwhere(hull)
    if not len(found):
        return np.array([-0.15, -0.2, -0.15]), 0.3
    cell = SEARCH_SIZE_M / cells
    first, last = low + found.min(0) * cell - cell, low + (found.max(0) + 1) * cell + cell
    side = float((last - first).max())
    return (first + last) / 2 - side / 2, side


def visual_hull(
    alphas: list[np.ndarray],
    poses: list[np.ndarray],
    camera: Camera,
    low: np.ndarray,
    side: float,
    cells: int,
    face_head_m: np.ndarray,
    agreement: float = 0.6,
) -> np.ndarray:
    """Cells inside the dilated matte in enough of the views that see them: (cells, cells, cells) bool.

    Args:
        agreement: share of the views; loose hair moves, and by nine in ten its edge would be cut into steps.
    """
    axis = (np.arange(cells) + 0.5) / cells * side
    centres = low + np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    candidate = _near_surface(centres, face_head_m)
    points = centres[candidate]
    inside, seen = np.zeros(len(points), np.int32), np.zeros(len(points), np.int32)
    for alpha, pose in zip(alphas, poses, strict=True):
        # A cell counts when any of it may be seen: dilate the matte by half a cell's size in the image.
        radius = max(2, int(np.ceil(side / cells * camera.focal_px / max(pose[2, 3], 0.1) * 0.75)))
        matte = ndimage.maximum_filter(alpha, 2 * radius + 1) > 12
        row, column, visible = camera.places(pose, points)
        seen += visible
        inside[visible] += matte[row[visible], column[visible]]
    hull = np.zeros(cells**3, bool)
    hull[candidate] = (inside >= agreement * seen) & (seen > 0)
    hull = hull.reshape(cells, cells, cells)
    # A head is one piece: isolated specks of the mattes are not part of it.
    return largest_piece(hull)


def _near_surface(points: np.ndarray, face_head_m: np.ndarray) -> np.ndarray:
    """Which points may hold the visible surface, by the tracked face seen from the front: (M, 3) to (M,) bool."""
    plane, depth = face_head_m[:468, :2], face_head_m[:468, 2]
    over_face = LinearNDInterpolator(plane, depth)(points[:, :2])
    on_face = np.isfinite(over_face)
    beside = NearestNDInterpolator(plane, depth)(points[:, :2])
    z = points[:, 2]
    return np.where(
        on_face,
        (z > over_face - BEFORE_FACE_M) & (z < over_face + BEHIND_FACE_M),
        (z > beside - BEFORE_HAIR_M) & (z < BEHIND_M),
    )


def largest_piece(mask: Bool[np.ndarray, ...]) -> Bool[np.ndarray, ...]:
    """The largest connected piece of a mask; neighbours touch at corners, too."""
    pieces, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count > 1 else mask
