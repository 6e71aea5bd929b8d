"""A reference of tiny-cuda-nn's grids and networks, in NumPy, from its documentation: where parameters are and what they weigh.

It answers as the package does (`Encoding`, `Network`), on the CPU and in single precision. What NumPy finds, indices and weights,
PyTorch gathers, for gradients.
"""

from __future__ import annotations

import numpy as np
import torch

PRIMES = (1, 2654435761)


def grid_entries(resolution: int, log2_size: int) -> int:
    """Entries of a level with `resolution` vertices a side, in two dimensions."""
    return min(-(-(resolution**2) // 8) * 8, 1 << log2_size)


def read_grid(points: np.ndarray, base_resolution: int, log2_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights (N, 4) of what the first level of a 2D hash grid reads at (N, 2) points."""
    scale = np.float32(base_resolution - 1)
    resolution = int(np.ceil(scale)) + 1
    entries = grid_entries(resolution, log2_size)
    at = points.astype(np.float32) * scale + np.float32(0.5)
    cell = np.floor(at)
    fraction, cell = at - cell, cell.astype(np.int64).astype(np.uint32)
    indices, weights = [], []
    for corner in range(4):
        aside = np.array([corner & 1, corner >> 1], np.uint32)
        vertex = cell + aside
        weights.append(np.prod(np.where(aside == 1, fraction, 1 - fraction), 1))
        if resolution**2 > entries:
            index = (vertex[:, 0] * np.uint32(PRIMES[0])) ^ (vertex[:, 1] * np.uint32(PRIMES[1]))
        else:
            index = vertex[:, 0] + vertex[:, 1] * np.uint32(resolution)
        indices.append(index % np.uint32(entries))
    return np.stack(indices, 1).astype(np.int64), np.stack(weights, 1)


class Encoding(torch.nn.Module):
    """A composite of hash grids of one level and one feature."""

    def __init__(self, n_input_dims: int, encoding_config: dict, dtype: torch.dtype) -> None:
        super().__init__()
        assert encoding_config["otype"] == "Composite" and dtype == torch.float32
        self.grids = encoding_config["nested"]
        assert sum(grid["n_dims_to_encode"] for grid in self.grids) == n_input_dims
        for grid in self.grids:
            assert (grid["otype"], grid["n_levels"], grid["n_features_per_level"]) == ("HashGrid", 1, 1)
        self.sizes = [grid_entries(grid["base_resolution"], grid["log2_hashmap_size"]) for grid in self.grids]
        self.params = torch.nn.Parameter(torch.zeros(sum(self.sizes)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = []
        for number, (grid, part) in enumerate(zip(self.grids, self.params.split(self.sizes), strict=True)):
            points = x[:, 2 * number : 2 * number + 2].detach().numpy()
            indices, weights = read_grid(points, grid["base_resolution"], grid["log2_hashmap_size"])
            columns.append((part[torch.from_numpy(indices)] * torch.from_numpy(weights)).sum(1))
        return torch.stack(columns, 1)


class Network(torch.nn.Module):
    """A fused network with one hidden layer: inputs padded by ones, outputs and matrices padded to 16, no biases."""

    def __init__(self, n_input_dims: int, n_output_dims: int, network_config: dict) -> None:
        super().__init__()
        assert network_config["otype"] == "FullyFusedMLP" and network_config["n_hidden_layers"] == 1
        assert network_config["n_neurons"] in (32, 64, 128) and network_config["output_activation"] == "None"
        self.inputs, self.outputs, self.width = n_input_dims, n_output_dims, network_config["n_neurons"]
        self.padded_inputs, self.padded_outputs = (-(-size // 16) * 16 for size in (n_input_dims, n_output_dims))
        self.params = torch.nn.Parameter(torch.zeros(self.width * (self.padded_inputs + self.padded_outputs)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1] == self.inputs
        x = torch.nn.functional.pad(x, (0, self.padded_inputs - self.inputs), value=1.0)
        split = self.width * self.padded_inputs
        first = self.params[:split].reshape(self.width, self.padded_inputs)
        last = self.params[split:].reshape(self.padded_outputs, self.width)
        return self._multiplied(x, first, last)[:, : self.outputs]

    def _multiplied(self, x: torch.Tensor, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        return torch.relu(x @ first.T) @ last.T


class HalfNetwork(Network):
    """The same in half precision, as the package is: also what comes back, times `loss_scale`, and the weights' gradients."""

    loss_scale = 128.0

    def _multiplied(self, x: torch.Tensor, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        return _Halves.apply(x, first, last, self)


class _Halves(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, first, last, network):
        x, first, last = (value.half().float() for value in (x, first, last))
        hidden = torch.relu(x @ first.T).half().float()
        ctx.save_for_backward(x, hidden, first, last)
        ctx.scale = network.loss_scale
        return (hidden @ last.T).half()

    @staticmethod
    def backward(ctx, gradient):
        x, hidden, first, last = ctx.saved_tensors
        gradient = (gradient * ctx.scale).float()  # its rounding to half is in `gradient`
        by_hidden = ((gradient @ last).half() * (hidden > 0)).float()
        found = by_hidden @ first, by_hidden.T @ x, gradient.T @ hidden
        return *(value.half().float() / ctx.scale for value in found), None
