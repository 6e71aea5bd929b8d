"""Plain PyTorch: the oracle of the tests, and the implementation for any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ....workspace.shapes import Float, Int
from ..triplane import HASH_PRIME, PLANES, TriplaneLayout
from .interface import DENSEST_EXPONENT, FADE_CELLS, STEEPEST_DENSITY, Grid, Networks, Samples


def _fade(points: Float[Tensor, "samples 3"], occupied: Tensor) -> Float[Tensor, " samples"]:
    """Chebyshev distance of points in occupied cells to the nearest empty cell, in fade depths, at most 1."""
    padded = torch.nn.functional.pad(occupied, (1,) * 6)
    cell = points.floor()
    inside = points - cell
    side = torch.where(inside < 0.5, -1.0, 1.0)
    depth = torch.where(inside < 0.5, inside, 1 - inside) / FADE_CELLS
    fade = torch.ones_like(points[:, 0])
    for corner in range(1, 8):
        axes = torch.tensor([corner & 1, (corner >> 1) & 1, corner >> 2], device=points.device)
        beyond = (cell + side * axes).long() + 1
        empty = padded[beyond[:, 0], beyond[:, 1], beyond[:, 2]] == 0
        fade = torch.where(empty, torch.minimum(fade, (depth * axes).amax(1)), fade)
    return fade


def spherical_harmonics(directions: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays 9"]:
    """Real spherical harmonics of degrees 0 to 2 of unit vectors."""
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
    """exp with a bounded gradient: one dense sample must not make a step explode."""

    @staticmethod
    def forward(ctx, value):
        result = torch.exp(value.clamp(max=DENSEST_EXPONENT))
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].clamp(max=STEEPEST_DENSITY)


def bounded_exponential(exponent: Float[Tensor, " samples"]) -> Float[Tensor, " samples"]:
    """Density per metre."""
    return _Exponential.apply(exponent)


def encode(
    positions: Float[Tensor, "samples 3"], tables: Float[Tensor, "features table"], layout: TriplaneLayout
) -> Float[Tensor, "samples features"]:
    """Tri-plane hash encoding (Eq. 10, 11), differentiable in `tables`."""
    size = layout.table_size
    features = []
    resolutions = layout.resolutions().tolist()
    for plane, (a, b) in enumerate(PLANES):
        for level, resolution in enumerate(resolutions):
            table = tables[plane * layout.levels + level]
            u = positions[:, a] * resolution
            v = positions[:, b] * resolution
            i, j = u.detach().floor().clamp(0, resolution - 1), v.detach().floor().clamp(0, resolution - 1)
            fu, fv = u - i, v - j
            i, j = i.long(), j.long()

            def corner(di: int, dj: int, i=i, j=j, resolution=resolution, table=table) -> Tensor:
                if (resolution + 1) ** 2 <= size:
                    return table[(j + dj) * (resolution + 1) + i + di]
                return table[((i + di) ^ ((j + dj) * HASH_PRIME)) & (size - 1)]

            features.append(
                (1 - fv) * ((1 - fu) * corner(0, 0) + fu * corner(1, 0))
                + fv * ((1 - fu) * corner(0, 1) + fu * corner(1, 1))
            )
    return torch.stack(features, 1)


class TorchKernel:
    """See `interface.Kernel`. `dtype` is that of the networks: bfloat16 on a GPU that multiplies it."""

    name = "torch"

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype

    def march(
        self,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        grid: Grid,
        jitter: Float[Tensor, " rays"],
    ) -> Samples:
        occupied, box_size, step, max_samples = grid.occupied, grid.box_size, grid.step, grid.max_samples
        rays, device = origins.shape[0], origins.device
        unit_step = step / box_size
        safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
        to_low, to_high = (0 - origins) / safe, (1 - origins) / safe
        near = torch.minimum(to_low, to_high).amax(1).clamp(min=0)
        far = torch.maximum(to_low, to_high).amin(1)
        # Samples are at multiples of the step from the camera, so they do not depend on the box.
        first = torch.ceil(near / unit_step - jitter)
        count = torch.where(far > near, torch.floor(far / unit_step - jitter) - first + 1, torch.zeros_like(near))
        longest = int(count.clamp(min=0).max().item()) if rays else 0
        index = torch.arange(longest, device=device)[None]
        t = (first[:, None] + index + jitter[:, None]) * unit_step
        points = origins[:, None] + t[..., None] * directions[:, None]
        cells = occupied.shape[0]
        cell = (points * cells).long()
        inside = (index < count[:, None]) & ((cell >= 0) & (cell < cells)).all(-1)
        cell = cell.clamp(0, cells - 1)
        hit = inside & (occupied[cell[..., 0], cell[..., 1], cell[..., 2]] > 0)
        hit &= hit.cumsum(1) <= max_samples
        ray, place = hit.nonzero(as_tuple=True)
        offsets = torch.zeros(rays + 1, dtype=torch.int64, device=device)
        offsets[1:] = hit.sum(1).cumsum(0)
        positions = points[ray, place]
        return Samples(positions, t[ray, place] * box_size, ray.int(), offsets, _fade(positions * cells, occupied))

    def shade(
        self,
        samples: Samples,
        directions: Float[Tensor, "rays 3"],
        starts: Int[Tensor, " starts"],
        tables: Float[Tensor, "features table"],
        layout: TriplaneLayout,
        networks: Networks,
    ) -> tuple[Float[Tensor, " samples"], Float[Tensor, "samples 3"], Float[Tensor, "samples 2"]]:
        encoding = encode(samples.positions, tables, layout).to(self.dtype)
        hidden = networks.hidden_bias.shape[0]
        view = spherical_harmonics(directions)[samples.rays.long()].to(self.dtype)

        def linear(value: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return functional.linear(value, weight.to(value.dtype), bias.to(value.dtype))

        first = linear(encoding, networks.first_weight, networks.first_bias)
        trained = linear(functional.relu(first[:, hidden:]).float(), networks.gate_weight, networks.gate_bias)
        gates = torch.sigmoid(trained) * self._regions(samples.positions, networks.regions)
        # Frame by frame: the gradient of a frame's condition is then a sum, not a scatter.
        condition = networks.condition.to(self.dtype)
        added = [g @ condition[i] for i, g in enumerate(gates.to(self.dtype).split(starts.diff().tolist()))]
        value = functional.relu(first[:, :hidden] + torch.cat(added))
        value = functional.relu(linear(value, networks.hidden_weight, networks.hidden_bias))
        exponent = linear(value.float(), networks.density_weight[None], networks.density_bias)[:, 0]
        value = functional.relu(linear(torch.cat([value, view], 1), networks.colour_weight, networks.colour_bias))
        # The last step of each is in single precision: bfloat16 keeps 8 bits, which shows as noise of 2/255.
        colour = torch.sigmoid(linear(value.float(), networks.out_weight, networks.out_bias))
        return bounded_exponential(exponent), colour, gates.detach()

    @staticmethod
    def _regions(positions: Float[Tensor, "samples 3"], regions: Float[Tensor, "2 7"]) -> Float[Tensor, "samples 2"]:
        distance = ((positions[:, None] - regions[:, :3]) / regions[:, 3:6]).norm(dim=2)
        return torch.sigmoid(regions[:, 6] * (1 - distance))

    def composite(
        self, density: Float[Tensor, " samples"], colour: Float[Tensor, "samples 3"], samples: Samples, step: float
    ) -> tuple[Float[Tensor, "rays 4"], Float[Tensor, " samples"], Float[Tensor, " rays"]]:
        optical = density * step
        ray = samples.rays.long()
        weights = torch.exp(-_sum_before(optical, samples)) * (1 - torch.exp(-optical))
        rgba = torch.zeros(len(samples.offsets) - 1, 4, dtype=colour.dtype, device=colour.device)
        rgba = rgba.index_add(0, ray, torch.cat([weights[:, None] * colour, weights[:, None]], 1))
        # From the ray's first sample: in single precision the difference below would lose what distance to the camera adds.
        first = samples.distances[samples.offsets[ray]]
        place = (samples.distances - first) / step
        ahead, ahead_places = (_sum_before(value, samples) for value in (weights, weights * place))
        distortion = torch.zeros_like(rgba[:, 0]).index_add(0, ray, 2 * weights * (place * ahead - ahead_places))
        return rgba, weights.detach(), distortion

    @torch.no_grad()
    def draw(
        self,
        origin: Float[Tensor, " 3"],
        directions: Float[Tensor, "rays 3"],
        grid: Grid,
        tables: Float[Tensor, "features table"],
        layout: TriplaneLayout,
        networks: Networks,
    ) -> Float[Tensor, "rays 7"]:
        rays, device = len(directions), directions.device
        half = torch.full((rays,), 0.5, device=device)
        samples = self.march(origin.expand(rays, 3), directions, grid, half)
        total = len(samples.positions)
        density, colour, gates = self.shade(samples, directions, torch.tensor([0, total]), tables, layout, networks)
        rgba, weights, _ = self.composite(density * samples.fade, colour, samples, grid.step)
        more = weights[:, None] * torch.cat([samples.distances[:, None], gates], 1)
        more = torch.zeros(rays, 3, device=device).index_add(0, samples.rays.long(), more)
        return torch.cat([rgba, more], 1)


def _sum_before(values: Float[Tensor, " samples"], samples: Samples) -> Float[Tensor, " samples"]:
    """For each sample, the sum of `values` over the samples before it on its ray."""
    if not len(values):
        return values
    ray = samples.rays.long()
    place = torch.arange(len(values), device=values.device) - samples.offsets[ray]
    # Ray by ray: a sum over all samples would need double precision, which Apple's GPUs lack.
    table = values.new_zeros(len(samples.offsets) - 1, int(place.amax()) + 1).index_put((ray, place), values)
    return (table.cumsum(1) - table)[ray, place]
