"""The field and its rendering in plain PyTorch, as one would first write them: the reference of benchmark and tests.

No occupancy, no folding, no kernel: 16 samples a ray, evenly over the head's box, each network layer by layer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...workspace.camera import Camera
from ...workspace.shapes import Float
from ..regions import region_weight
from .field import Field
from .kernels.torch_kernel import encode, spherical_harmonics
from .rays import image_rays

SAMPLES = 16
_RAYS = 4096  # together: the fastest of 1,024 to 65,536 here


def shade(
    field: Field,
    points: Float[Tensor, "samples 3"],
    towards: Float[Tensor, "samples 3"],
    blendshapes: Float[Tensor, " conditions"],
) -> tuple[Float[Tensor, " samples"], Float[Tensor, "samples 3"], Float[Tensor, "samples 2"]]:
    """Density, colour and gates (Eq. 4, 10 to 12) of points in the unit cube, seen along `towards`."""
    config = field.config
    encoding = encode(points, field.tables, config.layout)
    metres = points * config.box_size_m + field.low
    fixed = [region_weight(metres, region) for region in (config.lip_region, config.expression_region)]
    gates = torch.sigmoid(field.gate(encoding)) * torch.stack(fixed, 1)
    lip, expression = field.codes(blendshapes[None])
    value = torch.cat([encoding, lip * gates[:, :1], expression * gates[:, 1:]], 1)
    value = torch.relu(field.density_hidden(torch.relu(field.density_in(value))))
    geometry = field.density_out(value)
    value = torch.cat([geometry[:, 1:], spherical_harmonics(towards)], 1)
    colour = torch.sigmoid(field.colour_out(torch.relu(field.colour_in(value))))
    return torch.exp(geometry[:, 0].clamp(max=11)), colour, gates


@torch.no_grad()
def render_rays(
    field: Field,
    camera: Camera,
    head_to_camera: Float[np.ndarray, "4 4"],
    blendshapes: Float[np.ndarray, " conditions"],
    u: Float[np.ndarray, " rays"],
    v: Float[np.ndarray, " rays"],
) -> Float[Tensor, "rays 4"]:
    """Premultiplied RGBA of pixels at (u, v)."""
    origin, directions = (torch.from_numpy(a) for a in image_rays(camera, head_to_camera, u, v))
    start, values = field.in_cube(origin), torch.from_numpy(blendshapes)
    parts = []
    for towards in directions.split(_RAYS):
        to_low, to_high = -start / towards, (1 - start) / towards
        near = torch.minimum(to_low, to_high).amax(1).clamp(min=0)
        step = (torch.maximum(to_low, to_high).amin(1) - near).clamp(min=0) / SAMPLES
        t = near[:, None] + (torch.arange(SAMPLES) + 0.5) * step[:, None]
        points = (start + t[..., None] * towards[:, None]).reshape(-1, 3).clamp(0, 1)
        density, colour, _ = shade(field, points, towards.repeat_interleave(SAMPLES, 0), values)
        optical = density.reshape(-1, SAMPLES) * (step * field.config.box_size_m)[:, None]
        weights = torch.exp(optical - optical.cumsum(1)) * (1 - torch.exp(-optical))
        rgb = (weights[..., None] * colour.reshape(-1, SAMPLES, 3)).sum(1)
        parts.append(torch.cat([rgb, weights.sum(1, keepdim=True)], 1))
    return torch.cat(parts)
