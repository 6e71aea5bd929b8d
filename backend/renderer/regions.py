"""Which blendshapes drive which part of a head: the facial-aware regions of Eq. 4, fixed to the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..protocol import BLENDSHAPE_NAMES, MOUTH_NAMES
from ..workspace.shapes import Float

LIP_INDICES = tuple(BLENDSHAPE_NAMES.index(name) for name in MOUTH_NAMES)
PAPER_EXPRESSION = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "eyeBlinkLeft",
    "eyeBlinkRight",
)  # fmt: skip
"""The seven that drive the upper face in the paper: brows, forehead, lids."""

UPPER_FACE = tuple(name for name in BLENDSHAPE_NAMES if name.startswith(("brow", "eye")))
"""All of the rig's, with gaze, squint and wide eyes."""

BLENDSHAPE_GAIN = 8.0
"""Blendshapes of speech vary by 0.02 to 0.2: scaled to the size of the networks' other inputs, or lips would be learned
last (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Region:
    """A soft ellipsoid in the head frame: 1 inside, 0 beyond, the border `softness_m` wide.

    With 8 mm, a blink still moved the lips (docs/benchmarks.md).
    """

    centre_m: tuple[float, float, float]
    radii_m: tuple[float, float, float]
    softness_m: float = 0.005

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Region:
        """As `dataclasses.asdict` gave it."""
        return cls(tuple(value["centre_m"]), tuple(value["radii_m"]), value["softness_m"])


def region_weight(positions_m: Float[Tensor, "points 3"], region: Region) -> Float[Tensor, " points"]:
    """How far `region` reaches to points in the head frame, metres: in [0, 1]."""
    centre, radii = positions_m.new_tensor(region.centre_m), positions_m.new_tensor(region.radii_m)
    distance = ((positions_m - centre) / radii).norm(dim=1) - 1  # in radii
    return torch.sigmoid(-distance * (float(radii.min()) / region.softness_m))
