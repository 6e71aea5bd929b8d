"""Implementations of the rasteriser of Gaussians behind one interface (`interface.Rasteriser`)."""

from __future__ import annotations

from ...runnable import why_not
from .interface import Drawn, Gradients, Rasteriser, View

__all__ = ["RASTERISERS", "Drawn", "Gradients", "Rasteriser", "View", "get_rasteriser"]

RASTERISERS = ("torch", "numba", "triton", "gsplat")


def get_rasteriser(name: str = "auto", device: str = "cpu", threads: int | None = None) -> Rasteriser:
    """The rasteriser called `name`: `torch` (any device, the oracle of the tests), `numba` (CPU), `triton` or `gsplat` (CUDA) or
    `auto`.

    `auto` takes triton on CUDA where it can run, else numba whatever the device is, else torch.

    Args:
        threads: for one image, of numba; the number of processors when None.
    """
    if name == "auto":
        on_gpu = device.startswith("cuda") and not why_not("triton", device)
        name = "triton" if on_gpu else "torch" if why_not("numba", "cpu") else "numba"
    if name == "numba":
        from .numba_rasteriser import NumbaRasteriser

        return NumbaRasteriser(threads)
    if name == "torch":
        from .torch_rasteriser import TorchRasteriser

        return TorchRasteriser(device)
    if name == "triton":
        from .triton_rasteriser import TritonRasteriser

        return TritonRasteriser(device)
    if name == "gsplat":
        from .gsplat_rasteriser import GsplatRasteriser

        return GsplatRasteriser(device if device != "cpu" else "cuda")
    raise ValueError(f"unknown rasteriser {name!r}: choose {', '.join(RASTERISERS)} or auto")
