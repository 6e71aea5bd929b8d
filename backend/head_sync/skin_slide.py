"""Skin that slides over the skull: raised brows pull the forehead along, and a pose must not follow.

To a rigid face a forehead that moves up by 3 mm looks like a nod of 2 degrees. The landmarks show the brows; while those
are away from their rest, points of the forehead count less.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..workspace.landmarks import LEFT_BROW, RIGHT_BROW
from ..workspace.poses import to_camera
from ..workspace.shapes import Float
from .shapes import Face, Frames, Marks, PerFrame, PerPoint, Points, Poses, Principal

EYE_CORNERS = np.array([33, 133, 362, 263])
BROWS = np.concatenate([RIGHT_BROW, LEFT_BROW])

SLIDE = 6.0
"""Standard deviation of the sliding skin over the raise of the brows in the landmarks: those show half of it, and skin
folds."""

REACH_UP_M, REACH_ASIDE_M = 0.06, 0.012
"""How far from the brows the skin moves with them: over the forehead to the hairline, and beyond their outer ends."""

LANDMARKS_SHARE = 0.5
"""Share of the slide in all landmarks: the network moves the complete face with the brows."""

SMOOTHING_S = 0.12
"""Standard deviation of the filter over the brows' height: its noise must not shake the weights."""


def brow_raise(
    landmarks_px: Marks, known: Frames, poses: Poses, face: Face, focal: float, principal: Principal, fps: float = 25.0
) -> PerFrame:
    """Height of the brows over the corners of the eyes, above their median, metres; 0 where not `known`.

    Args:
        poses: from landmarks. face: in the head frame. fps: frames a second.
    """

    def height(which: np.ndarray) -> Float[np.ndarray, " m"]:
        depth = to_camera(poses[known], face[which])[..., 2:]
        camera = np.concatenate([(landmarks_px[known][:, which] - principal) / focal * depth, depth], -1)
        head = (camera - poses[known, None, :3, 3]) @ poses[known, :3, :3]
        return -np.median(head[..., 1], axis=1)  # one outlier among twenty must not raise a brow

    above = height(BROWS) - height(EYE_CORNERS)
    raised = np.zeros(len(known))
    raised[known] = gaussian_filter1d(above - np.median(above), SMOOTHING_S * fps)
    return raised


def slide_share(points: Points, face: Face) -> PerPoint:
    """Share of the brows' motion in the skin at points of the head frame, 0 to 1."""
    brows, eyes = face[BROWS], face[EYE_CORNERS, 1].mean()
    line, end = brows[:, 1].mean(), np.abs(brows[:, 0]).max()
    above = np.exp(-0.5 * (np.maximum(line - points[:, 1], 0) / REACH_UP_M) ** 2)
    below = np.clip((eyes - points[:, 1]) / (eyes - line), 0, 1) ** 2
    aside = np.exp(-0.5 * (np.maximum(np.abs(points[:, 0]) - end, 0) / REACH_ASIDE_M) ** 2)
    return np.where(points[:, 1] < line, above, below) * aside
