"""Our parameters as tiny-cuda-nn lays them out, and back (facts from its documentation and headers, github.com/NVlabs/tiny-cuda-nn).

Grids. Its level has `base_resolution` vertices a side, a scale of one less, and reads position x at `scale * x + 0.5`. Ours has
r cells, r + 1 vertices, and reads at `r * x`. So each of our levels is a grid of its own with one level of r + 1 vertices,
read at x - 0.5 / r. Then the two agree entry by entry: rows while (r + 1)² vertices fit the table, else a hash with the same primes
(1 and 2654435761); its dense levels are as long as their vertices, to a multiple of 8.

Networks. They have no biases, one matrix after another, row by row, and pad inputs, outputs and hidden layers. A first layer's
bias is the weight of an input that is 1; a last layer's is added outside. Padded rows and columns are zeros.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..triplane import PLANES, TriplaneLayout

ALIGNMENT = 16
"""Inputs and outputs of a network are padded to a multiple of it."""
WIDTHS = (32, 64, 128)
"""Hidden widths of its fused network, as documented."""
_ENTRIES = 8
"""A level's entries are padded to a multiple of it."""


def multiple(size: int, of: int) -> int:
    return -(-size // of) * of


def width_of(hidden: int) -> int:
    """The width of the network that holds a hidden layer.

    Raises:
        ValueError: it is too wide.
    """
    for width in WIDTHS:
        if width >= hidden:
            return width
    raise ValueError(f"tinycudann's fused networks have at most {WIDTHS[-1]} hidden units, not {hidden}.")


# -- grids -------------------------------------------------------------------------------------------------------------


def level_sizes(layout: TriplaneLayout) -> list[int]:
    """Entries of each level of a plane."""
    return [
        min(multiple((resolution + 1) ** 2, _ENTRIES), layout.table_size)
        for resolution in layout.resolutions().tolist()
    ]


def encoding_config(layout: TriplaneLayout) -> dict[str, Any]:
    """A composite of one grid for each level of each plane."""
    level = {
        "otype": "HashGrid",
        "n_dims_to_encode": 2,
        "n_levels": 1,
        "n_features_per_level": 1,
        "log2_hashmap_size": layout.log2_table_size,
        "per_level_scale": 1.0,
    }
    levels = [{**level, "base_resolution": resolution + 1} for resolution in layout.resolutions().tolist()]
    return {"otype": "Composite", "nested": levels * len(PLANES)}


def encoding_inputs(positions: Tensor, layout: TriplaneLayout) -> Tensor:
    """(samples, 3) in the unit cube to (samples, 2 · features): both coordinates for each of the grids."""
    half = 0.5 / torch.from_numpy(layout.resolutions()).to(positions)
    parts = [torch.stack([positions[:, a, None] - half, positions[:, b, None] - half], 2).flatten(1) for a, b in PLANES]
    return torch.cat(parts, 1)


def tables_to_parameters(tables: Tensor, layout: TriplaneLayout) -> Tensor:
    """(features, table) to all grids' entries, one after another; differentiable."""
    sizes = level_sizes(layout) * len(PLANES)
    return torch.cat([table[:size] for table, size in zip(tables, sizes, strict=True)])


def parameters_to_tables(parameters: Tensor, layout: TriplaneLayout) -> Tensor:
    """The reverse of `tables_to_parameters`; entries that no vertex has are zeros."""
    sizes = level_sizes(layout) * len(PLANES)
    return torch.stack([functional.pad(part, (0, layout.table_size - len(part))) for part in parameters.split(sizes)])


# -- networks ----------------------------------------------------------------------------------------------------------


def network_config(hidden: int) -> dict[str, Any]:
    """One hidden layer and a linear last one."""
    return {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": width_of(hidden),
        "n_hidden_layers": 1,
    }


def matrices_to_parameters(first: Tensor, last: Tensor) -> Tensor:
    """(hidden, inputs) and (outputs, hidden) to a network's parameters; differentiable."""
    width = width_of(len(first))
    rows, columns = width - len(first), multiple(first.shape[1], ALIGNMENT) - first.shape[1]
    padded_first = functional.pad(first, (0, columns, 0, rows))
    padded_last = functional.pad(last, (0, rows, 0, multiple(len(last), ALIGNMENT) - len(last)))
    return torch.cat([padded_first.flatten(), padded_last.flatten()])


def parameters_to_matrices(parameters: Tensor, inputs: int, hidden: int, outputs: int) -> tuple[Tensor, Tensor]:
    """The reverse of `matrices_to_parameters`."""
    width, columns = width_of(hidden), multiple(inputs, ALIGNMENT)
    first, last = parameters.split([width * columns, multiple(outputs, ALIGNMENT) * width])
    return first.reshape(width, columns)[:hidden, :inputs], last.reshape(-1, width)[:outputs, :hidden]
