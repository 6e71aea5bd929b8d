"""The rasteriser on CUDA: our projection, in PyTorch, and the tiles and blending of gsplat (Ye et al. 2025, gsplat.studio).

Not measured yet on any head. What differs from the other rasterisers is gsplat's own blending: a Gaussian ends with a step
where its alpha is below 1/255, which is not taken off before; its alpha is at most 0.999 (0.99 in older versions); a pixel ends where
its transmittance is 1e-4. The order, the low-pass, the limits and the fade near the camera are ours, as the projection is.
"""

from __future__ import annotations

import gsplat
import torch

from ....workspace.camera import Camera
from ....workspace.shapes import Float
from .interface import CUTOFF
from .torch_rasteriser import TorchRasteriser

_TILE = 16
_CHANNELS = (4, 5, 8, 9, 16)
"""Numbers of channels that gsplat is compiled for, of those that we have."""


class GsplatRasteriser(TorchRasteriser):
    """See `interface.Rasteriser`."""

    name = "gsplat"

    def __init__(self, device: str = "cuda") -> None:
        super().__init__(device)
        self.blend = blend_in_tiles


def blend_in_tiles(
    covariance: Float[torch.Tensor, "n 2 2"],
    opacity: Float[torch.Tensor, " n"],
    centres: Float[torch.Tensor, "2 n"],
    values: Float[torch.Tensor, "channels n"],
    camera: Camera,
) -> tuple[Float[torch.Tensor, "height width channels"], Float[torch.Tensor, " n"]]:
    """As `torch_rasteriser.blend_everywhere`, by gsplat."""
    count = len(opacity)
    channels = next(size for size in _CHANNELS if size >= len(values))
    colours = torch.cat([values, values.new_zeros(channels - len(values), count)]).T.contiguous()[None]
    form = torch.linalg.inv(covariance)
    upper = torch.stack([form[:, 0, 0], form[:, 0, 1], form[:, 1, 1]], 1)[None]
    with torch.no_grad():
        reach = 2 * torch.log(opacity / CUTOFF).clamp(min=0)
        radii = (reach[:, None] * torch.diagonal(covariance, dim1=1, dim2=2)).sqrt().ceil().int()[None]
        ranks = torch.arange(1, count + 1, device=opacity.device, dtype=torch.float32)[None]  # it sorts by depth
    places = centres.T.contiguous()[None]
    columns, rows = -(-camera.width // _TILE), -(-camera.height // _TILE)
    _, keys, lists = gsplat.isect_tiles(places, radii, ranks, _TILE, columns, rows)
    starts = gsplat.isect_offset_encode(keys, 1, columns, rows)
    image, _ = gsplat.rasterize_to_pixels(
        places, upper, colours, opacity[None], camera.width, camera.height, _TILE, starts, lists
    )
    # A Gaussian's weights are the gradient of one channel's sum by its value.
    (weights,) = torch.autograd.grad(image[..., 0].sum(), colours, retain_graph=True)
    return image[0, ..., : len(values)], weights[0, :, 0]
