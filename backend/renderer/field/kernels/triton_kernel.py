"""The kernels for Triton (NVIDIA GPUs) and their place in PyTorch's autograd.

Nothing here waits for the GPU: sizes that only it knows stay there. `march` makes room for as many samples as rays may have,
and rows behind `offsets[-1]` are zeros that no ray has.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ... import devices
from ..triplane import TriplaneLayout
from .interface import STEEPEST_DENSITY, Grid, Networks, Samples
from .triton_compositing import composite_backward_kernel, composite_kernel
from .triton_drawing import draw_kernel
from .triton_marching import march_kernel, pack_kernel
from .triton_shading import shade_backward_kernel, shade_kernel

RAYS = 64
"""Of a program that marches, composites or draws."""
BLOCK = 64
"""Samples that a program shades together."""
SMALL_BLOCK = 32
"""In float16, which is for GPUs with 64 kB of shared memory (compute capability 7.5)."""
PROGRAMS = 264
"""That go backward: two for each of an H100's processors; each has 50 kB of sums."""
OPTIONS = {"num_warps": 8, "enable_fp_fusion": True}
LIGHT = {**OPTIONS, "num_warps": 2}
"""Of the programs that only follow rays."""
MAX_UNCOUNTED_ROWS = 1 << 22
"""Up to so many samples, `march` makes room for all that there may be instead of waiting for their number."""
_LARGEST_GRADIENT = 256.0
"""Backward scales all gradients to this, so that half precision neither overflows nor loses the small ones."""

_TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}


def pack(networks: Networks) -> Tensor:
    """All weights as one array, in the order of `Networks`' fields but for the conditions, which are last."""
    weights = {name: value.reshape(-1) for name, value in vars(networks).items()}
    condition = weights.pop("condition")
    return torch.cat([*weights.values(), condition]).float()


@cache
def _resolutions(layout: TriplaneLayout, device: torch.device) -> Tensor:
    return torch.from_numpy(layout.resolutions()).to(device)


def padded(size: int) -> int:
    """What a tensor core takes: a power of two, 16 at least."""
    return max(16, triton.next_power_of_2(size))


def sizes_of(layout: TriplaneLayout, hidden: int, dtype: torch.dtype) -> dict[str, Any]:
    """The constants that shading and drawing are compiled for."""
    return {
        "LEVELS": layout.levels, "LOG2_SIZE": layout.log2_table_size, "HIDDEN": hidden,
        "PADDED": padded(layout.features), "HIDDEN_PADDED": padded(hidden), "DTYPE": _TYPES[dtype],
        "BLOCK": SMALL_BLOCK if dtype == torch.float16 else BLOCK,
    }  # fmt: skip


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, samples: Samples, directions, starts, tables, layout, sizes, weights):
        rows, device = len(samples.positions), tables.device
        density = torch.zeros(rows, device=device)
        colour, gates = torch.zeros(rows, 3, device=device), torch.zeros(rows, 2, device=device)
        # The frame of each sample: how many frames have ended before it, empty ones included.
        frames = torch.searchsorted(starts[1:], torch.arange(rows, device=device), right=True).int()
        given = (
            samples.positions, samples.rays, frames, directions, starts[-1:], tables, _resolutions(layout, device), weights
        )  # fmt: skip
        if rows:
            grid = (triton.cdiv(rows, sizes["BLOCK"]),)
            with devices.on(device):
                shade_kernel[grid](*given, density, colour, gates, **sizes, **OPTIONS)
        ctx.save_for_backward(*given, density)
        ctx.sizes, ctx.conditions = sizes, (len(starts) - 1) * 2 * sizes["HIDDEN"]
        ctx.mark_non_differentiable(gates)
        return density, colour, gates

    @staticmethod
    def backward(ctx, d_density, d_colour, _):
        *given, density = ctx.saved_tensors
        sizes = ctx.sizes
        tables, weights = given[5], given[7]
        rows, before = len(density), len(weights) - ctx.conditions
        d_tables, d_weights = torch.zeros_like(tables), torch.zeros_like(weights)
        if rows:
            d_density, d_colour = d_density.contiguous(), d_colour.contiguous()
            programs = min(PROGRAMS, triton.cdiv(rows, sizes["BLOCK"]))
            sums = torch.empty(programs, before, device=tables.device)
            steepest = (d_density * density.clamp(max=STEEPEST_DENSITY)).abs().amax()
            scale = _LARGEST_GRADIENT / torch.maximum(steepest, d_colour.abs().amax()).clamp(min=1e-30).reshape(1)
            with devices.on(tables.device):
                shade_backward_kernel[(programs,)](
                    *given, d_density, d_colour, scale, d_tables, sums, d_weights[before:], before,
                    **sizes, **OPTIONS,
                )  # fmt: skip
            d_weights[:before] = sums.sum(0)
            d_tables, d_weights = d_tables / scale, d_weights / scale
        return None, None, None, d_tables, None, None, d_weights


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, density, colour, distances, offsets, step):
        density, colour = density.float().contiguous(), colour.float().contiguous()
        rays, device = len(offsets) - 1, density.device
        rgba, distortion = torch.empty(rays, 4, device=device), torch.empty(rays, device=device)
        weights = torch.zeros(len(density), device=device)
        grid = (triton.cdiv(rays, RAYS),)
        with devices.on(device):
            composite_kernel[grid](
                density, colour, distances, offsets, rgba, weights, distortion, rays, step, RAYS=RAYS, **LIGHT
            )
        ctx.save_for_backward(density, colour, distances, offsets, weights)
        ctx.step = step
        ctx.mark_non_differentiable(weights)
        return rgba, weights, distortion

    @staticmethod
    def backward(ctx, d_rgba, _, d_distortion):
        density, colour, distances, offsets, weights = ctx.saved_tensors
        rays = len(offsets) - 1
        d_density, d_colour = torch.zeros_like(density), torch.zeros_like(colour)
        with devices.on(density.device):
            composite_backward_kernel[(triton.cdiv(rays, RAYS),)](
                density, colour, distances, offsets, weights, d_rgba.contiguous(), d_distortion.contiguous(),
                d_density, d_colour, rays, ctx.step, RAYS=RAYS, **LIGHT,
            )  # fmt: skip
        return d_density, d_colour, None, None, None


