"""Which packages' kernels can run on a device. Nothing of a GPU is imported for another device."""

from __future__ import annotations

import importlib
import importlib.util
import os

_OLDEST_GPU = (7, 5)
"""Compute capability that Triton's kernels are compiled for; bfloat16 is multiplied from 8.0 on."""


def why_not(name: str, device: str) -> str:
    """Why a kernel cannot run on a device, as the end of a sentence; empty where it can."""
    if name == "torch":
        return ""
    on_gpu = device.startswith("cuda")
    if name == "numba":
        if device != "cpu":
            return "runs on the CPU alone."
        return "" if importlib.util.find_spec("numba") else "is not installed."
    if not on_gpu and not (name == "triton" and device == "cpu" and _is_interpreted()):
        return "needs an NVIDIA GPU."
    if not importlib.util.find_spec(name):
        return "is not installed."
    if on_gpu:
        import torch

        if torch.cuda.get_device_capability(device) < _OLDEST_GPU:
            return f"needs a GPU of compute capability {_OLDEST_GPU[0]}.{_OLDEST_GPU[1]} or newer."
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            return f"cannot be imported ({error})."
    return ""


def _is_interpreted() -> bool:
    """Whether Triton's kernels run in its interpreter, on the CPU: the tests do."""
    return os.environ.get("TRITON_INTERPRET") == "1"
