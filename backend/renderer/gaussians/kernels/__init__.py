"""Implementations of the rasteriser of Gaussians behind one interface (`interface.Rasteriser`)."""

from __future__ import annotations

import importlib.util

from .interface import Drawn, Gradients, Rasteriser, View

__all__ = ["RASTERISERS", "Drawn", "Gradients", "Rasteriser", "View", "get_rasteriser"]

RASTERISERS = ("torch", "numba")


def get_rasteriser(name: str = "auto", device: str = "cpu", threads: int | None = None) -> Rasteriser:
    """The rasteriser called `name`: `torch` (any device, the oracle of the tests), `numba` (CPU) or `auto`.

    `auto` takes numba on the CPU where it imports, else torch.

    Args:
        threads: for one image, of numba; the number of processors when None.
    """
    if name == "auto":
        name = "numba" if device == "cpu" and importlib.util.find_spec("numba") else "torch"
    if name == "numba":
        from .numba_rasteriser import NumbaRasteriser

        return NumbaRasteriser(threads)
    if name == "torch":
        from .torch_rasteriser import TorchRasteriser

        return TorchRasteriser(device)
    raise ValueError(f"unknown rasteriser {name!r}: choose {', '.join(RASTERISERS)} or auto")
