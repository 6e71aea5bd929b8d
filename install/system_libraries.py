"""Libraries of the operating system that the wheels load but do not carry.

Only Linux lacks any: a server or a container has no OpenGL and no X11 client libraries, which Blender and OpenCV
link to even when they never open a window. Where this runs as root on a Debian-like system they are installed,
elsewhere the command to run is named.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from .errors import SystemLibraryError
from .process import Run, call, child_environment
from .progress import IsCancelled, Progress

_OPENCV = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}
_BPY = {
    "libXi.so.6": "libxi6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libGL.so.1": "libgl1",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libgomp.so.1": "libgomp1",
    # Not linked, but loaded by EEVEE, Workbench and the gpu module, which abort the process without it.
    "libEGL.so.1": "libegl1",
}
NEEDED = {"backend": _OPENCV, "bpy": _BPY}
"""By user, the libraries it loads and the Debian package of each."""

_DNF = {"libgl1": "mesa-libGL", "libglib2.0-0": "glib2", "libxi6": "libXi", "libxrender1": "libXrender"}
_DNF |= {"libxfixes3": "libXfixes", "libxkbcommon0": "libxkbcommon", "libsm6": "libSM", "libxxf86vm1": "libXxf86vm"}
_DNF |= {"libgomp1": "libgomp", "libegl1": "mesa-libEGL"}

_PROBE = """
import ctypes, json, sys
missing = []
for name in json.loads(sys.argv[1]):
    try:
        ctypes.CDLL(name)
    except OSError:
        missing.append(name)
print(json.dumps(missing))
"""


def missing(user: str, python: Path) -> list[str]:
    """The libraries that `user` ("backend" or "bpy") needs and that the loader does not find, e.g. ["libGL.so.1"].

    A child process of `python` tries to load each, so that none stays loaded here.
    """
    if sys.platform != "linux":
        return []
    done = call([python, "-I", "-c", _PROBE, json.dumps(sorted(NEEDED[user]))], capture_output=True)
    return json.loads(done.stdout) if done.returncode == 0 else []


def ensure(user: str, python: Path, cancelled: IsCancelled | None = None) -> Iterator[Progress]:
    """Install what `missing` names, yielding an event while the package manager works.

    Raises:
        SystemLibraryError: this is no Debian-like system, or not root, or apt failed; names the command to run.
    """
    absent = missing(user, python)
    if not absent:
        return
    packages = sorted({NEEDED[user][name] for name in absent})
    if can_install():
        event = Progress("prepare", f"system libraries: {' '.join(packages)}")
        # Package lists are fetched only if the existing ones are not enough.
        if not (yield from _apt(["install", "-y", "--no-install-recommends", *packages], event, cancelled)):
            yield from _apt(["update"], event, cancelled)
            yield from _apt(["install", "-y", "--no-install-recommends", *packages], event, cancelled)
        absent = missing(user, python)
    if absent:
        raise SystemLibraryError(f"This system lacks {', '.join(absent)}: run `{command_for(packages)}` and try again.")


def can_install() -> bool:
    """Whether packages can be installed without asking: apt is there and this process is root."""
    return sys.platform == "linux" and shutil.which("apt-get") is not None and os.geteuid() == 0


def command_for(packages: Sequence[str]) -> str:
    """The command, for this system's package manager, that installs the Debian packages `packages`."""
    if shutil.which("apt-get"):
        return f"sudo apt-get install {' '.join(packages)}"
    if shutil.which("dnf"):
        return f"sudo dnf install {' '.join(_DNF[package] for package in packages)}"
    if shutil.which("pacman"):
        return "sudo pacman -S libglvnd glib2 libxi libxrender libxfixes libxkbcommon libsm libxxf86vm"
    return f"sudo apt-get install {' '.join(packages)} (Debian's names)"


def _apt(arguments: Sequence[str], event: Progress, cancelled: IsCancelled | None) -> Generator[Progress, None, bool]:
    """Run apt-get, yielding `event` while it works; whether it succeeded."""
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *arguments]
    run = Run(command, cancelled=cancelled, environment=child_environment({"DEBIAN_FRONTEND": "noninteractive"}))
    with suppress(OSError):
        for _ in run:
            yield event
    return run.status == 0
