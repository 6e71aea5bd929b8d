"""The radiance field of a head (Eq. 9 to 12), conditioned on lip shape and expression, gated by place (Eq. 4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..protocol import BLENDSHAPE_NAMES, MOUTH_NAMES
from .kernels import Kernel
from .kernels.interface import clearance
from .triplane import TriplaneLayout

SPHERICAL_HARMONICS = 9
"""Coefficients of the view direction: degrees 0 to 2. A head turns by tens of degrees, and skin is rough."""

LIP_INDICES = tuple(BLENDSHAPE_NAMES.index(name) for name in MOUTH_NAMES)
EXPRESSION_INDICES = tuple(index for index, name in enumerate(BLENDSHAPE_NAMES) if name.startswith(("brow", "eye")))
"""Blendshapes of the upper face: the paper drives seven (brows and lids); the rig has gaze and squint as well."""

BLENDSHAPE_GAIN = 8.0
"""Blendshapes of speech vary by 0.02 to 0.2: the networks see them about as large as their other inputs, or lips would
be the last thing they learn (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Region:
    """A soft ellipsoid in the head frame: 1 inside, 0 beyond, the border `softness_m` wide."""

    centre_m: tuple[float, float, float]
    radii_m: tuple[float, float, float]
    softness_m: float = 0.008


@dataclass(frozen=True)
class FieldConfig:
    """Everything needed to rebuild a field from its weights.

    Attributes:
        box_low_m: corner of the unit cube in the head frame, metres.
        box_size_m: side of the unit cube, metres.
        step_m: distance between samples on a ray, metres.
        max_samples: samples a ray at most; more than rays need, since one that is cut off leaves a jump in the picture.
        lip_region, expression_region: where each may act (the facial-aware masks, fixed to the head).
        blendshape_centre: (52) the clip's mean; the networks see differences from it.
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
    max_samples: int = 48
    occupancy_cells: int = 128

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> FieldConfig:
        value = dict(value)
        value["layout"] = TriplaneLayout(**value["layout"])
        for name in ("lip_region", "expression_region"):
            region = value[name]
            value[name] = Region(tuple(region["centre_m"]), tuple(region["radii_m"]), region["softness_m"])
        for name in ("box_low_m", "blendshape_centre"):
            value[name] = tuple(value[name])
        return cls(**value)


def region_weight(positions_m: torch.Tensor, region: Region) -> torch.Tensor:
    """How far `region` reaches to each point: (M, 3) metres in the head frame to (M,) in [0, 1]."""
    centre, radii = positions_m.new_tensor(region.centre_m), positions_m.new_tensor(region.radii_m)
    distance = ((positions_m - centre) / radii).norm(dim=1) - 1  # in radii
    return torch.sigmoid(-distance * (float(radii.min()) / region.softness_m))


def spherical_harmonics(directions: torch.Tensor) -> torch.Tensor:
    """Real spherical harmonics of degrees 0 to 2: (R, 3) unit vectors to (R, 9)."""
    x, y, z = directions.unbind(1)
    return torch.stack(
        [
            torch.full_like(x, 0.28209479),
            -0.48860251 * y,
            0.48860251 * z,
            -0.48860251 * x,
            1.09254843 * x * y,
            -1.09254843 * y * z,
            0.31539157 * (3 * z * z - 1),
            -1.09254843 * x * z,
            0.54627422 * (x * x - y * y),
        ],
        1,
    )


class _Exponential(torch.autograd.Function):
    """exp with a bounded gradient, so that one dense sample cannot blow a step up."""

    @staticmethod
    def forward(ctx, value):
        result = torch.exp(value.clamp(max=11))
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].clamp(max=3e4)


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
        self.gate = nn.Sequential(nn.Linear(layout.features, 16), nn.ReLU(), nn.Linear(16, 2))
        self.lip_code = nn.Sequential(nn.Linear(len(LIP_INDICES), 32), nn.ReLU(), nn.Linear(32, config.lip_features))
        self.expression_code = nn.Sequential(
            nn.Linear(len(EXPRESSION_INDICES), 32), nn.ReLU(), nn.Linear(32, config.expression_features)
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
        self.register_buffer("clearance", clearance(self.occupied), persistent=False)
        self.register_buffer("centre", torch.tensor(config.blendshape_centre, dtype=torch.float32), persistent=False)
        self.register_buffer("low", torch.tensor(config.box_low_m, dtype=torch.float32), persistent=False)

    # -- conditions -------------------------------------------------------------------------------------------------

    def codes(self, blendshapes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lip and expression codes of (F, 52) blendshapes: (F, lip_features) and (F, expression_features)."""
        difference = BLENDSHAPE_GAIN * (blendshapes - self.centre)
        return self.lip_code(difference[:, LIP_INDICES]), self.expression_code(difference[:, EXPRESSION_INDICES])

    def gates(self, encoding: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Attention of points to lips and expression (Eq. 4), (M, 2) in [0, 1]."""
        metres = positions * self.config.box_size_m + self.low
        fixed = torch.stack(
            [region_weight(metres, self.config.lip_region), region_weight(metres, self.config.expression_region)], 1
        )
        return torch.sigmoid(self.gate(encoding)) * fixed

    # -- the field --------------------------------------------------------------------------------------------------

    def forward(
        self,
        positions: torch.Tensor,
        view: torch.Tensor,
        lip: torch.Tensor,
        expression: torch.Tensor,
        kernel: Kernel,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Density, colour and gates of samples, for training.

        Args:
            positions: (M, 3) in the unit cube.
            view: (M, 9) spherical harmonics of each sample's direction.
            lip, expression: (M, features) codes of each sample's frame.
            dtype: of the networks; bfloat16 where the processor multiplies it fast.

        Returns:
            (M,) density a metre, (M, 3) colour in [0, 1] (display-encoded), (M, 2) gates.
        """
        encoding = kernel.encode(positions, self.tables, self.config.layout).to(dtype)
        with torch.autocast(positions.device.type, dtype=dtype, enabled=dtype != torch.float32):
            gates = self.gates(encoding, positions)
            conditioned = torch.cat(
                [encoding, lip.to(dtype) * gates[:, :1].to(dtype), expression.to(dtype) * gates[:, 1:].to(dtype)], 1
            )
            hidden = functional.relu(self.density_hidden(functional.relu(self.density_in(conditioned))))
            geometry = self.density_out(hidden)
            colour = self.colour_out(functional.relu(self.colour_in(torch.cat([geometry[:, 1:], view.to(dtype)], 1))))
        density = _Exponential.apply(geometry[:, 0].float())
        return density, torch.sigmoid(colour.float()), gates

    @torch.no_grad()
    def set_occupied(self, occupied: torch.Tensor) -> None:
        """Replace the occupancy grid, (G, G, G) bool or uint8."""
        self.occupied.copy_(occupied.to(torch.uint8))
        self.clearance.copy_(clearance(self.occupied))


class FrameNetworks:
    """A field's networks folded for one frame: exact, and less work a sample.

    Within a frame the lip and expression codes are constant, so their part of the first layer is one vector each; the
    last density layer and the first colour layer have nothing between them, so they are one matrix; view terms are
    computed once a ray.
    """

    def __init__(self, field_: Field, blendshapes: torch.Tensor, dtype: torch.dtype) -> None:
        layout, config = field_.config.layout, field_.config
        lip, expression = field_.codes(blendshapes[None])
        first = field_.density_in.weight
        conditions = torch.split(first[:, layout.features :], [config.lip_features, config.expression_features], 1)
        self.field, self.dtype = field_, dtype
        self.density_in = first[:, : layout.features].to(dtype), field_.density_in.bias.to(dtype)
        self.condition = torch.stack([conditions[0] @ lip[0], conditions[1] @ expression[0]]).to(dtype)
        self.density_hidden = field_.density_hidden.weight.to(dtype), field_.density_hidden.bias.to(dtype)
        geometry = field_.colour_in.weight[:, : config.geometry]
        weight, bias = field_.density_out.weight, field_.density_out.bias
        self.density_out = weight[:1], bias[:1]
        self.out = (geometry @ weight[1:]).to(dtype), (geometry @ bias[1:] + field_.colour_in.bias).to(dtype)
        self.view_weight = field_.colour_in.weight[:, config.geometry :]
        self.colour_out = field_.colour_out.weight, field_.colour_out.bias
        self.gate = [(layer.weight.to(dtype), layer.bias.to(dtype)) for layer in (field_.gate[0], field_.gate[2])]

    def view(self, directions: torch.Tensor) -> torch.Tensor:
        """The view's part of the first colour layer, (R, hidden)."""
        return functional.linear(spherical_harmonics(directions), self.view_weight).to(self.dtype)

    def __call__(
        self, positions: torch.Tensor, encoding: torch.Tensor, view: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(M, 3) positions, (M, features) encoding, (M, hidden) view terms to density, colour and gates."""
        config = self.field.config
        encoding = encoding.to(self.dtype)
        metres = positions * config.box_size_m + self.field.low
        fixed = torch.stack(
            [region_weight(metres, config.lip_region), region_weight(metres, config.expression_region)], 1
        )
        hidden = functional.relu(functional.linear(encoding, *self.gate[0]))
        gates = torch.sigmoid(functional.linear(hidden, *self.gate[1])) * fixed.to(self.dtype)
        hidden = functional.linear(encoding, *self.density_in)
        hidden = functional.relu(torch.addmm(hidden, gates, self.condition))
        hidden = functional.relu(functional.linear(hidden, *self.density_hidden))
        out = functional.linear(hidden, *self.out)
        # The last step of each is in single precision: bfloat16 keeps 8 bits, which shows as noise of 2/255.
        density = functional.linear(hidden.float(), *self.density_out)[:, 0]
        colour = functional.linear(functional.relu(out + view).float(), *self.colour_out)
        return torch.exp(density.clamp(max=11)), torch.sigmoid(colour), gates.float()
