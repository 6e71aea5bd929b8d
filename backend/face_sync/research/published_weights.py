"""Weights that others publish as files of `torch.save`, read as tables of numbers only."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor


def read_weights(path: Path) -> dict[str, Tensor]:
    """The table of weights in a file that `torch.save` wrote; no code in it is ever run.

    Raises:
        ValueError: it is no such file, or is damaged, or holds something else than numbers.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        EOFError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
        pickle.UnpicklingError,
        struct.error,
    ) as error:
        # The library's own text runs over several lines and tells how to run the code in the file.
        raise ValueError(f"{path} cannot be read") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds no table of weights")
    weights = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not all(torch.isfinite(value).all() for value in weights.values()):
        raise ValueError(f"{path} holds numbers that are not finite")
    return weights
