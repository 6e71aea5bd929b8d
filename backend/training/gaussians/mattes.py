"""Which part of a head each Gaussian belongs to: mouth, hair or skin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.interface import MATTES, POSITION
from ...workspace.shapes import Float
from ...workspace.store import Workspace
from .cloud import Mouth, spread_poses

if TYPE_CHECKING:
    from ..field_trainer import FieldTrainer

VIEWS = 12
"""Frames whose hair mattes are read."""


def shares(
    head: GaussianHead, workspace: Workspace, field: FieldTrainer, poses: Float[np.ndarray, "frames 4 4"]
) -> Float[torch.Tensor, "3 n"]:
    """Shares of `MATTES`: the mouth's inside by its place, hair by the clip's mattes where the Gaussian projects, else skin."""
    points = head.neutral()[POSITION].T.astype(np.float64)
    camera = field.tracking.camera
    hair, seen = np.zeros(len(points)), np.zeros(len(points))
    for index in spread_poses(poses, field.training_frames, VIEWS):
        matte = workspace.read_matte(index).astype(np.float32)
        row, column, visible = camera.places(poses[index], points)
        whole, part = matte[row[visible], column[visible], 0], matte[row[visible], column[visible], 1]
        hair[visible] += part
        seen[visible] += whole
    result = np.zeros((len(MATTES), len(points)), np.float32)
    inside = Mouth.of(field.tracking.face_head_m).inside(points)
    result[0] = inside
    result[1] = np.where(inside, 0, np.clip(hair / np.maximum(seen, 1), 0, 1))
    result[2] = 1 - result[0] - result[1]
    return torch.from_numpy(result)
