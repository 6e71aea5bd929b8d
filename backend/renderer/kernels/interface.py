"""What a kernel does: march rays through occupied cells, encode points, composite samples. Tensors on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from ..triplane import TriplaneLayout

FADE_CELLS = 0.5
"""Depth below the border of the occupied cells at which density counts in full; more would thin a layer one cell deep."""


@dataclass
class Samples:
    """Samples of R rays, packed ray after ray: those of ray r are `offsets[r]` to `offsets[r + 1]`.

    Attributes:
        positions: (M, 3) float32 in the unit cube.
        distances: (M,) float32 along the ray, metres.
        rays: (M,) int32, the ray of each sample.
        offsets: (R + 1,) int64.
        fade: (M,) float32 in [0, 1], a factor of density: 0 where occupied cells end, 1 from `FADE_CELLS` within.
            A sample therefore comes and goes with no weight, and the picture is continuous in the pose.
    """

    positions: torch.Tensor
    distances: torch.Tensor
    rays: torch.Tensor
    offsets: torch.Tensor
    fade: torch.Tensor


CLEARANCE_BLOCK = 4
"""Cells a side of the blocks that `clearance` counts in."""
_MOST_CLEARANCE = 16


def clearance(occupied: torch.Tensor) -> torch.Tensor:
    """How many blocks around each block of cells are empty: what a ray may leap over.

    Args:
        occupied: (G, G, G) uint8.

    Returns:
        (G/4, G/4, G/4) uint8: 0 where a cell of the block is occupied, else the distance in blocks, by the largest
        axis, to the nearest block that is not empty, at most 16.
    """
    blocks = occupied.shape[0] // CLEARANCE_BLOCK
    size = (blocks, CLEARANCE_BLOCK) * 3
    reached = occupied.reshape(size).amax((1, 3, 5)).float()[None, None]
    result = torch.zeros_like(reached)
    for _ in range(_MOST_CLEARANCE):
        result += 1 - reached
        reached = torch.nn.functional.max_pool3d(reached, 3, 1, 1)
    return result[0, 0].to(torch.uint8)


class Kernel(Protocol):
    """One implementation of the inner loops."""

    name: str

    def march(
        self,
        origins: torch.Tensor,
        directions: torch.Tensor,
        occupied: torch.Tensor,
        clearance: torch.Tensor,
        box_size: float,
        step: float,
        max_samples: int,
        jitter: torch.Tensor,
    ) -> Samples:
        """Place samples where rays cross occupied cells.

        Args:
            origins: (R, 3) float32, in the unit cube's coordinates.
            directions: (R, 3) float32, unit length.
            occupied: (G, G, G) uint8, indexed [x, y, z].
            clearance: of `occupied`, from the function of that name.
            box_size: metres a side of the unit cube.
            step: metres between samples.
            max_samples: samples a ray at most; the nearest are kept.
            jitter: (R,) in [0, 1): shift of each ray's samples in steps.
        """
        ...

    def encode(self, positions: torch.Tensor, tables: torch.Tensor, layout: TriplaneLayout) -> torch.Tensor:
        """Tri-plane hash encoding (Eq. 10, 11), differentiable in `tables`: (M, 3) and (3L, T) to (M, 3L)."""
        ...

    def composite(
        self, density: torch.Tensor, colour: torch.Tensor, samples: Samples, step: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Volume rendering (Eq. 9): (M,) density a metre, (M, 3) colour to what rays see.

        Returns:
            (R, 4) premultiplied RGBA; (M,) weights, without gradient; (R,) spread, in steps: the weighted distance
            between each two samples of a ray, the sum of w_i w_j |t_i - t_j|, which is small where a ray meets one thin
            surface (the distortion of Mip-NeRF 360, Eq. 15, without its term for a single interval).
        """
        ...
