"""Compile the kernels of Triton for a GPU that is not there: `python compile_triton.py 86` prints a line of JSON a kernel."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.insert(0, str(Path(__file__).parents[3]))

from backend.renderer.field.kernels import triton_kernel as module
from backend.renderer.field.triplane import TriplaneLayout

_KINDS = {
    "rays": "i32", "most": "i32", "weight_count": "i32", "unit_step": "fp32", "box_size": "fp32", "step": "fp32",
    "total": "*i64", "offsets": "*i64", "frames": "*i32", "ray_of": "*i32", "counts": "*i32", "places": "*i32",
    "resolutions": "*i32", "occupied": "*u8", "blocks": "*u8",
}  # fmt: skip


def compile_all(capability: int) -> None:
    half = torch.bfloat16 if capability >= 80 else torch.float16
    sizes = {"CELLS": 128, "RAYS": module.RAYS}
    sizes |= module.sizes_of(TriplaneLayout(), 64, half)
    for name in sorted(vars(module)):
        if not name.endswith("_kernel") or not isinstance(kernel := getattr(module, name), triton.JITFunction):
            continue
        constants = {argument: sizes[argument] for argument in kernel.arg_names if argument in sizes}
        kinds = {argument: _KINDS.get(argument, "*fp32") for argument in kernel.arg_names}
        if name.startswith("shade"):
            kinds["rays"] = "*i32"
        signature = {argument: "constexpr" if argument in constants else kind for argument, kind in kinds.items()}
        options = module.LIGHT if "RAYS" in constants else module.OPTIONS
        made = triton.compile(
            ASTSource(kernel, signature=signature, constexprs=constants),
            target=GPUTarget("cuda", capability, 32),
            options=options,
        )
        print(json.dumps({"kernel": name, "shared": made.metadata.shared, "code": len(made.asm["cubin"])}), flush=True)


if __name__ == "__main__":
    compile_all(int(sys.argv[1]))
