"""The radiance field of a head (Eq. 9 to 12), conditioned on lip shape and expression, gated by place (Eq. 4)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.shapes import Float
from ..regions import BLENDSHAPE_GAIN, LIP_INDICES, UPPER_FACE, Region
from .kernels.interface import GATE_HIDDEN, SPHERICAL_HARMONICS, Grid, Networks, empty_block_distance
from .triplane import TriplaneLayout


@dataclass(frozen=True)
class FieldConfig:
    """Everything needed to rebuild a field from its weights.

    Attributes:
        box_low_m: corner of the unit cube in the head frame, metres.
        box_size_m: side of the unit cube, metres.
        step_m: distance between samples on a ray, metres.
        lip_region, expression_region: where each may act (the facial-aware masks, fixed to the head).
        blendshape_centre: (52) the clip's mean; the networks see differences from it.
        expression: names of the blendshapes that drive the upper face.
        lip_inputs: how many features of audio follow the 52 blendshapes and drive the lips; 0 where the mouth's
            blendshapes do.
    """

    box_low_m: tuple[float, float, float]
    box_size_m: float
    step_m: float
    lip_region: Region
    expression_region: Region
    blendshape_centre: tuple[float, ...]
    layout: TriplaneLayout = field(default_factory=TriplaneLayout)
    hidden: int = 64
    geometry: int = 32
    lip_features: int = 16
    expression_features: int = 8
    occupancy_cells: int = 128
    expression: tuple[str, ...] = UPPER_FACE
    lip_inputs: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FieldConfig:
        value = dict(value)
        value.pop("max_samples", None)  # in older checkpoints; it concerns training alone
        value["layout"] = TriplaneLayout(**value["layout"])
        for name in ("lip_region", "expression_region"):
            value[name] = Region.from_json(value[name])
        for name in ("box_low_m", "blendshape_centre", "expression"):
            if name in value:
                value[name] = tuple(value[name])
        return cls(**value)


def _in_cube(region: Region, config: FieldConfig) -> list[float]:
    """A region's row of `Networks.regions`."""
    size = config.box_size_m
    centre = [(value - low) / size for value, low in zip(region.centre_m, config.box_low_m, strict=True)]
    return [*centre, *(radius / size for radius in region.radii_m), min(region.radii_m) / region.softness_m]


