"""Tensors of a TensorFlow.js graph model: the manifest in a JSON file, the values, 8 bit each, in a binary one.

The format is TensorFlow.js' weights manifest with the `quantization` of its entries. Nothing in these files is executed.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import ModelError

_TYPES = {name: np.dtype(kind) for name, kind in {"float32": "<f4", "int32": "<i4", "bool": "?", "uint8": "u1"}.items()}
_KERNEL = re.compile(r"(.*)/(depthwise_conv2d|conv2d)(?:_(\d+))?/[^/]+(?:/ReadVariableOp)?")


class Layer(NamedTuple):
    """A convolution, with the batch normalisation that follows it."""

    kernel: Tensor
    """(out, in, height, width), as PyTorch has it."""
    bias: Tensor
    """(out)."""


def read_tensors(manifest: Path, values: Path) -> dict[str, np.ndarray]:
    """Every tensor by its name; quantised ones as value · scale + min, float32.

    Raises:
        ModelError: the files are damaged, or do not belong together.
    """
    tensors: dict[str, np.ndarray] = {}
    try:
        groups = json.loads(manifest.read_text("utf-8"))["weightsManifest"]
        data, offset = values.read_bytes(), 0
        for entry in (entry for group in groups for entry in group["weights"]):
            packing = entry.get("quantization")
            kind = _TYPES[packing["dtype"] if packing else entry["dtype"]]
            stored = np.frombuffer(data, kind, math.prod(entry["shape"]), offset)
            offset += stored.nbytes
            if packing:
                stored = stored.astype(np.float32) * np.float32(packing["scale"]) + np.float32(packing["min"])
            tensors[entry["name"]] = stored.reshape(entry["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(manifest, values, error) from error
    if offset != len(data):
        raise _unreadable(manifest, values, f"{offset:,} bytes are described and {len(data):,} are there")
    return tensors


def layers_of(tensors: dict[str, np.ndarray]) -> dict[tuple[str, int], Layer]:
    """Every convolution by its kind (`conv2d`, `depthwise_conv2d`) and its number in the order of the network."""
    layers = {}
    for name, value in tensors.items():
        if value.ndim != 4 or (found := _KERNEL.fullmatch(name)) is None:
            continue
        scope, kind, number = found[1], found[2], int(found[3] or 0)
        kernel = value.transpose(2, 3, 0, 1) if kind == "depthwise_conv2d" else value.transpose(3, 2, 0, 1)
        own = f"{scope}/{kind}_{number}/" if number else f"{scope}/{kind}/"
        bias = next((v for n, v in tensors.items() if n.startswith(own) and v.shape == kernel.shape[:1]), None)
        if bias is None:  # batch normalisation was left beside the kernel, or there is neither
            kernel = kernel * _of_scope(tensors, scope, "Scaled", len(kernel), 1.0)[:, None, None, None]
            bias = _of_scope(tensors, scope, "Offset", len(kernel), 0.0)
        layers[kind, number] = Layer(*(torch.from_numpy(np.array(array, np.float32)) for array in (kernel, bias)))
    return layers


def _of_scope(tensors: dict[str, np.ndarray], scope: str, name: str, size: int, otherwise: float) -> np.ndarray:
    pattern = re.compile(re.escape(scope) + r"/batch_normalization[^/]*/[^/]+/" + name)
    found = (value for key, value in tensors.items() if value.shape == (size,) and pattern.fullmatch(key))
    return next(found, np.full(size, otherwise, np.float32))


def _unreadable(manifest: Path, values: Path, reason: object) -> ModelError:
    return ModelError(
        f"{manifest} and {values.name} beside it cannot be read as a network ({reason}): "
        "delete both and fetch them again."
    )
