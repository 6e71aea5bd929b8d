"""The platforms that lock files exist for."""

from __future__ import annotations

import platform
import sys

from .errors import PackageError

MACHINES = {"linux": ("x86_64", "amd64"), "windows": ("x86_64", "amd64"), "macos": ("arm64", "aarch64")}
"""By platform, the processors that every locked package has wheels for."""


def name() -> str:
    """ "linux", "windows" or "macos": this machine's platform, as lock files name it."""
    if sys.platform == "win32":
        return "windows"
    return "macos" if sys.platform == "darwin" else "linux"


def check_machine() -> None:
    """Raise `PackageError` on a processor that torch or MediaPipe have no wheels for."""
    machine = platform.machine().lower()
    if machine not in MACHINES[name()]:
        raise PackageError(
            f"There are no packages of torch and MediaPipe for {name()} on {machine}: "
            "use 64-bit Intel or AMD with Linux or Windows, or a Mac with Apple silicon."
        )
