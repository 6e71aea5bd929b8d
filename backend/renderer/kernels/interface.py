"""What a kernel does: march rays through occupied cells, shade samples, composite them. Tensors on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from ..triplane import TriplaneLayout

FADE_CELLS = 0.5
"""Depth below the border of the occupied cells at which density counts in full; more would thin a layer one cell deep."""

SPHERICAL_HARMONICS = 9
"""Coefficients of the view direction: degrees 0 to 2. A head turns by tens of degrees, and skin is rough."""
GATE_HIDDEN = 16
"""Width of the network of the gates (Eq. 4)."""
DENSEST_EXPONENT = 11.0
"""Density is exp of a number no larger than this."""
STEEPEST_DENSITY = 3e4
"""Bound of density's own derivative, so that one dense sample cannot blow a step up."""
OPAQUE = 1e-3
"""A ray with less transmittance than this is finished."""


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


@dataclass
class Networks:
    """The networks of a field for I frames (`Field.networks`), folded: exact, and less work a sample.

    Lip and expression codes are constant within a frame, so their part of the first layer is one vector each; the last
    density layer and the first colour layer have nothing between them, so they are one matrix. H is the hidden width,
    F the encoding's length.

    Attributes:
        first_weight, first_bias: (H + GATE_HIDDEN, F), (H + GATE_HIDDEN): density's first layer, then the gate's.
        gate_weight, gate_bias: (2, GATE_HIDDEN), (2): to lips and expression.
        condition: (I, 2, H), what lip shape and expression add to the first layer where their gates are open.
        hidden_weight, hidden_bias: (H, H), (H).
        density_weight, density_bias: (H), (1).
        colour_weight, colour_bias: (H, H + SPHERICAL_HARMONICS), (H).
        out_weight, out_bias: (3, H), (3).
        regions: (2, 7), where lips and expression may act, in the unit cube: centre, radii, steepness of the border.
    """

    first_weight: torch.Tensor
    first_bias: torch.Tensor
    gate_weight: torch.Tensor
    gate_bias: torch.Tensor
    condition: torch.Tensor
    hidden_weight: torch.Tensor
    hidden_bias: torch.Tensor
    density_weight: torch.Tensor
    density_bias: torch.Tensor
    colour_weight: torch.Tensor
    colour_bias: torch.Tensor
    out_weight: torch.Tensor
    out_bias: torch.Tensor
    regions: torch.Tensor


@dataclass(frozen=True)
class Grid:
    """Where a field is, and how rays are sampled in it.

    Attributes:
        occupied: (G, G, G) uint8, indexed [x, y, z].
        empty_block_distance: of `occupied`, from the function of that name.
        box_size: metres a side of the unit cube.
        step: metres between samples.
        max_samples: samples a ray at most; the nearest are kept.
    """

    occupied: torch.Tensor
    empty_block_distance: torch.Tensor
    box_size: float
    step: float
    max_samples: int


BLOCK_CELLS = 4
"""Cells a side of the blocks that `empty_block_distance` counts."""
_MAX_BLOCK_DISTANCE = 16


def empty_block_distance(occupied: torch.Tensor) -> torch.Tensor:
    """Distance from each block of cells to the nearest block that is not empty: what a ray may skip.

    Args:
        occupied: (G, G, G) uint8.

    Returns:
        (G/4, G/4, G/4) uint8: Chebyshev distance in blocks, 0 where a cell of the block is occupied, at most 16.
    """
    blocks = occupied.shape[0] // BLOCK_CELLS
    size = (blocks, BLOCK_CELLS) * 3
    reached = occupied.reshape(size).amax((1, 3, 5)).float()[None, None]
    result = torch.zeros_like(reached)
    for _ in range(_MAX_BLOCK_DISTANCE):
        result += 1 - reached
        reached = torch.nn.functional.max_pool3d(reached, 3, 1, 1)
    return result[0, 0].to(torch.uint8)


class Kernel(Protocol):
    """One implementation of the inner loops."""

    name: str

    def march(self, origins: torch.Tensor, directions: torch.Tensor, grid: Grid, jitter: torch.Tensor) -> Samples:
        """Place samples where rays cross occupied cells.

        Args:
            origins: (R, 3) float32, in the unit cube's coordinates.
            directions: (R, 3) float32, unit length.
            jitter: (R,) in [0, 1): shift of each ray's samples in steps.
        """
        ...

    def shade(
        self,
        samples: Samples,
        directions: torch.Tensor,
        starts: torch.Tensor,
        tables: torch.Tensor,
        layout: TriplaneLayout,
        networks: Networks,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Density and colour of samples (Eq. 10 to 12), differentiable in `tables` and `networks`.

        Args:
            directions: (R, 3) of the rays, unit length.
            starts: (I + 1,) int64, on the CPU: the samples of the frame i are `starts[i]` to `starts[i + 1]`.
            tables: (3L, T).

        Returns:
            (M,) density a metre; (M, 3) colour in [0, 1], display-encoded; (M, 2) gates of lips and expression
            (Eq. 4), without gradient.
        """
        ...

    def composite(
        self, density: torch.Tensor, colour: torch.Tensor, samples: Samples, step: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Volume rendering (Eq. 9): (M,) density a metre, (M, 3) colour to what rays see.

        Returns:
            (R, 4) premultiplied RGBA; (M,) weights, without gradient; (R,) distortion, in steps: the weighted distance
            between each two samples of a ray, the sum of w_i w_j |t_i - t_j|, which is small where a ray meets one thin
            surface (Mip-NeRF 360, Eq. 15, without its term for a single interval).
        """
        ...

    def draw(
        self,
        origin: torch.Tensor,
        directions: torch.Tensor,
        grid: Grid,
        tables: torch.Tensor,
        layout: TriplaneLayout,
        networks: Networks,
    ) -> torch.Tensor:
        """All three for one frame, without gradient: what rays see.

        Args:
            origin: (3,), of the camera in the unit cube.
            directions: (R, 3). Rays that lie together in the picture should lie together here.

        Returns:
            (R, 7): premultiplied RGBA; the sum of weight times distance, metres; the sums of weight times the gates.
        """
        ...
