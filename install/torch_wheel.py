"""Where torch comes from, for each device.

On Linux the package index's own torch brings several GB of CUDA libraries, so a CPU installation takes PyTorch's index
and pins its `+cpu` build; a wheel that pip is already configured to find (`find-links`) comes first. On a Mac there is
one build, the package index's.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from . import platforms
from .progress import MB

VERSION = "2.13.0"
CUDA = "cu130"
CUDA_DRIVER = 580
"""The first NVIDIA driver that runs CUDA 13."""

_LONGEST_INSIDE = 155
"""Behind `torch-VERSION`: `.dist-info` and the licence of a package within a package within a package, as measured."""

_INDEX = "https://download.pytorch.org/whl"
_INDEX_HOST = "PyTorch's index (download.pytorch.org)"

_SIZES = {
    ("linux", "cpu"): (192 * MB, 720 * MB),
    ("windows", "cpu"): (125 * MB, 560 * MB),
    ("macos", "cpu"): (90 * MB, 420 * MB),
    ("linux", "cuda"): (2600 * MB, 5600 * MB),
    ("windows", "cuda"): (2595 * MB, 4900 * MB),
}


@dataclass(frozen=True)
class Source:
    """One way to get torch.

    Attributes:
        requirement: "torch==2.13.0+cpu".
        arguments: uv's further arguments.
        host: for messages.
        local: only what is on this machine already; its failure is not an error while another source is left.
    """

    requirement: str
    arguments: tuple[str, ...]
    host: str
    local: bool = False


def sources(device: str) -> list[Source]:
    """What to try for `device`, in this order."""
    if platforms.name() == "macos":
        return [Source(f"torch=={VERSION}", ("--no-deps",), "the package index")]
    # CUDA comes with its dependencies: the libraries, at the versions that torch itself pins.
    build, alone = (CUDA, ()) if device == "cuda" else ("cpu", ("--no-deps",))
    requirement = f"torch=={VERSION}+{build}"
    local = requirement if device == "cuda" else f"torch=={VERSION}"
    return [
        Source(local, (*alone, "--no-index"), "pip's configured find-links", local=True),
        Source(requirement, (*alone, "--default-index", f"{_INDEX}/{build}"), _INDEX_HOST),
    ]


def size(device: str) -> tuple[int, int]:
    """(download, installed) in bytes, torch and the CUDA libraries it brings; to the nearest few percent."""
    return _SIZES.get((platforms.name(), device), _SIZES["linux", "cpu"])


def longest_path(device: str) -> int:
    """Characters of the longest path in torch's wheel, from site-packages on."""
    return len(f"torch-{VERSION}+{CUDA if device == 'cuda' else 'cpu'}") + _LONGEST_INSIDE


def default_device() -> str:
    """ "cuda" where an NVIDIA driver new enough for `CUDA` is seen, else "cpu"."""
    return "cuda" if _driver() >= CUDA_DRIVER else "cpu"


def _driver() -> int:
    """The NVIDIA driver's major version, 0 without one."""
    try:
        if sys.platform == "win32":
            import winreg

            path = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"
            path += r"\{B2FE1952-0186-46C3-BAEC-A80AA35AC5B8}_Display.Driver"
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
                return int(str(winreg.QueryValueEx(key, "DisplayVersion")[0]).split(".")[0])
        words = Path("/proc/driver/nvidia/version").read_text("utf-8", "replace").split()
    except (OSError, ValueError):
        return 0
    return next((int(word.split(".")[0]) for word in words if word.replace(".", "").isdigit() and "." in word), 0)
