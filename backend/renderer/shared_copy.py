"""A frame drawn on a GPU, brought into memory that Blender maps: encoded for it there, and copied without a stop in between.

Never run on a GPU so far; on the CPU the same steps run in turn.
"""

from __future__ import annotations

import contextlib
import os

import numpy as np
import torch
from torch import Tensor

from ..workspace.shapes import Float

_KEPT = 4
"""Mappings that stay registered."""
_KNEE, _SLOPE, _OFFSET, _EXPONENT = 0.04045, 1 / 12.92, 0.055, 2.4
"""Of sRGB's curve (IEC 61966-2-1)."""


def scene_linear(rgba: Float[Tensor, "height width 4"]) -> Float[Tensor, "height width 4"]:
    """As `scene_linear.write_scene_linear` writes it: premultiplied scene-linear, the bottom row first."""
    alpha = rgba[..., 3:]
    signal = (rgba[..., :3] / alpha.clamp(min=1e-6)).clamp(0, 1)
    curve = ((signal + _OFFSET) / (1 + _OFFSET)) ** _EXPONENT
    linear = torch.where(signal <= _KNEE, signal * _SLOPE, curve)
    return torch.cat([linear * alpha, alpha], -1).flip(0)


class SharedCopy:
    """Copies frames into mapped memory. The GPU writes there itself where the system lets it, else into memory of its own that is
    copied from."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._registered: dict[int, tuple[np.ndarray, bool]] = {}
        """By address: the memory, which must not be unmapped before, and whether the GPU may write to it."""
        self._own: Tensor | None = None

    def write(self, frame: Float[Tensor, "height width 4"], out: Float[np.ndarray, "height width 4"]) -> None:
        """Into `out`; waits for the copy alone."""
        if self._device.type != "cuda":
            torch.from_numpy(out).copy_(frame)
            return
        direct = self._may_write(out)
        to = torch.from_numpy(out) if direct else self._pinned(frame.shape)
        to.copy_(frame, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        if not direct:
            out[...] = to.numpy()

    def _may_write(self, out: np.ndarray) -> bool:
        if os.name == "nt":  # a file that is kept mapped there could not be removed
            return False
        address = out.ctypes.data
        known = self._registered.pop(address, None)
        if known is None or known[0].nbytes != out.nbytes:
            if known is not None:
                self._release(address, known[1])
            known = out, int(torch.cuda.cudart().cudaHostRegister(address, out.nbytes, 0)) == 0
            if not known[1]:
                self._clear_error()
        self._registered[address] = known
        while len(self._registered) > _KEPT:
            oldest = next(iter(self._registered))
            self._release(oldest, self._registered.pop(oldest)[1])
        return known[1]

    def _pinned(self, shape: torch.Size) -> Tensor:
        if self._own is None or self._own.shape != shape:
            self._own = torch.empty(shape, pin_memory=True)
        return self._own

    def _clear_error(self) -> None:
        """CUDA keeps the error of a refused call for this thread's next launch to report: not a frame's, so one of no
        consequence is made here."""
        with contextlib.suppress(RuntimeError):
            torch.ones(1, device=self._device)

    @staticmethod
    def _release(address: int, registered: bool) -> None:
        if registered:
            torch.cuda.cudart().cudaHostUnregister(address)
