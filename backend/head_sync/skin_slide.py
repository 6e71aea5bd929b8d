"""How far skin may have slid over the skull: raised brows take the forehead along, and a pose must not follow.

A forehead that moves up by 3 mm looks to a rigid face like a nod of 2 degrees. What the brows do is seen in the
landmarks; while they are away from where they rest, points of the forehead count for less.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..workspace.poses import to_camera
from .face_geometry import LEFT_BROW, RIGHT_BROW

EYE_CORNERS = np.array([33, 133, 362, 263])
BROWS = np.concatenate([RIGHT_BROW, LEFT_BROW])

SLIDE = 6.0
"""Standard deviation of the slide of the skin by the brows, over what landmarks say that the brows were raised: they
tell half of it, and skin folds."""

REACH_UP_M, REACH_ASIDE_M = 0.06, 0.012
"""How far from the brows the skin goes with them: over the forehead to the hairline, and beyond their outer ends."""

LANDMARKS_SHARE = 0.5
"""Share of the slide in landmarks anywhere: the network moves the whole face with the brows."""

SETTLE_FRAMES = 3.0
"""Frames over which the brows' height is averaged (standard deviation): its own shake must not shake the weights."""


def brow_raise(
    landmarks_px: np.ndarray, known: np.ndarray, poses: np.ndarray, face: np.ndarray, focal: float, principal
) -> np.ndarray:
    """How far (N) the brows are above where they usually are, over the corners of the eyes, metres; 0 where not
    `known`.

    Args:
        landmarks_px: (N, 478, 2). known: (N) bool. poses: (N, 4, 4) from landmarks. face: (478, 3) in the head frame.
    """

    def height(which: np.ndarray) -> np.ndarray:
        depth = to_camera(poses[known], face[which])[..., 2:]
        camera = np.concatenate([(landmarks_px[known][:, which] - principal) / focal * depth, depth], -1)
        head = (camera - poses[known, None, :3, 3]) @ poses[known, :3, :3]
        return -np.median(head[..., 1], axis=1)  # one landmark astray among twenty must not raise a brow

    above = height(BROWS) - height(EYE_CORNERS)
    raised = np.zeros(len(known))
    raised[known] = gaussian_filter1d(above - np.median(above), SETTLE_FRAMES)
    return raised


def slide_share(points: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Share (P) of the brows' motion that the skin at points (P, 3) of the head frame may take part in, 0 to 1."""
    brows, eyes = face[BROWS], face[EYE_CORNERS, 1].mean()
    line, end = brows[:, 1].mean(), np.abs(brows[:, 0]).max()
    above = np.exp(-0.5 * (np.maximum(line - points[:, 1], 0) / REACH_UP_M) ** 2)
    below = np.clip((eyes - points[:, 1]) / (eyes - line), 0, 1) ** 2
    aside = np.exp(-0.5 * (np.maximum(np.abs(points[:, 0]) - end, 0) / REACH_ASIDE_M) ** 2)
    return np.where(points[:, 1] < line, above, below) * aside
