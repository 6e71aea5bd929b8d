"""Implementations of the renderer's inner loops behind one interface (`interface.Kernel`) and parameter layout."""

from __future__ import annotations

import os

from ...runnable import why_not
from .interface import Grid, Kernel, Networks, Samples

__all__ = ["KERNELS", "Grid", "Kernel", "Networks", "Samples", "get_kernel", "why_not"]

KERNELS = ("torch", "numba", "triton", "tinycudann")

KERNEL_VARIABLE = "SYNCTALK_KERNEL"
"""Environment variable with the kernel that `auto` takes; for tests and benchmarks."""


def get_kernel(name: str = "auto", device: str = "cpu") -> Kernel:
    """The kernel called `name`: `torch` (any device, the oracle of the tests), `numba` (CPU), `triton` or `tinycudann` (CUDA),
    or `auto`.

    `auto` takes numba on the CPU; on CUDA tinycudann where it was installed, else triton; and torch where they cannot run.
    Networks run in bfloat16 where the processor multiplies it in hardware, else in float32 (torch, numba) or float16
    (triton). Nothing of a GPU is imported unless `device` is one.

    Raises:
        ValueError: there is no such kernel, or it cannot run.
    """
    if name == "auto":
        name = os.environ.get(KERNEL_VARIABLE) or _best(device)
    if name not in KERNELS:
        raise ValueError(f"unknown kernel {name!r}: choose {', '.join(KERNELS)} or auto")
    if reason := why_not(name, device):
        raise ValueError(f"The kernel {name} {reason}")
    if name == "numba":
        from .numba_kernel import NumbaKernel

        return NumbaKernel()
    import torch

    fast = device.startswith("cuda") and torch.cuda.get_device_capability(device)[0] >= 8
    if name == "triton":
        from .triton_kernel import TritonKernel

        half = torch.bfloat16 if fast else torch.float16
        return TritonKernel(half if device.startswith("cuda") else torch.float32)
    if name == "tinycudann":
        from .tinycudann_kernel import TinycudannKernel

        return TinycudannKernel(get_kernel("torch" if why_not("triton", device) else "triton", device))
    from .torch_kernel import TorchKernel

    return TorchKernel(torch.bfloat16 if fast else torch.float32)


def _best(device: str) -> str:
    names = ("tinycudann", "triton", "torch") if device.startswith("cuda") else ("numba", "torch")
    return next(name for name in names if not why_not(name, device))
