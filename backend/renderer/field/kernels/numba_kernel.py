"""The compiled kernels (Numba, CPU) and their place in PyTorch's autograd."""

from __future__ import annotations

import threading

import numba
import numpy as np
import torch

from ....compilation.processor import has_bfloat16
from ..triplane import TriplaneLayout
from . import compositing, marching
from .drawing import draw, drawn_grid
from .interface import SPHERICAL_HARMONICS, Grid, Networks, Samples
from .shading import TiledSamples, shade, shade_backward, tables_backward, tiles_of
from .tile import encoding_arrays, pack_networks
from .tile_gradients import Grads, transposed_weights, zero_grads

_NUMBA_LOCK = threading.RLock()  # Numba's simplest threading layer crashes when two threads enter it at once


class _Shade(torch.autograd.Function):
    @staticmethod
    def forward(ctx, samples, directions, starts, tables, layout, bfloat16, *weights):
        networks = Networks(*weights)
        total, threads = len(samples.positions), numba.get_num_threads()
        density, colour, gates = torch.empty(total), torch.empty(total, 3), torch.empty(total, 2)
        tiled = TiledSamples(
            tiles_of(starts.numpy()), samples.positions.numpy(), samples.rays.numpy(), directions.numpy()
        )
        arrays = threads, tiled, encoding_arrays(tables, layout), pack_networks(networks, bfloat16)
        with _NUMBA_LOCK:
            shade(*arrays, density.numpy(), colour.numpy(), gates.numpy())
        if any(ctx.needs_input_grad):
            ctx.arrays, ctx.transposed = arrays, transposed_weights(networks, bfloat16)
        ctx.mark_non_differentiable(gates)
        return density, colour, gates

    @staticmethod
    def backward(ctx, d_density, d_colour, _):
        threads, samples, encoding, networks = ctx.arrays
        images, _, hidden = networks.condition.shape
        features, positions = len(encoding.tables), samples.positions
        sums = zero_grads(threads, images, hidden)
        d_encoding, d_tables = np.empty((features, len(positions)), np.float32), torch.zeros(encoding.tables.shape)
        outputs = (gradient.contiguous().numpy() for gradient in (d_density, d_colour))
        with _NUMBA_LOCK:
            shade_backward(*ctx.arrays, ctx.transposed, *outputs, d_encoding, sums)
            tables_backward(positions, d_encoding, encoding.resolutions, encoding.planes, d_tables.numpy())
        return None, None, None, d_tables, None, None, *_by_weight(sums, features, hidden), None


def _by_weight(sums: Grads, features: int, hidden: int) -> list[torch.Tensor]:
    """Gradients in the order of `Networks`' fields, except the regions."""
    grads = Grads(*(part.sum(0) for part in sums))
    return [
        torch.from_numpy(part.copy())
        for part in (
            grads.first_weight[:, :features], grads.biases[0], grads.gate_weight, grads.gate_bias, grads.condition,
            grads.hidden_weight[:, :hidden], grads.biases[1, :hidden], grads.density_weight, grads.density_bias,
            np.concatenate([grads.colour_weight[:, :hidden], grads.view_weight[:, :SPHERICAL_HARMONICS]], 1),
            grads.biases[2, :hidden], grads.out_weight, grads.out_bias,
        )
    ]  # fmt: skip


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, density, colour, distances, offsets, step):
        density, colour = density.float().contiguous(), colour.float().contiguous()
        rays = len(offsets) - 1
        rgba, weights, distortion = torch.empty(rays, 4), torch.empty(len(density)), torch.empty(rays)
        arrays = density.detach().numpy(), colour.detach().numpy(), distances.numpy(), offsets.numpy()
        with _NUMBA_LOCK:
            compositing.composite(*arrays, np.float32(step), rgba.numpy(), weights.numpy(), distortion.numpy())
        ctx.save_for_backward(density, colour, distances, offsets, weights)
        ctx.step = step
        ctx.mark_non_differentiable(weights)
        return rgba, weights, distortion

    @staticmethod
    def backward(ctx, gradient, _, d_distortion):
        density, colour, distances, offsets, weights = (tensor.detach() for tensor in ctx.saved_tensors)
        d_density, d_colour = torch.empty_like(density), torch.empty_like(colour)
        arrays = density.numpy(), colour.numpy(), distances.numpy(), offsets.numpy(), np.float32(ctx.step)
        gradients = (given.float().contiguous().numpy() for given in (gradient, d_distortion))
        with _NUMBA_LOCK:
            compositing.composite_backward(
                *arrays, weights.numpy(), *gradients, d_density.numpy(), d_colour.numpy()
            )  # fmt: skip
        return d_density, d_colour, None, None, None


class NumbaKernel:
    """See `interface.Kernel`. Matrix products in bfloat16 where the processor has them (`bfloat16=None`: it decides)."""

    name = "numba"

    def __init__(self, bfloat16: bool | None = None) -> None:
        self.bfloat16 = has_bfloat16() if bfloat16 is None else bfloat16

    def march(self, origins, directions, grid: Grid, jitter) -> Samples:
        rays = directions.shape[0]
        # A sample is kept as its multiple of the step: the list is mostly empty, and its pages cost more than marching.
        counts, places = np.empty(rays, np.int64), np.empty((rays, grid.max_samples), np.int16)
        origins, directions, jitter = origins.contiguous().numpy(), directions.contiguous().numpy(), jitter.numpy()
        occupied, unit_step = grid.occupied.numpy(), np.float32(grid.step / grid.box_size)
        with _NUMBA_LOCK:
            marching.march(
                origins, directions, occupied, grid.empty_block_distance.numpy(), unit_step, jitter, counts, places
            )
        offsets = np.zeros(rays + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        total = int(offsets[-1])
        positions, distances, fades = torch.empty(total, 3), torch.empty(total), torch.empty(total)
        ray_of = torch.empty(total, dtype=torch.int32)
        results = positions.numpy(), distances.numpy(), ray_of.numpy(), fades.numpy()
        given = origins, directions, occupied, unit_step, jitter, places, offsets, np.float32(grid.box_size)
        with _NUMBA_LOCK:
            marching.pack(*given, *results)
        return Samples(positions, distances, ray_of, torch.from_numpy(offsets), fades)

    def shade(self, samples: Samples, directions, starts, tables, layout: TriplaneLayout, networks: Networks):
        weights = tuple(vars(networks).values())
        return _Shade.apply(samples, directions.contiguous(), starts, tables, layout, self.bfloat16, *weights)

    def composite(self, density, colour, samples: Samples, step: float):
        return _Composite.apply(density, colour, samples.distances, samples.offsets, step)

    def draw(self, origin, directions, grid: Grid, tables, layout: TriplaneLayout, networks: Networks):
        out = torch.empty(len(directions), 7)
        arrays = (
            numba.get_num_threads(), origin.numpy(), directions.contiguous().numpy(), drawn_grid(grid),
            encoding_arrays(tables, layout), pack_networks(networks, self.bfloat16),
        )  # fmt: skip
        with _NUMBA_LOCK:
            draw(*arrays, out.numpy())
        return out