class Field(nn.Module):
    """Density and colour of a head at a point, seen from a direction, for a lip shape and an expression.

    The gates of Eq. 4 are two numbers a point: sigmoid of a small network of the point's encoding, times the fixed
    region; a gated condition enters the first layer of the density network.
    """

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.config = config
        layout, hidden = config.layout, config.hidden
        self.tables = nn.Parameter(torch.empty(layout.features, layout.table_size).uniform_(-1e-2, 1e-2))
        self.gate = nn.Sequential(nn.Linear(layout.features, GATE_HIDDEN), nn.ReLU(), nn.Linear(GATE_HIDDEN, 2))
        lips = config.lip_inputs or len(LIP_INDICES)
        expression = [BLENDSHAPE_NAMES.index(name) for name in config.expression]
        self.lip_code = nn.Sequential(nn.Linear(lips, 32), nn.ReLU(), nn.Linear(32, config.lip_features))
        self.expression_code = nn.Sequential(
            nn.Linear(len(expression), 32), nn.ReLU(), nn.Linear(32, config.expression_features)
        )
        conditions = config.lip_features + config.expression_features
        self.density_in = nn.Linear(layout.features + conditions, hidden)
        self.density_hidden = nn.Linear(hidden, hidden)
        self.density_out = nn.Linear(hidden, 1 + config.geometry)
        self.colour_in = nn.Linear(config.geometry + SPHERICAL_HARMONICS, hidden)
        self.colour_out = nn.Linear(hidden, 3)
        with torch.no_grad():
            # An untrained head is a thin fog in the hull (about 5 a metre), neither empty nor solid.
            self.density_out.bias[0] = 1.6
            self.gate[2].bias.fill_(1.0)
        self.register_buffer("occupied", torch.ones((config.occupancy_cells,) * 3, dtype=torch.uint8))
        self.register_buffer("empty_block_distance", empty_block_distance(self.occupied), persistent=False)
        self.register_buffer("centre", torch.tensor(config.blendshape_centre, dtype=torch.float32), persistent=False)
        regions = [_in_cube(region, config) for region in (config.lip_region, config.expression_region)]
        self.register_buffer("regions", torch.tensor(regions), persistent=False)
        # Not lists: each use of one would be an upload that a GPU's work is waited for.
        self.register_buffer("lip_indices", torch.tensor(LIP_INDICES), persistent=False)
        self.register_buffer("expression_indices", torch.tensor(expression), persistent=False)
        self.register_buffer("low", torch.tensor(config.box_low_m, dtype=torch.float32), persistent=False)

    # -- conditions -------------------------------------------------------------------------------------------------

    def codes(
        self, conditions: Float[Tensor, "frames conditions"]
    ) -> tuple[Float[Tensor, "frames lip"], Float[Tensor, "frames expression"]]:
        """Lip and expression codes of (52 + lip_inputs) conditions."""
        count = len(BLENDSHAPE_NAMES)
        difference = BLENDSHAPE_GAIN * (conditions[:, :count] - self.centre)
        lips = conditions[:, count:] if self.config.lip_inputs else difference.index_select(1, self.lip_indices)
        return self.lip_code(lips), self.expression_code(difference.index_select(1, self.expression_indices))

    def networks(self, conditions: Float[Tensor, "frames conditions"]) -> Networks:
        """The networks for frames of (52 + lip_inputs) conditions, folded; differentiable in the field's parameters."""
        config, first = self.config, self.density_in.weight
        features = config.layout.features
        by_encoding, by_lips, by_expression = torch.split(
            first, [features, config.lip_features, config.expression_features], 1
        )
        lip, expression = self.codes(conditions)
        geometry, view = torch.split(self.colour_in.weight, [config.geometry, SPHERICAL_HARMONICS], 1)
        weight, bias = self.density_out.weight, self.density_out.bias
        return Networks(
            first_weight=torch.cat([by_encoding, self.gate[0].weight]),
            first_bias=torch.cat([self.density_in.bias, self.gate[0].bias]),
            gate_weight=self.gate[2].weight,
            gate_bias=self.gate[2].bias,
            condition=torch.stack([lip @ by_lips.T, expression @ by_expression.T], 1),
            hidden_weight=self.density_hidden.weight,
            hidden_bias=self.density_hidden.bias,
            density_weight=weight[0],
            density_bias=bias[:1],
            colour_weight=torch.cat([geometry @ weight[1:], view], 1),
            colour_bias=geometry @ bias[1:] + self.colour_in.bias,
            out_weight=self.colour_out.weight,
            out_bias=self.colour_out.bias,
            regions=self.regions,
        )

    # -- where it is ------------------------------------------------------------------------------------------------

    def grid(self, step_times: float = 1.0, max_samples: int | None = None) -> Grid:
        """The occupied cells and how to sample them.

        Args:
            step_times: multiple of the configured step.
            max_samples: samples per ray at most. By default as many as the box's diagonal holds: without a ray's last
                sample, an image jumps where one more comes in at the front.
        """
        config = self.config
        step = config.step_m * step_times
        return Grid(
            self.occupied,
            self.empty_block_distance,
            config.box_size_m,
            step,
            max_samples or math.ceil(math.sqrt(3) * config.box_size_m / step) + 1,
        )

    def in_cube(self, points_m: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Metres in the head frame to the unit cube's coordinates."""
        return (points_m - self.low) / self.config.box_size_m

    @torch.no_grad()
    def set_occupied(self, occupied: Tensor) -> None:
        """Replace the occupancy grid, (G, G, G) bool or uint8."""
        self.occupied.copy_(occupied.to(torch.uint8))
        self.empty_block_distance.copy_(empty_block_distance(self.occupied))
