"""Rasterisers of Gaussians behind one interface (`interface.Rasteriser`)."""

from __future__ import annotations

from .interface import Rasteriser

__all__ = ["RASTERISERS", "get_rasteriser"]

RASTERISERS: tuple[str, ...] = ()


def get_rasteriser(name: str = "auto", device: str = "cpu", threads: int | None = None) -> Rasteriser:
    """The rasteriser called `name`."""
    raise ValueError(f"unknown rasteriser {name!r}: choose {', '.join(RASTERISERS)} or auto")
