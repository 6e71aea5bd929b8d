"""Implementations of the renderer's inner loops behind one interface (`interface.Kernel`) and parameter layout."""

from __future__ import annotations

from .interface import Kernel, Samples

__all__ = ["Kernel", "Samples", "get_kernel"]


def get_kernel(name: str = "auto", device: str = "cpu") -> Kernel:
    """The kernel called `name`: `torch` (any device, the oracle of the tests), `numba` (CPU), or `auto`.

    `auto` takes numba on the CPU when it imports, else torch.
    """
    if name == "auto":
        name = "torch"
        if device == "cpu":
            try:
                import numba  # noqa: F401

                name = "numba"
            except ImportError:
                pass
    if name == "numba":
        from .numba_kernel import NumbaKernel

        return NumbaKernel()
    if name == "torch":
        from .torch_kernel import TorchKernel

        return TorchKernel()
    raise ValueError(f"unknown kernel {name!r}: choose torch, numba or auto")
