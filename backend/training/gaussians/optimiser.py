"""Adam on the attributes and bases of a Gaussian head, each kind at its own rate.

Bases are trained ungated; a head holds them times its gates (`gates`), which follow the Gaussians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...renderer.gaussians.head import DRIVEN, GaussianHead
from ...renderer.gaussians.kernels.interface import COLOUR, LOG_SCALE, OPACITY, POSITION, ROTATION
from ...workspace.shapes import Float
from ..schedule import rate_decay
from .density import Refit
from .gates import head_gates

RATES = {"position": 2e-4, "log_scale": 2e-2, "rotation": 2e-2, "opacity": 8e-2, "colour": 1e-2}
"""Adam's rates at the start: metres, logarithms, quaternion units, logits, colour."""
BASIS_RATE, VIEW_RATE = 0.2, 0.2
"""Of bases, in rates of what they drive."""
BASIS_DECAY = 0.002
"""Share that bases lose in a step. What no image asks for, Adam moves all the same, by its noise: after five minutes a slider
alone made grain of it (1.9 times the clip's, 1.2 with the decay) and shut the eye less far than after one."""
NETWORK_RATE, LINEAR_RATE = 2e-3, 5e-4
"""Of the code networks."""
FINAL_RATE, FINAL_NETWORK_RATE = 0.5, 0.1
"""Rates fall to this share, exponentially, and in the last part to a tenth of it (`schedule.rate_decay`)."""
MIN_SCALE_M, MAX_SCALE_M = 3e-4, 0.012
"""Standard deviations stay between: thinner ones become coloured grain in poses that no frame shows."""
_ATTRIBUTES = {
    "position": POSITION,
    "log_scale": LOG_SCALE,
    "rotation": ROTATION,
    "opacity": slice(OPACITY, OPACITY + 1),
    "colour": COLOUR,
}
"""Rows of attributes by kind."""
_BASES = {"position": slice(0, 3), "opacity": slice(3, 4), "colour": slice(4, 7)}
"""Rows of bases by the kind that they drive."""
GATED = ("lip_bases", "expression_bases")
_LEAST_GATE = 0.05
"""Below, a finished head's bases say nothing of what they were before the gate."""


@dataclass
class _Kept:
    """One parameter: a view of the head's memory."""

    owner: str
    kind: str
    rows: slice
    tensor: torch.nn.Parameter
    rate: float


