"""A head of 3D Gaussians (Kerbl et al. 2023) that the 52 blendshapes and the view drive.

A Gaussian's attributes are its own, plus local linear bases times a few codes of the frame: lip codes for Gaussians in the lip
region, expression codes for those in the upper face (the facial-aware regions of Eq. 4, fixed to the head), none elsewhere.
Place, opacity and colour are driven; what they are made of saturates, so a shape that the clip never shows moves
them little further than the rarest ones it does, and opacity and colour stay at those of the clip's frames.
Colour follows the direction of view a little, and no further than the clip's views do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.shapes import Float, Int
from ..regions import BLENDSHAPE_GAIN, LIP_INDICES, Region
from .kernels.interface import ATTRIBUTES, COLOUR, MATTES, OPACITY, POSITION

DRIVEN = (0, 1, 2, OPACITY, 11, 12, 13)
"""Rows of attributes that codes drive. Scale and rotation driven as well gain nothing and cost a third more memory."""
REACH = 2.5
"""Length that a frame's inputs approach, in lengths that one in 200 frames of the clip exceeds. With each code bounded by itself,
lips pressed as in no frame were torn."""
SHOWN = 0.75
"""How far from the clip's mean opacity and colour follow the inputs, in Mahalanobis distances that one in 200 of its frames exceeds.
Without it a jaw that is open further than in the clip had a dark edge at the chin, crumbs and glaring lips; held-out mouths of a
71 s clip lose 0.12 dB, at 0.6 0.23 dB and at 0.9 0.03 dB, where the edge is back. Of the lips alone: lids of a blink are mostly colour."""
SHOWN_FLOOR = 0.02
"""Variance that an input has at least for that distance, in parts of the inputs' mean variance."""
START_SCALE = 0.5
"""Codes of the start in inputs."""
VIEW_LIMIT = 1.5
"""The direction of view ends here, in standard deviations of the clip's."""


@dataclass(frozen=True)
class GaussianConfig:
    """Everything besides arrays that rebuilds a head.

    Attributes:
        blendshape_centre: (52) the clip's mean.
        expression: names of the blendshapes that drive the upper face.
        lip_inputs: as `FieldConfig.lip_inputs`.
        filter_m: as `View.filter_m`.
        view_mean, view_scale: (2) of the clip's directions of view, x and y in the head frame.
    """

    lip_region: Region
    expression_region: Region
    blendshape_centre: tuple[float, ...]
    expression: tuple[str, ...]
    filter_m: float
    view_mean: tuple[float, float]
    view_scale: tuple[float, float]
    lip_inputs: int = 0
    lip_codes: int = 16
    expression_codes: int = 8

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> GaussianConfig:
        value = dict(value)
        for name in ("lip_region", "expression_region"):
            value[name] = Region.from_json(value[name])
        for name in ("blendshape_centre", "expression", "view_mean", "view_scale"):
            value[name] = tuple(value[name])
        return cls(**value)


class Codes(nn.Module):
    """A frame's codes from its conditions: a linear map, which begins as their principal components, and a small network.

    Attributes:
        limit: the length that inputs approach.
        precision, shown: of the clip's inputs, and the Mahalanobis distance up to which opacity and colour follow them; 0 for
            any distance, as in heads that were trained before.
    """

    def __init__(self, inputs: int, codes: int, hidden: int = 32) -> None:
        super().__init__()
        self.linear = nn.Parameter(torch.zeros(inputs, codes))
        self.network = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, codes))
        self.limit: Tensor
        self.precision: Tensor
        self.shown: Tensor
        self.register_buffer("limit", torch.tensor(2.0 * BLENDSHAPE_GAIN))
        self.register_buffer("precision", torch.zeros(inputs, inputs))
        self.register_buffer("shown", torch.tensor(0.0))
        nn.init.zeros_(self.network[2].weight)
        nn.init.zeros_(self.network[2].bias)

    @torch.no_grad()
    def start(self, inputs: Float[Tensor, "frames inputs"]) -> None:
        """Begin with the principal components of a clip's inputs.

        All in the scale of the inputs. Each with a deviation of 1, what hardly varies in the clip weighed as much as speech and
        blinks: held-out mouths were 0.3 dB worse, and a slider alone, which no frame shows, moved half as much.
        """
        directions = torch.linalg.svd(inputs - inputs.mean(0), full_matrices=False)[2][: self.linear.shape[1]]
        self.linear.zero_()
        self.linear[:, : len(directions)] = START_SCALE * directions.T
        lengths = torch.quantile(inputs.norm(dim=1), 0.995)
        self.limit.copy_((REACH * lengths).clamp_min(1.0))

    @torch.no_grad()
    def bound_colour(self, inputs: Float[Tensor, "frames inputs"]) -> None:
        """From now on opacity and colour follow inputs no further than a clip's go."""
        spread = inputs.T @ inputs / len(inputs)
        floor = (SHOWN_FLOOR * spread.diagonal().mean()).clamp_min(1e-6)
        self.precision.copy_(torch.linalg.inv(spread + floor * torch.eye(len(spread))))
        self.shown.copy_(SHOWN * torch.quantile(self._distance(inputs), 0.995))

    def forward(self, inputs: Float[Tensor, "frames inputs"]) -> Float[Tensor, "frames codes"]:
        length = inputs.norm(dim=1, keepdim=True).clamp_min(1e-6)
        inputs = inputs * (self.limit * torch.tanh(length / self.limit) / length)
        return inputs @ self.linear + self.network(inputs)

    def as_shown(self, inputs: Float[Tensor, "frames inputs"]) -> Float[Tensor, "frames inputs"]:
        """The inputs, no further from the clip's mean than `shown`."""
        return (
            inputs
            * torch.where(self.shown > 0, self.shown / self._distance(inputs).clamp_min(1e-6), 1.0).clamp_max(1.0)[
                :, None
            ]
        )

    def _distance(self, inputs: Float[Tensor, "frames inputs"]) -> Float[Tensor, " frames"]:
        return ((inputs @ self.precision) * inputs).sum(1).clamp_min(0).sqrt()


