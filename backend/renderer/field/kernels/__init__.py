"""Implementations of the renderer's inner loops behind one interface (`interface.Kernel`) and parameter layout."""

from __future__ import annotations

import importlib.util

from .interface import Grid, Kernel, Networks, Samples

__all__ = ["KERNELS", "Grid", "Kernel", "Networks", "Samples", "get_kernel"]

KERNELS = ("torch", "numba")
"""`triton` and `tinycudann` are to have the same interface and the same parameters."""


def get_kernel(name: str = "auto", device: str = "cpu") -> Kernel:
    """The kernel called `name`: `torch` (any device, the oracle of the tests), `numba` (CPU), or `auto`.

    `auto` takes numba on the CPU when it imports, else torch. Networks run in bfloat16 where the processor multiplies
    it in hardware, else in float32.
    """
    if name == "auto":
        name = "numba" if device == "cpu" and importlib.util.find_spec("numba") else "torch"
    if name == "numba":
        from .numba_kernel import NumbaKernel

        return NumbaKernel()
    if name == "torch":
        import torch

        from .torch_kernel import TorchKernel

        fast = device != "cpu" and torch.cuda.is_bf16_supported()
        return TorchKernel(torch.bfloat16 if fast else torch.float32)
    raise ValueError(f"unknown kernel {name!r}: choose {', '.join(KERNELS)} or auto")
