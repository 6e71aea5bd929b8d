"""Which cells of the head's box are sampled: the visual hull at first, then pruned by the rays' weights."""

from __future__ import annotations

import torch

from ..renderer.field.field import Field

SCHEDULE = ((600, 16), (2000, 32), (5000, 128), (1 << 60, 256))
"""(until step, steps between updates of the grid)."""
WARMUP = 150
SETTLED = 600
"""Until this step a cell's neighbours are kept as well, as the surface still moves."""
KEEP = 0.8
"""Decay of a cell's weight at each update: one that no ray used for ten updates is dropped."""
THRESHOLD = 0.04
"""Weight T·alpha of a sample above which its cell is kept."""


class Occupancy:
    """The hull, and which of its cells rays have used lately."""

    def __init__(self, hull: torch.Tensor, used: torch.Tensor | None = None, asks: bool = True) -> None:
        """
        Args:
            hull: (G, G, G) bool, beyond which nothing is ever occupied.
            used: (G³) float32 in [0, 1], of an earlier run.
            asks: whether the device may be asked how many samples are heavy, which saves work; a GPU would be waited for.
        """
        self._asks = asks
        self.hull = hull
        self.used = torch.ones(hull.numel(), device=hull.device) if used is None else used

    def remember(self, field: Field, step: int, positions: torch.Tensor, weights: torch.Tensor) -> None:
        """Take in the samples of one step, (M, 3) in the unit cube and (M,); drop cells that no ray needs."""
        grid = self.hull.shape[0]
        heavy = weights > THRESHOLD
        if self._asks:
            positions, heavy = positions[heavy], heavy[heavy]
        cell = (positions * grid).long().clamp(0, grid - 1)
        cell = (cell[:, 0] * grid + cell[:, 1]) * grid + cell[:, 2]
        self.used.scatter_reduce_(0, cell, heavy.float(), "amax")
        every = next(every for until, every in SCHEDULE if step < until)
        if (step + 1) % every == 0:
            self.used *= KEEP
            if step > WARMUP:
                keep = (self.used > 0.1).reshape(grid, grid, grid)
                keep = _with_neighbours(keep) if step < SETTLED else without_gaps(keep)
                field.set_occupied(keep & self.hull)


def _with_neighbours(cells: torch.Tensor) -> torch.Tensor:
    """(G, G, G) bool with the 26 neighbours of each cell."""
    for axis in range(3):  # a cube is three lines, one after the other
        wider = cells.clone()
        length = cells.shape[axis]
        wider.narrow(axis, 1, length - 1).logical_or_(cells.narrow(axis, 0, length - 1))
        wider.narrow(axis, 0, length - 1).logical_or_(cells.narrow(axis, 1, length - 1))
        cells = wider
    return cells


def without_gaps(cells: torch.Tensor) -> torch.Tensor:
    """A surface of cells closed, and one cell deeper behind: samples are two cells apart and can miss a surface one cell
    deep, which shows as a hole in the head."""
    closed = ~_with_neighbours(~_with_neighbours(cells)) | cells
    closed[:, :, 1:] |= closed[:, :, :-1].clone()
    return closed
