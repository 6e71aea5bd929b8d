"""Which device fields are trained and rendered on: one for a process."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from ..errors import DeviceError
from ..progress import Reporter
from ..protocol import DEVICE_VARIABLE

MIN_FREE_BYTES = 1 << 30
"""Of a GPU's memory, for a field and its training: less is not tried."""

_selected: str | None = None
_reporter: Reporter | None = None
"""That of the last selection: it warns where a GPU's memory runs out later."""


def current(reporter: Reporter | None = None) -> str:
    """The device that was selected, as torch names it; the best one where none was."""
    return _selected or select(reporter=reporter)


def select(wanted: str = "auto", reporter: Reporter | None = None) -> str:
    """Select the device of this process, and return it.

    Args:
        wanted: `cpu`, `cuda`, `cuda:N`, `mps`, or `auto`: `SYNCTALK_DEVICE`, else a CUDA device where there is one, else the
            CPU. A CUDA device whose memory is taken by other programs is not: the CPU is used, and the reporter warns.

    Raises:
        DeviceError: there is no such device.
    """
    global _selected, _reporter
    _reporter = reporter
    if wanted == "auto":
        wanted = os.environ.get(DEVICE_VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    device = _checked(wanted)
    if device.startswith("cuda") and (free := free_bytes(device)) < MIN_FREE_BYTES:
        if reporter:
            reporter.warning(
                f"{name_of(device)} has {free >> 20} MB of free memory, and {MIN_FREE_BYTES >> 20} are needed: the CPU is used. "
                "Close what else uses the GPU, or choose another one with --device."
            )
        device = "cpu"
    _selected = device
    return device


def left_for_cpu(error: RuntimeError, device: str) -> bool:
    """Whether this error says that a GPU's memory ran out. Then the CPU is this process's device, and a sentence warns.

    What used the device must move to the CPU itself, and let go of what it holds on the GPU.
    """
    global _selected
    # Triton's own allocations raise a plain RuntimeError.
    ran_out = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
    if torch.device(device).type == "cpu" or not ran_out:
        return False
    if _selected != "cpu" and _reporter is not None:
        _reporter.warning(
            f"The memory of {name_of(device)} ran out: the CPU is used from here on. Close what else uses the GPU, or choose "
            "another one with --device."
        )
    _selected = "cpu"
    return True


def name_of(device: str) -> str:
    """What its maker calls a CUDA device; others as torch names them."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def upload(array: np.ndarray, device: str) -> torch.Tensor:
    """An array on a device; a GPU's work that was begun before is not waited for."""
    tensor = torch.from_numpy(np.require(array, requirements="W"))  # PyTorch warns of read-only ones
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)


def on(device: torch.device) -> AbstractContextManager[object]:
    """Makes a CUDA device this thread's current one: Triton launches there, whichever device its tensors are on."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def free_bytes(device: str) -> int:
    """Of a CUDA device's memory."""
    return torch.cuda.mem_get_info(device)[0]


def _checked(wanted: str) -> str:
    kind, _, number = wanted.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and (kind != "cuda" or not number.isdigit())):
        raise DeviceError(f"There is no device {wanted}: give cpu, cuda, cuda:0 and so on, or mps.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("There is no device mps: it is the GPU of a Mac with Apple silicon. Give cpu or cuda.")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            found = f"PyTorch sees {count} CUDA device{'s' * (count != 1)}" if count else "PyTorch sees no CUDA device"
            raise DeviceError(f"There is no device {wanted}: {found}. Give cpu, or see docs/install.md for the driver.")
    return wanted
