"""Weights published by others, as files of `torch.save` or safetensors."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

_DAMAGED = (
    OSError, EOFError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError, SafetensorError,
    pickle.UnpicklingError, struct.error,
)  # fmt: skip


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors in a file; code in it is never run.

    Raises:
        ValueError: the file is damaged, or holds something else than finite numbers.
    """
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        # The library's own text runs over several lines and explains how to run the code in the file.
        raise ValueError(f"{path} cannot be read") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds no table of weights")
    weights = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not all(torch.isfinite(value).all() for value in weights.values()):
        raise ValueError(f"{path} holds numbers that are not finite")
    return weights
