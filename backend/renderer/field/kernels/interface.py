"""What a kernel does: march rays through occupied cells, shade samples, composite them. All tensors are on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ....workspace.shapes import Float, Int, UInt8
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
"""Bound of density's own derivative, which keeps one dense sample from dominating a step."""
OPAQUE = 1e-3
"""A ray with less transmittance than this is finished."""


@dataclass
class Samples:
    """Samples of R rays, packed ray after ray: those of ray r are `offsets[r]` to `offsets[r + 1]`.

    There may be more rows than samples, on a GPU that need not be asked for their number: behind `offsets[-1]` are zeros. So
    a kernel composites the samples that its own `march` made.

    Attributes:
        positions: in the unit cube.
        distances: along the ray, metres.
        rays: the ray of each sample.
        offsets: (R + 1).
        fade: in [0, 1], a factor of density: 0 where occupied cells end, 1 from `FADE_CELLS` within. A sample thus comes
            and goes without weight, and the image is continuous in the pose.
    """

    positions: Float[Tensor, "samples 3"]
    distances: Float[Tensor, " samples"]
    rays: Int[Tensor, " samples"]
    offsets: Int[Tensor, " offsets"]
    fade: Float[Tensor, " samples"]


@dataclass
class Networks:
    """The networks of a field for some frames (`Field.networks`), folded: exact, and less work per sample.

    Lip and expression codes are constant within a frame, so their part of the first layer is one vector each; the last
    density layer and the first colour layer have nothing between them, so they are one matrix.

    Attributes:
        first_weight, first_bias: density's first layer, then the gate's (`GATE_HIDDEN` rows).
        gate_weight, gate_bias: to lips and expression.
        condition: what lip shape and expression add to the first layer where their gates are open.
        colour_weight: its columns are the hidden layer, then `SPHERICAL_HARMONICS` of the view direction.
        regions: where lips and expression may act, in the unit cube: centre, radii, steepness of the border.
    """

    first_weight: Float[Tensor, "first features"]
    first_bias: Float[Tensor, " first"]
    gate_weight: Float[Tensor, "2 gate"]
    gate_bias: Float[Tensor, " 2"]
    condition: Float[Tensor, "frames 2 hidden"]
    hidden_weight: Float[Tensor, "hidden hidden"]
    hidden_bias: Float[Tensor, " hidden"]
    density_weight: Float[Tensor, " hidden"]
    density_bias: Float[Tensor, " 1"]
    colour_weight: Float[Tensor, "hidden hidden_view"]
    colour_bias: Float[Tensor, " hidden"]
    out_weight: Float[Tensor, "3 hidden"]
    out_bias: Float[Tensor, " 3"]
    regions: Float[Tensor, "2 7"]


@dataclass(frozen=True)
class Grid:
    """Where a field is, and how rays are sampled in it.

    Attributes:
        occupied: indexed [x, y, z].
        empty_block_distance: of `occupied`, from the function of that name.
        box_size: side of the unit cube, metres.
        step: metres between samples.
        max_samples: samples per ray at most; the nearest are kept.
    """

    occupied: UInt8[Tensor, "cells cells cells"]
    empty_block_distance: UInt8[Tensor, "blocks blocks blocks"]
    box_size: float
    step: float
    max_samples: int


BLOCK_CELLS = 4
"""Cells a side of the blocks of `empty_block_distance`."""
_MAX_BLOCK_DISTANCE = 16


def empty_block_distance(occupied: UInt8[Tensor, "cells cells cells"]) -> UInt8[Tensor, "blocks blocks blocks"]:
    """Chebyshev distance, in blocks, from each block of cells to the nearest one with an occupied cell, at most 16: what
    a ray may skip."""
    blocks = occupied.shape[0] // BLOCK_CELLS
    size = (blocks, BLOCK_CELLS) * 3
    reached = occupied.reshape(size).amax((1, 3, 5)).float()
    result = torch.zeros_like(reached)
    for _ in range(_MAX_BLOCK_DISTANCE):
        result += 1 - reached
        # Plane by plane, then across the planes: not every device pools in three dimensions.
        reached = torch.nn.functional.max_pool2d(reached, 3, 1, 1)
        across = torch.nn.functional.max_pool2d(reached.transpose(0, 1), (3, 1), 1, (1, 0))
        reached = across.transpose(0, 1)
    return result.to(torch.uint8)


class Kernel(Protocol):
    """One implementation of the inner loops."""

    name: str

    def march(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        grid: Grid,
        jitter: Float[Tensor, " rays"],
    ) -> Samples:
        """Place samples where rays cross occupied cells.

        Args:
            origins: in the unit cube's coordinates.
            directions: unit length.
            jitter: in [0, 1), shift of each ray's samples in steps.
        """
        ...

    def shade(
        self,
        samples: Samples,
        directions: Float[Tensor, "rays 3"],
        starts: Int[Tensor, " starts"],
        tables: Float[Tensor, "features table"],
        layout: TriplaneLayout,
        networks: Networks,
    ) -> tuple[Float[Tensor, " samples"], Float[Tensor, "samples 3"], Float[Tensor, "samples 2"]]:
        """Density and colour of samples (Eq. 10 to 12), differentiable in `tables` and `networks`.

        Args:
            directions: of the rays, unit length.
            starts: (I + 1) int64: the samples of frame i are `starts[i]` to `starts[i + 1]`.

        Returns:
            Density per metre; colour in [0, 1], display-encoded; gates of lips and expression (Eq. 4), without gradient.
        """
        ...

    def composite(
        self, density: Float[Tensor, " samples"], colour: Float[Tensor, "samples 3"], samples: Samples, step: float
    ) -> tuple[Float[Tensor, "rays 4"], Float[Tensor, " samples"], Float[Tensor, " rays"]]:
        """Volume rendering (Eq. 9): density per metre and colour to what rays see.

        Returns:
            Premultiplied RGBA; weights, without gradient; distortion, in steps: the weighted distance between each two
            samples of a ray, the sum of w_i w_j |t_i - t_j|, which is small where a ray meets one thin surface
            (Mip-NeRF 360, Eq. 15, without its term for a single interval).
        """
        ...

    def draw(
        self,
        origin: Float[Tensor, " 3"],
        directions: Float[Tensor, "rays 3"],
        grid: Grid,
        tables: Float[Tensor, "features table"],
        layout: TriplaneLayout,
        networks: Networks,
    ) -> Float[Tensor, "rays 7"]:
        """All three for one frame, without gradient: what rays see.

        Args:
            origin: of the camera, in the unit cube.
            directions: neighbouring pixels' rays should be neighbours.

        Returns:
            Premultiplied RGBA; the sum of weight times distance, metres; the sums of weight times the gates.
        """
        ...
