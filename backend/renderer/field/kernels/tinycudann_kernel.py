"""The field by tiny-cuda-nn (Müller 2021), where its Python package is installed: its encoding and its fused networks.

Its networks are in half precision. It has nothing for rays: they are marched and composited by `rays`.
Never run on a GPU so far: the conversion of parameters is tested on a reference of its layout.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from ..triplane import TriplaneLayout
from . import tinycudann_layout as tcnn_layout
from .interface import GATE_HIDDEN, SPHERICAL_HARMONICS, Grid, Kernel, Networks, Samples
from .torch_kernel import TorchKernel, bounded_exponential, spherical_harmonics

_LARGEST_SUM = 128.0
"""Gradients are scaled inside so that those of an output are of this size in all. Then the weights' own, sums over all samples of them
times activations, stay well below half precision's 65,504, also a few layers further; and the mean of 100,000 samples is 20 times
its smallest normal number."""


class _Scale:
    """What the gradients within the networks are multiplied by; known once they arrive."""

    factor: Tensor


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scale: _Scale, *outputs):
        ctx.scale = scale
        return tuple(output.clone() for output in outputs)

    @staticmethod
    def backward(ctx, *gradients):
        sums = torch.cat([gradient.abs().flatten(1).sum(0) for gradient in gradients])
        ctx.scale.factor = _LARGEST_SUM / sums.amax().clamp(min=1e-30)
        return None, *(gradient * ctx.scale.factor for gradient in gradients)


class _Input(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scale: _Scale, parameters):
        ctx.scale = scale
        return parameters.clone()

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient / ctx.scale.factor


class _Modules:
    """The package's objects for a field's sizes; their own parameters are never used."""

    def __init__(self, package: Any, layout: TriplaneLayout, hidden: int, frames: int) -> None:
        features = layout.features
        config = tcnn_layout.encoding_config(layout)
        self.encoding = package.Encoding(2 * features, config, dtype=torch.float32)
        self.gate = package.Network(features + 1, 2, tcnn_layout.network_config(GATE_HIDDEN))
        network = tcnn_layout.network_config(hidden)
        self.density = package.Network(features + 2 * frames + 1, hidden, network)
        self.colour = package.Network(hidden + SPHERICAL_HARMONICS + 1, 3, network)
        for module in (self.gate, self.density, self.colour):
            module.loss_scale = 1.0  # its own 128 would be over ours


class TinycudannKernel(TorchKernel):
    """See `interface.Kernel`.

    Args:
        rays: the kernel that marches and composites.
        package: `tinycudann`, or what answers like it.
    """

    name = "tinycudann"

    def __init__(self, rays: Kernel, package: Any = None) -> None:
        super().__init__(torch.float32)
        self._rays, package = rays, package or importlib.import_module("tinycudann")
        self._modules = cache(lambda *sizes: _Modules(package, *sizes))

    def march(self, origins, directions, grid: Grid, jitter) -> Samples:
        return self._rays.march(origins, directions, grid, jitter)

    def composite(self, density, colour, samples: Samples, step: float):
        return self._rays.composite(density, colour, samples, step)

    def shade(self, samples: Samples, directions, starts, tables, layout: TriplaneLayout, networks: Networks):
        hidden, frames = len(networks.hidden_bias), len(networks.condition)
        modules, scale = self._modules(layout, hidden, frames), _Scale()
        if not len(samples.positions):  # it takes no empty batch
            return super().shade(samples, directions, starts, tables, layout, networks)
        given = {name: _Input.apply(scale, value) for name, value in vars(networks).items()}
        networks, tables = Networks(**given), _Input.apply(scale, tables)
        inputs = tcnn_layout.encoding_inputs(samples.positions, layout)
        encoding = _call(modules.encoding, tcnn_layout.tables_to_parameters(tables, layout), inputs)
        encoding = encoding[:, : layout.features]
        one = torch.ones_like(encoding[:, :1])

        first, bias = networks.first_weight, networks.first_bias[:, None]
        by_gate = tcnn_layout.matrices_to_parameters(
            torch.cat([first[hidden:], bias[hidden:]], 1), networks.gate_weight
        )
        trained = _call(modules.gate, by_gate, torch.cat([encoding, one], 1)) + networks.gate_bias
        gates = torch.sigmoid(trained) * self._regions(samples.positions, networks.regions)

        # A frame's conditions are weights of inputs that are its samples' gates, and zero for other frames' samples.
        rows = torch.arange(len(encoding), device=encoding.device)
        frame = torch.searchsorted(starts[1:].to(rows.device), rows, right=True).clamp(max=frames - 1)
        of_frame = (frame[:, None] == torch.arange(frames, device=rows.device)).to(encoding.dtype)
        conditions = [gates[:, :1] * of_frame, gates[:, 1:] * of_frame]
        weight = torch.cat([first[:hidden], networks.condition[:, 0].T, networks.condition[:, 1].T, bias[:hidden]], 1)
        by_density = tcnn_layout.matrices_to_parameters(weight, networks.hidden_weight)
        value = _call(modules.density, by_density, torch.cat([encoding, *conditions, one], 1)) + networks.hidden_bias
        value = torch.relu(value)
        exponent = value @ networks.density_weight + networks.density_bias

        view = spherical_harmonics(directions)[samples.rays.long()]
        weight = torch.cat([networks.colour_weight, networks.colour_bias[:, None]], 1)
        by_colour = tcnn_layout.matrices_to_parameters(weight, networks.out_weight)
        colour = _call(modules.colour, by_colour, torch.cat([value, view, one], 1)) + networks.out_bias
        exponent, colour = _Outputs.apply(scale, exponent[:, None], colour)
        return bounded_exponential(exponent[:, 0]), torch.sigmoid(colour), gates.detach()


def _call(module: torch.nn.Module, parameters: Tensor, inputs: Tensor) -> Tensor:
    return functional_call(module, {"params": parameters}, (inputs,)).float()
