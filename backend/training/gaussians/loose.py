"""Gaussians that are no part of the head: what lies in no piece of it, seen from any side.

Beside hair that the clip's images cut off, turned images teach a little that no frame shows; a head that is moved has it as scribbles
beside it.
"""

from __future__ import annotations

import cv2
import numpy as np

from ...portrait_sync.fill import disc
from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.interface import POSITION
from ...renderer.gaussians.renderer import GaussianRenderer
from ...workspace.camera import Camera
from ...workspace.poses import turned
from ...workspace.shapes import Bool, Float
from ..visual_hull import largest_piece
from .beyond_clip import PITCH_DEG, YAW_DEG

SIZE = 256
"""Longer side of the views, pixels, without their border."""
BORDER = 0.3
"""Around the clip's image, of its width: what lies beyond it belongs to the head, too."""
SIDES_DEG = ((0, 0), (YAW_DEG, 0), (-YAW_DEG, 0), (0, PITCH_DEG), (0, -PITCH_DEG))
"""Yaw and pitch of the views, from the pose given: as far as heads are turned while they are taught."""
VISIBLE = 0.1
"""Alpha from which on pixels belong to a piece."""
BESIDE = 0.012
"""How far beside the head a Gaussian still belongs to it, of the image's width."""
MOST = 0.05
"""Share of the Gaussians that may be loose: more are no scribbles, the head itself is in pieces or not there yet, and all stay."""


def loose_gaussians(
    head: GaussianHead,
    renderer: GaussianRenderer,
    camera: Camera,
    pose: Float[np.ndarray, "4 4"],
    conditions: Float[np.ndarray, " conditions"],
) -> Bool[np.ndarray, " n"]:
    """Those whose centre lies beside the largest piece of the head's image from every side.

    Args:
        renderer: of `head`.
        camera: of the clip's images.
        pose: of the head, as the clip has it most.
        conditions: what it does there.
    """
    camera = camera.resized(SIZE / max(camera.width, camera.height))
    border = round(BORDER * camera.width)
    camera = camera.cropped(-border, -border, camera.width + 2 * border, camera.height + 2 * border)
    points_m = head.neutral()[POSITION].T.astype(np.float64)
    loose = np.ones(len(points_m), bool)
    for yaw_deg, pitch_deg in SIDES_DEG:
        view = turned(pose, yaw_deg, pitch_deg)
        whole = largest_piece(renderer.render(camera, view, conditions).rgba[..., 3] > VISIBLE)
        whole = cv2.dilate(whole.astype(np.uint8), disc(BESIDE * SIZE))
        rows, columns, inside = camera.places(view, points_m)
        loose[inside] &= whole[rows[inside], columns[inside]] == 0
    return loose & (loose.mean() <= MOST)