class TritonKernel:
    """See `interface.Kernel`. `dtype` is that of matrix products; their sums are in single precision."""

    name = "triton"

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype

    def march(self, origins, directions, grid: Grid, jitter) -> Samples:
        rays, device = len(directions), directions.device
        origins, directions = origins.contiguous(), directions.contiguous()
        counts = torch.empty(rays, dtype=torch.int32, device=device)
        places = torch.empty(rays, grid.max_samples, dtype=torch.int32, device=device)
        offsets = torch.zeros(rays + 1, dtype=torch.int64, device=device)
        unit_step, cells = grid.step / grid.box_size, len(grid.occupied)
        launch, constants = (triton.cdiv(rays, RAYS),), {"CELLS": cells, "RAYS": RAYS, **LIGHT}
        with devices.on(device):
            march_kernel[launch](
                origins, directions, jitter, grid.occupied, grid.empty_block_distance, counts, places, rays, unit_step,
                grid.max_samples, **constants,
            )  # fmt: skip
        offsets[1:] = counts.cumsum(0)
        rows = rays * grid.max_samples
        if rows > MAX_UNCOUNTED_ROWS:
            rows = int(offsets[-1])
        positions, distances = torch.zeros(rows, 3, device=device), torch.zeros(rows, device=device)
        ray_of, fades = torch.zeros(rows, dtype=torch.int32, device=device), torch.zeros(rows, device=device)
        with devices.on(device):
            pack_kernel[launch](
                origins, directions, jitter, grid.occupied, places, offsets, positions, distances, ray_of, fades, rays,
                unit_step, grid.box_size, grid.max_samples, **constants,
            )  # fmt: skip
        return Samples(positions, distances, ray_of, offsets, fades)

    def shade(self, samples: Samples, directions, starts, tables, layout: TriplaneLayout, networks: Networks):
        sizes = sizes_of(layout, len(networks.hidden_bias), self.dtype)
        starts = starts.to(tables.device)
        return _Shade.apply(samples, directions.contiguous(), starts, tables, layout, sizes, pack(networks))

    def composite(self, density, colour, samples: Samples, step: float):
        return _Composite.apply(density, colour, samples.distances, samples.offsets, step)

    @torch.no_grad()
    def draw(self, origin, directions, grid: Grid, tables, layout: TriplaneLayout, networks: Networks):
        rays, device = len(directions), directions.device
        sizes = sizes_of(layout, len(networks.hidden_bias), self.dtype)
        out = torch.empty(rays, 7, device=device)
        if rays:
            with devices.on(device):
                draw_kernel[(triton.cdiv(rays, sizes["BLOCK"]),)](
                    origin.contiguous(), directions.contiguous(), grid.occupied, grid.empty_block_distance, tables,
                    _resolutions(layout, device), pack(networks), out, rays, grid.step / grid.box_size, grid.step,
                    grid.max_samples, CELLS=len(grid.occupied), **sizes, **OPTIONS,
                )  # fmt: skip
        return out
