"""Plain PyTorch: the oracle of the tests, and the implementation for any device."""

from __future__ import annotations

import torch

from ..triplane import HASH_PRIME, PLANES, TriplaneLayout
from .interface import FADE_CELLS, Samples


def _fade(points: torch.Tensor, occupied: torch.Tensor) -> torch.Tensor:
    """Distance of (M, 3) points in occupied cells to the nearest empty cell by the largest axis, in fade depths, to 1."""
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


class TorchKernel:
    """See `interface.Kernel`."""

    name = "torch"

    def march(self, origins, directions, occupied, clearance, box_size, step, max_samples, jitter) -> Samples:
        del clearance  # an acceleration that changes nothing
        rays, device = origins.shape[0], origins.device
        unit_step = step / box_size
        safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
        to_low, to_high = (0 - origins) / safe, (1 - origins) / safe
        near = torch.minimum(to_low, to_high).amax(1).clamp(min=0)
        far = torch.maximum(to_low, to_high).amin(1)
        # Samples sit on multiples of the step from the camera, so their places do not depend on the box.
        first = torch.ceil(near / unit_step - jitter)
        count = torch.where(far > near, torch.floor(far / unit_step - jitter) - first + 1, torch.zeros_like(near))
        longest = int(count.clamp(min=0).max().item()) if rays else 0
        index = torch.arange(longest, device=device)[None]
        t = (first[:, None] + index + jitter[:, None]) * unit_step
        points = origins[:, None] + t[..., None] * directions[:, None]
        grid = occupied.shape[0]
        cell = (points * grid).long()
        inside = (index < count[:, None]) & ((cell >= 0) & (cell < grid)).all(-1)
        cell = cell.clamp(0, grid - 1)
        hit = inside & (occupied[cell[..., 0], cell[..., 1], cell[..., 2]] > 0)
        hit &= hit.cumsum(1) <= max_samples
        ray, place = hit.nonzero(as_tuple=True)
        offsets = torch.zeros(rays + 1, dtype=torch.int64, device=device)
        offsets[1:] = hit.sum(1).cumsum(0)
        positions = points[ray, place]
        return Samples(positions, t[ray, place] * box_size, ray.int(), offsets, _fade(positions * grid, occupied))

    def encode(self, positions, tables, layout: TriplaneLayout) -> torch.Tensor:
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

                def corner(di: int, dj: int, i=i, j=j, resolution=resolution, table=table) -> torch.Tensor:
                    if (resolution + 1) ** 2 <= size:
                        return table[(j + dj) * (resolution + 1) + i + di]
                    return table[((i + di) ^ ((j + dj) * HASH_PRIME)) & (size - 1)]

                features.append(
                    (1 - fv) * ((1 - fu) * corner(0, 0) + fu * corner(1, 0))
                    + fv * ((1 - fu) * corner(0, 1) + fu * corner(1, 1))
                )
        return torch.stack(features, 1)

    def composite(
        self, density, colour, samples: Samples, step: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        optical = density * step
        ray = samples.rays.long()
        weights = torch.exp(-_sum_before(optical, samples)) * (1 - torch.exp(-optical))
        rgba = torch.zeros(len(samples.offsets) - 1, 4, dtype=colour.dtype, device=colour.device)
        rgba = rgba.index_add(0, ray, torch.cat([weights[:, None] * colour, weights[:, None]], 1))
        place = samples.distances / step
        ahead, ahead_places = (_sum_before(value, samples) for value in (weights, weights * place))
        spread = torch.zeros_like(rgba[:, 0]).index_add(0, ray, 2 * weights * (place * ahead - ahead_places))
        return rgba, weights.detach(), spread


def _sum_before(values: torch.Tensor, samples: Samples) -> torch.Tensor:
    """For each sample, the sum of `values` over the samples before it on its ray."""
    double = values.double()
    before = torch.cumsum(double, 0) - double
    if not len(before):
        return values
    first = before[samples.offsets[:-1].clamp(max=len(before) - 1)]
    return (before - first[samples.rays.long()]).to(values.dtype)
