"""Implementations of the rasteriser of Gaussians behind one interface (`interface.Rasteriser`)."""

from __future__ import annotations

import importlib.util

from .interface import Drawn, Gradients, Rasteriser, View

__all__ = ["RASTERISERS", "Drawn", "Gradients", "Rasteriser", "View", "get_rasteriser"]

RASTERISERS = ("torch", "numba", "gsplat")


def get_rasteriser(name: str = "auto", device: str = "cpu", threads: int | None = None) -> Rasteriser:
    """The rasteriser called `name`: `torch` (any device, the oracle of the tests), `numba` (CPU),
    `gsplat` (CUDA) or `auto`.

    `auto` takes numba on the CPU and gsplat on CUDA where they are installed, else torch.

    Args:
        threads: for one image, of numba; the number of processors when None.
    """
    if name == "auto":
        wanted = "numba" if device == "cpu" else "gsplat" if device.startswith("cuda") else "torch"
        name = wanted if importlib.util.find_spec(wanted) else "torch"
    if name == "numba":
        from .numba_rasteriser import NumbaRasteriser

        return NumbaRasteriser(threads)
    if name == "torch":
        from .torch_rasteriser import TorchRasteriser

        return TorchRasteriser(device)
    if name == "gsplat":
        from .gsplat_rasteriser import GsplatRasteriser

        return GsplatRasteriser(device if device != "cpu" else "cuda")
    raise ValueError(f"unknown rasteriser {name!r}: choose {', '.join(RASTERISERS)} or auto")
