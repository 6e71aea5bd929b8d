"""Networks of a field with random weights."""

from __future__ import annotations

import torch

from backend.renderer.field.kernels.interface import GATE_HIDDEN, SPHERICAL_HARMONICS, Networks


def random_networks(images: int, features: int, hidden: int, random) -> Networks:
    def some(*shape: int) -> torch.Tensor:
        values = torch.randn(*shape, generator=random) / max(1, shape[-1]) ** 0.5
        return values.requires_grad_()

    regions = torch.rand(2, 7, generator=random) * 0.4 + 0.3
    regions[:, 6] = 4.0
    return Networks(
        first_weight=some(hidden + GATE_HIDDEN, features),
        first_bias=some(hidden + GATE_HIDDEN),
        gate_weight=some(2, GATE_HIDDEN),
        gate_bias=some(2),
        condition=some(images, 2, hidden),
        hidden_weight=some(hidden, hidden),
        hidden_bias=some(hidden),
        density_weight=some(hidden),
        density_bias=some(1),
        colour_weight=some(hidden, hidden + SPHERICAL_HARMONICS),
        colour_bias=some(hidden),
        out_weight=some(3, hidden),
        out_bias=some(3),
        regions=regions,
    )
