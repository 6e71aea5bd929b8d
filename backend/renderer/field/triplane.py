"""Layout of the tri-plane hash encoding (Eq. 10, 11): one table a level and plane, shared by every kernel.

A point in the unit cube is projected on the planes XY, YZ and XZ. Level l of a plane is a square grid of
`resolutions[l]` cells a side, read bilinearly. While its (r+1)² vertices fit a table they are stored in rows; beyond
that the vertex (i, j) is hashed to (i XOR j·2654435761) mod table size (Müller et al. 2022, Eq. 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

PLANES = ((0, 1), (1, 2), (0, 2))
"""Axes of the planes XY, YZ, XZ."""

HASH_PRIME = 2654435761


@dataclass(frozen=True)
class TriplaneLayout:
    """Shape of the encoding.

    Attributes:
        levels: L, number of grid levels of a plane; one feature each (F = 1).
        log2_table_size: a table holds 2**this features.
        base_resolution, finest_resolution: cells a side of the first and the last level; geometric between.
    """

    levels: int = 14
    log2_table_size: int = 14
    base_resolution: int = 16
    finest_resolution: int = 512

    @property
    def features(self) -> int:
        """Length of a point's encoding: planes x levels."""
        return len(PLANES) * self.levels

    @property
    def table_size(self) -> int:
        return 1 << self.log2_table_size

    def resolutions(self) -> np.ndarray:
        """Cells a side of each level, (L,) int32."""
        growth = math.log(self.finest_resolution / self.base_resolution) / max(self.levels - 1, 1)
        return np.floor(self.base_resolution * np.exp(growth * np.arange(self.levels)) + 1e-6).astype(np.int32)
