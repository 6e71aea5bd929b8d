"""How far codes may drive a Gaussian: the facial-aware regions of Eq. 4, where the Gaussian is now."""

from __future__ import annotations

from torch import Tensor

from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.interface import POSITION
from ...renderer.regions import Region, region_weight
from ...workspace.shapes import Float

NONE, FULL = 0.1, 0.9
"""Weights of a region up to which its codes drive nothing, and from which they drive all. In between the gate is linear: with one
step, Gaussians that drifted over the border while they were trained let a brow change up to 17 % beyond its region."""


def gates(positions_m: Float[Tensor, "3 n"], region: Region) -> Float[Tensor, " n"]:
    """Shares of their bases that Gaussians follow, 0 to 1."""
    return ((region_weight(positions_m.T, region) - NONE) / (FULL - NONE)).clamp(0, 1)


def head_gates(head: GaussianHead) -> dict[str, Float[Tensor, " driven"]]:
    """Of a head's two groups, by the name of their bases."""
    place, lips, driven = head.base[POSITION], head.lips, head.lips + head.expressions
    return {
        "lip_bases": gates(place[:, :lips], head.config.lip_region),
        "expression_bases": gates(place[:, lips:driven], head.config.expression_region),
    }