class GaussianHead:
    """N Gaussians: the first `lips` are driven by lip codes, the next `expressions` by expression codes, the rest by neither.

    Attributes:
        base: attributes without codes (`kernels.interface`).
        lip_bases, expression_bases: what a code of 1 adds to the rows of `DRIVEN`.
        view_bases: what a direction of view of one standard deviation adds to the colour.
        mattes: shares of mouth, hair and skin, 0 to 1.
        order: the order in which they are blended.
    """

    def __init__(
        self,
        config: GaussianConfig,
        base: Float[Tensor, "14 n"],
        lips: int,
        expressions: int,
        mattes: Float[Tensor, "3 n"] | None = None,
        order: Int[Tensor, " n"] | None = None,
    ) -> None:
        count = base.shape[1]
        driven = len(DRIVEN)
        self.config, self.base = config, base
        self.lip_bases = torch.zeros(driven, config.lip_codes, lips)
        self.expression_bases = torch.zeros(driven, config.expression_codes, expressions)
        self.view_bases = torch.zeros(3, 2, count)
        self.mattes = torch.zeros(len(MATTES), count) if mattes is None else mattes
        self.order = torch.arange(count, dtype=torch.int32) if order is None else order
        self._expression_indices = [BLENDSHAPE_NAMES.index(name) for name in config.expression]
        self.lip_code = Codes(config.lip_inputs or len(LIP_INDICES), config.lip_codes)
        self.expression_code = Codes(len(self._expression_indices), config.expression_codes)
        self._centre = torch.tensor(config.blendshape_centre, dtype=torch.float32)

    @property
    def count(self) -> int:
        return self.base.shape[1]

    @property
    def lips(self) -> int:
        """How many Gaussians lip codes drive."""
        return self.lip_bases.shape[2]

    @property
    def expressions(self) -> int:
        return self.expression_bases.shape[2]

    # -- a frame ----------------------------------------------------------------------------------------------------

    def inputs(
        self, conditions: Float[Tensor, "frames conditions"]
    ) -> tuple[Float[Tensor, "frames lip"], Float[Tensor, "frames expression"]]:
        """What the two code networks see of (52 + lip_inputs) conditions."""
        shapes = len(BLENDSHAPE_NAMES)
        difference = BLENDSHAPE_GAIN * (conditions[:, :shapes] - self._centre)
        lips = conditions[:, shapes:] if self.config.lip_inputs else difference[:, LIP_INDICES]
        return lips, difference[:, self._expression_indices]

    def codes(
        self, conditions: Float[Tensor, "frames conditions"]
    ) -> tuple[Float[Tensor, "frames lip"], Float[Tensor, "frames expression"]]:
        """Lip and expression codes, of place."""
        lips, expression = self.inputs(conditions)
        return self.lip_code(lips), self.expression_code(expression)

    def shown_codes(
        self, conditions: Float[Tensor, "frames conditions"]
    ) -> tuple[Float[Tensor, "frames lip"], Float[Tensor, "frames expression"]]:
        """Lip and expression codes of opacity and colour in frames that are shown; training has those of place for all."""
        lips, expression = self.inputs(conditions)
        return self.lip_code(self.lip_code.as_shown(lips)), self.expression_code(
            self.expression_code.as_shown(expression)
        )

    def view(self, head_to_camera: Float[np.ndarray, "frames 4 4"]) -> Float[Tensor, "frames 2"]:
        """The direction from the head to the camera, in the head frame, in standard deviations of the clip's."""
        direction = view_directions(head_to_camera)
        scaled = (direction - np.float32(self.config.view_mean)) / np.float32(self.config.view_scale)
        return torch.from_numpy(np.clip(scaled, -VIEW_LIMIT, VIEW_LIMIT).astype(np.float32))

    def deformed(
        self,
        lip_codes: Float[Tensor, "frames lip"],
        expression_codes: Float[Tensor, "frames expression"],
        view: Float[Tensor, "frames 2"],
        shown: tuple[Float[Tensor, "frames lip"], Float[Tensor, "frames expression"]] | None = None,
    ) -> Float[Tensor, "frames 14 n"]:
        """Attributes of frames.

        Args:
            shown: codes of opacity and colour, where they are not those of place.
        """
        frames, driven = len(view), self.lips + self.expressions
        result = self.base.expand(frames, ATTRIBUTES, self.count).clone()
        lips, expressions = shown or (lip_codes, expression_codes)
        moved = torch.cat(
            [
                torch.cat([lip_codes @ self.lip_bases[:3], lips @ self.lip_bases[3:]]),
                torch.cat([expression_codes @ self.expression_bases[:3], expressions @ self.expression_bases[3:]]),
            ],
            2,
        )  # (driven, frames, n)
        result[:, POSITION, :driven] += moved[POSITION].movedim(0, 1)
        result[:, OPACITY, :driven] += moved[3]
        result[:, COLOUR, :driven] += moved[4:].movedim(0, 1)
        result[:, COLOUR] += (view @ self.view_bases).movedim(0, 1)
        result[:, COLOUR].clamp_(0, 1)
        return result

    @torch.no_grad()
    def attributes(
        self, conditions: Float[np.ndarray, " conditions"], head_to_camera: Float[np.ndarray, "4 4"]
    ) -> Float[np.ndarray, "14 n"]:
        """Attributes of one frame."""
        given = torch.as_tensor(np.array(conditions, np.float32))[None]
        view = self.view(np.asarray(head_to_camera)[None])
        return self.deformed(*self.codes(given), view, self.shown_codes(given))[0].numpy()

    @torch.no_grad()
    def neutral(self) -> Float[np.ndarray, "14 n"]:
        """Attributes at the clip's mean blendshapes and mean direction of view."""
        shapes = torch.zeros(1, len(BLENDSHAPE_NAMES) + self.config.lip_inputs)
        shapes[0, : len(BLENDSHAPE_NAMES)] = self._centre
        return self.deformed(*self.codes(shapes), torch.zeros(1, 2), self.shown_codes(shapes))[0].numpy()

    # -- kept -------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """By name, for a file; bases in half precision."""
        arrays = {
            "base": self.base,
            "lip_bases": self.lip_bases.half(),
            "expression_bases": self.expression_bases.half(),
            "view_bases": self.view_bases.half(),
            "mattes": (self.mattes * 255).round().to(torch.uint8),
            "order": self.order,
        }
        networks = {"lip_code": self.lip_code, "expression_code": self.expression_code}
        for name, network in networks.items():
            arrays |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        return {name: value.detach().clone().contiguous() for name, value in arrays.items()}

    @classmethod
    def from_tensors(cls, config: GaussianConfig, tensors: dict[str, Tensor]) -> GaussianHead:
        """
        Raises:
            KeyError, ValueError, RuntimeError: a tensor is missing or has the wrong shape.
        """
        lips, expressions = tensors["lip_bases"].shape[2], tensors["expression_bases"].shape[2]
        head = cls(
            config, tensors["base"].float(), lips, expressions, tensors["mattes"].float() / 255, tensors["order"].int()
        )
        for name in ("lip_bases", "expression_bases", "view_bases"):
            stored = tensors[name].float()
            if stored.shape != getattr(head, name).shape:
                raise ValueError(f"{name} has the shape {tuple(stored.shape)}")
            setattr(head, name, stored)
        for name in ("lip_code", "expression_code"):
            prefix = f"{name}."
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            network = getattr(head, name)
            kept = {
                key: getattr(network, key) for key in ("precision", "shown")
            }  # which heads trained before do not have
            network.load_state_dict(kept | state)
        return head


def view_directions(head_to_camera: Float[np.ndarray, "frames 4 4"]) -> Float[np.ndarray, "frames 2"]:
    """x and y, in the head frame, of the unit vector from the head's origin to the camera."""
    rotation, translation = head_to_camera[:, :3, :3], head_to_camera[:, :3, 3]
    towards = -np.einsum("nji,nj->ni", rotation, translation)
    return (towards / np.linalg.norm(towards, axis=1, keepdims=True))[:, :2].astype(np.float32)
