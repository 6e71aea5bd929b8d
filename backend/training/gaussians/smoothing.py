"""Neighbouring Gaussians move alike: their motion bases drift to the mean of their neighbours'.

Without it, lips that are pressed further than the clip shows are torn apart.
"""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.interface import POSITION
from ...workspace.shapes import Float

NEIGHBOURS = 6
DRIFT = 0.2
"""Share of the way to the mean."""
EVERY_STEPS = 4
_MOVES = slice(0, 3)
"""Rows of bases that move a Gaussian."""


class MotionSmoother:
    """Knows the neighbours within each group; make it again where the Gaussians' number changes."""

    def __init__(self, head: GaussianHead) -> None:
        place = head.base[POSITION].numpy().T
        lips, driven = head.lips, head.lips + head.expressions
        self._neighbours = [_neighbours(place[:lips]), _neighbours(place[lips:driven])]

    def lips(self, bases: Float[Tensor, "driven codes lips"]) -> None:
        """Smooth the lips' bases, in place."""
        _drift(bases, self._neighbours[0])

    def expressions(self, bases: Float[Tensor, "driven codes expressions"]) -> None:
        _drift(bases, self._neighbours[1])


def _neighbours(points) -> Tensor | None:
    if len(points) <= NEIGHBOURS:
        return None
    return torch.from_numpy(cKDTree(points).query(points, k=NEIGHBOURS + 1)[1][:, 1:].T.copy())


def _drift(bases: Float[Tensor, "driven codes n"], neighbours: Tensor | None) -> None:
    if neighbours is None:
        return
    motion = bases[_MOVES]
    mean = torch.zeros_like(motion)
    for others in neighbours:
        mean += motion[..., others]
    motion.lerp_(mean / len(neighbours), DRIFT)
