"""Compile the kernels of Triton for a GPU that is not there: `python compile_triton.py field 86` prints a line of JSON a kernel.

With `ones` all their sizes are 1, which Triton makes constants of.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).parents[3]))

_KINDS = {
    **dict.fromkeys(
        ("rays", "most", "weight_count", "count", "columns", "rows", "room", "height", "width"), "i32"
    ),
    **dict.fromkeys(("unit_step", "box_size", "step"), "fp32"),
    **dict.fromkeys(("total", "offsets", "totals", "starts"), "*i64"),
    **dict.fromkeys(
        ("frames", "ray_of", "counts", "places", "resolutions", "order", "boxes", "touched", "tiles", "owners", "lists", "ends"),
        "*i32",
    ),
    **dict.fromkeys(("occupied", "blocks"), "*u8"),
}  # fmt: skip


class Compiled(NamedTuple):
    """What a kernel is compiled with.

    Attributes:
        kinds: of arguments that are not what `_KINDS` says.
    """

    name: str
    kernel: triton.JITFunction
    constants: dict[str, Any]
    options: dict[str, Any]
    kinds: dict[str, str]


def field_kernels(half: torch.dtype) -> Iterator[Compiled]:
    from backend.renderer.field.kernels import triton_kernel as module
    from backend.renderer.field.triplane import TriplaneLayout

    constants = {"CELLS": 128, "RAYS": module.RAYS} | module.sizes_of(TriplaneLayout(), 64, half)
    for name, kernel in _kernels_of(module):
        options = module.LIGHT if "RAYS" in kernel.arg_names else module.OPTIONS
        yield Compiled(name, kernel, constants, options, {"rays": "*i32"} if name.startswith("shade") else {})


def gaussian_kernels(half: torch.dtype) -> Iterator[Compiled]:
    from backend.renderer.gaussians.kernels import triton_rasteriser as module

    for name, kernel in _kernels_of(module):
        options = module.TILE_OPTIONS if "CHUNK" in kernel.arg_names else module.BLOCK_OPTIONS
        constants = {"TILE": module.TILE, "BLOCK": module.BLOCK, "CHUNK": module.CHUNK, "PASSES": True}
        yield Compiled(name, kernel, constants, options, {})
        if "PASSES" in kernel.arg_names:
            yield Compiled(name, kernel, constants | {"PASSES": False}, options, {})


def _kernels_of(module: ModuleType) -> Iterator[tuple[str, triton.JITFunction]]:
    for name in sorted(vars(module)):
        if name.endswith("_kernel") and isinstance(kernel := getattr(module, name), triton.JITFunction):
            yield name, kernel


def compile_all(which: str, capability: int, ones: bool) -> None:
    kernels = {"field": field_kernels, "gaussians": gaussian_kernels}[which]
    for name, kernel, sizes, options, kinds in kernels(torch.bfloat16 if capability >= 80 else torch.float16):
        constants = {argument: sizes[argument] for argument in kernel.arg_names if argument in sizes}
        known = {argument: _KINDS.get(argument, "*fp32") for argument in kernel.arg_names} | kinds
        if ones:
            constants = {argument: 1 for argument, kind in known.items() if kind == "i32"} | constants
        signature = {argument: "constexpr" if argument in constants else kind for argument, kind in known.items()}
        made = triton.compile(
            ASTSource(kernel, signature=signature, constexprs=constants),
            target=GPUTarget("cuda", capability, 32),
            options=options,
        )
        print(json.dumps({"kernel": name, "shared": made.metadata.shared, "code": len(made.asm["cubin"])}), flush=True)


if __name__ == "__main__":
    compile_all(sys.argv[1], int(sys.argv[2]), "ones" in sys.argv[3:])