class GaussianOptimiser:
    """Holds views of a head's tensors; `resize` where their number changes.

    Attributes:
        ungated: bases without their gates, by `GATED`.
    """

    def __init__(self, head: GaussianHead) -> None:
        self.head = head
        self._gates = head_gates(head)
        self.ungated = {name: getattr(head, name) / self._gates[name].clamp_min(_LEAST_GATE) for name in GATED}
        self._attach({})
        self._apply_gates()

    def renew_gates(self) -> None:
        """Gate the bases by where the Gaussians are now."""
        self._gates = head_gates(self.head)
        self._apply_gates()

    def _apply_gates(self) -> None:
        for name in GATED:
            torch.mul(self.ungated[name], self._gates[name], out=getattr(self.head, name))

    def _attach(self, states: dict[tuple[str, int], dict[str, Tensor]]) -> None:
        head = self.head
        kept = [_Kept("base", kind, rows, _view(head.base, rows), RATES[kind]) for kind, rows in _ATTRIBUTES.items()]
        for owner, bases in self.ungated.items():
            kept += [
                _Kept(owner, kind, rows, _view(bases, rows), RATES[kind] * BASIS_RATE) for kind, rows in _BASES.items()
            ]
        kept.append(
            _Kept("view_bases", "colour", slice(0, 3), _view(head.view_bases, slice(0, 3)), RATES["colour"] * VIEW_RATE)
        )
        self._kept = [entry for entry in kept if entry.tensor.numel()]
        groups = [{"params": [entry.tensor], "lr": entry.rate} for entry in self._kept]
        self._adam = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-12, fused=True)
        for entry in self._kept:
            state = states.get((entry.owner, entry.rows.start))
            if state is not None:
                self._adam.state[entry.tensor] = state
        if not hasattr(self, "_networks"):
            codes = (head.lip_code, head.expression_code)
            self._networks = torch.optim.Adam(
                [
                    {"params": [p for code in codes for p in code.network.parameters()], "lr": NETWORK_RATE},
                    {"params": [code.linear for code in codes], "lr": LINEAR_RATE},
                ],
                betas=(0.9, 0.99),
                eps=1e-12,
            )

    # -- a step -----------------------------------------------------------------------------------------------------

    def lip_gradients(self, frames: Float[Tensor, "frames 14 n"], codes: Float[Tensor, "frames lip"]) -> Tensor | None:
        """Gradients of the lip bases from those of each frame's attributes; returns those by the codes."""
        return self._by_bases("lip_bases", frames[:, :, : self.head.lips], codes)

    def other_gradients(
        self,
        frames: Float[Tensor, "frames 14 n"],
        codes: Float[Tensor, "frames expression"],
        view: Float[Tensor, "frames 2"],
    ) -> Tensor | None:
        """As `lip_gradients` for the expression bases; also gradients of the view's bases and of the base attributes."""
        total = frames.sum(0)
        for entry in self._kept:
            if entry.owner == "base":
                entry.tensor.grad = total[entry.rows]
            elif entry.owner == "view_bases":
                entry.tensor.grad = (view.T @ frames[:, COLOUR].movedim(0, 1)).contiguous()
        first = self.head.lips
        return self._by_bases("expression_bases", frames[:, :, first : first + self.head.expressions], codes)

    def _by_bases(self, owner: str, frames: Tensor, codes: Tensor) -> Tensor | None:
        by_codes = None
        for entry in self._kept:
            if entry.owner != owner:
                continue
            by_row = frames[:, _ATTRIBUTES[entry.kind]].movedim(1, 0)  # (rows, frames, n)
            entry.tensor.grad = (codes.T @ by_row) * self._gates[owner]
            part = (by_row @ getattr(self.head, owner)[entry.rows].mT).sum(0)
            by_codes = part if by_codes is None else by_codes + part
        return by_codes

    def step(self, share: float, scale: float, codes: list[Tensor], by_codes: list[Tensor | None]) -> None:
        """Move everything by the gradients that were given.

        Args:
            share: of the training that is done, 0 to 1.
            scale: of all rates.
            codes, by_codes: the codes with their graph, and the gradients by them.
        """
        used = [(code, by) for code, by in zip(codes, by_codes, strict=True) if by is not None]
        self._networks.zero_grad(set_to_none=True)
        if used:
            torch.autograd.backward([code for code, _ in used], [by for _, by in used])
        for group, rate in zip(self._networks.param_groups, (NETWORK_RATE, LINEAR_RATE), strict=True):
            group["lr"] = rate * rate_decay(share, FINAL_NETWORK_RATE) * scale
        for group, entry in zip(self._adam.param_groups, self._kept, strict=True):
            group["lr"] = entry.rate * rate_decay(share, FINAL_RATE) * scale
        for bases in self.ungated.values():
            bases.mul_(1 - BASIS_DECAY)
        self._networks.step()
        self._adam.step()
        self._apply_gates()
        self.head.base[LOG_SCALE].clamp_(float(np.log(MIN_SCALE_M)), float(np.log(MAX_SCALE_M)))

    # -- density, files ---------------------------------------------------------------------------------------------

    def resize(self, change: Refit) -> None:
        """Take over the Gaussians of a `Refit`, with what Adam knows of them."""
        head = self.head
        source = torch.from_numpy(change.source)
        fresh = torch.from_numpy(change.fresh)
        lips = int((source < head.lips).sum())
        expressions = int((source < head.lips + head.expressions).sum()) - lips
        places = {
            "base": source,
            "view_bases": source,
            "lip_bases": source[:lips],
            "expression_bases": source[lips : lips + expressions] - head.lips,
        }
        states = {}
        for entry in self._kept:
            state = self._adam.state.get(entry.tensor)
            if state:
                moments = {key: state[key][..., places[entry.owner]] for key in ("exp_avg", "exp_avg_sq")}
                if entry.owner == "base":  # both halves of a split begin with half of what was known
                    for value in moments.values():
                        value[..., fresh] *= 0.5
                states[entry.owner, entry.rows.start] = {"step": state["step"], **moments}
        head.base = torch.from_numpy(change.base)
        head.view_bases = head.view_bases[..., places["view_bases"]].contiguous()
        for name in GATED:
            self.ungated[name] = self.ungated[name][..., places[name]].contiguous()
            setattr(head, name, torch.empty_like(self.ungated[name]))
        head.mattes = head.mattes[:, source].contiguous()
        self._attach(states)
        self.renew_gates()

    def tensors(self) -> dict[str, Tensor]:
        """By name, for a file: the bases in full precision and ungated, and Adam's state."""
        result = {
            f"full.{name}": bases for name, bases in (*self.ungated.items(), ("view_bases", self.head.view_bases))
        }
        for entry in self._kept:
            for key, value in self._adam.state.get(entry.tensor, {}).items():
                result[f"adam.{entry.owner}.{entry.rows.start}.{key}"] = torch.as_tensor(value)
        for index, parameter in enumerate(_parameters(self._networks)):
            for key, value in self._networks.state.get(parameter, {}).items():
                result[f"networks.{index}.{key}"] = torch.as_tensor(value)
        return {name: value.detach().contiguous() for name, value in result.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """What `tensors` gave; a head whose training is complete has none, and Adam begins again."""
        for name in GATED:
            if f"full.{name}" in tensors:
                self.ungated[name] = tensors[f"full.{name}"].clone()
        if "full.view_bases" in tensors:
            self.head.view_bases = tensors["full.view_bases"].clone()
        states: dict[tuple[str, int], dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("adam."):
                _, owner, row, key = name.split(".")
                states.setdefault((owner, int(row)), {})[key] = value.clone()
        self._attach(states)
        self.renew_gates()
        for index, parameter in enumerate(_parameters(self._networks)):
            prefix = f"networks.{index}."
            found = {
                key.removeprefix(prefix): value.clone() for key, value in tensors.items() if key.startswith(prefix)
            }
            if found:
                self._networks.state[parameter] = found


def _view(tensor: Tensor, rows: slice) -> torch.nn.Parameter:
    return torch.nn.Parameter(tensor[rows])


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


assert len(DRIVEN) == max(rows.stop for rows in _BASES.values())
