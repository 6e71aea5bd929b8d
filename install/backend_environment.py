"""The backend's environment: torch, MediaPipe and the rest, in `<root>/backend`. No `bpy` here.

The command line puts it under `.venvs` of the checkout, the add-on into `user_root()` or a folder of choice:

    from .install import backend_environment as environment

    if environment.state(root) != "ready":
        size = environment.size_estimate("cpu")          # "557 MB to download, 1.8 GB on disk" before the user agrees
        environment.create(root, "cpu", report=show, cancelled=lambda: job.stop)      # minutes: on a thread
    subprocess.Popen([environment.python_of(root), "-m", "backend", "serve"], cwd=extension_folder, ...)

`state`, `python_of`, `size_estimate` and `default_device` start no process and are cheap enough for a panel's `draw`.
Nothing here asks whether going online is allowed: the caller does (`bpy.app.online_access`) before it calls `create`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from . import environment, platforms, torch_wheel, uv
from .environment import EnvironmentSpec, SizeEstimate
from .errors import InstallError
from .progress import IsCancelled, Report

NAME = "backend"
DEVICES = ("cpu", "cuda")
PYTHON_VERSIONS = ((3, 10), (3, 11), (3, 12), (3, 13), (3, 14))
"""The Python versions that torch, MediaPipe and numba have wheels for and that the lock covers."""

BEST_PYTHON_VERSIONS = ((3, 10), (3, 11), (3, 12))
"""Those whose MediaPipe carries a face mesh, so only packages are downloaded."""


def user_root() -> Path:
    """SyncTalk's own folder of this user, the same for each Blender: `%LOCALAPPDATA%\\SyncTalk`, `~/.local/share/SyncTalk`
    (or under `XDG_DATA_HOME`), `~/Library/Application Support/SyncTalk`.

    Not the extension's: Blender deletes that when the extension is uninstalled, each version of Blender has another, and on
    Windows its path is so long that torch does not fit into what is left of 260 characters. A Windows user whose name has
    letters beyond ASCII gets `%PROGRAMDATA%\\SyncTalk-…`: MediaPipe opens no file under such a name.
    """
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        if str(local).isascii():
            return local / "SyncTalk"
        user = hashlib.sha256(str(local).encode("utf-8", "replace")).hexdigest()[:8]
        return Path(os.environ.get("PROGRAMDATA") or "C:/ProgramData") / f"SyncTalk-{user}"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/SyncTalk"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "SyncTalk"


def place(root: Path, former: Path) -> Path:
    """Which of two folders holds the environment: `root`, unless only `former`, where it used to be made, has one.

    An environment at the former place is used and updated there, so that nothing is downloaded again. On Windows one that
    was never complete does not count: its folder's path is what kept it from being finished.
    """
    if state(root) != "absent":
        return root
    usable = environment.was_complete(former / NAME) or (platforms.name() != "windows" and state(former) != "absent")
    return former if usable else root


def state(root: Path, device: str | None = None) -> str:
    """What is in `<root>/backend`, for `device` ("cpu", "cuda") or any: "absent", "incomplete", "outdated" or "ready".

    "incomplete" is an interrupted installation, or one whose Python is gone: `create` finishes it. "outdated" is complete,
    but of another lock or device: `create` updates it.
    """
    return environment.state(spec(root, device))


def needs_network(root: Path, device: str | None = None) -> bool:
    """Whether `create` may download: False when the packages are there and only kernels are to be compiled."""
    return environment.needs_packages(spec(root, device))


def python_of(root: Path) -> Path:
    """The environment's Python executable, `<root>/backend/bin/python` or `…\\Scripts\\python.exe`, there or not."""
    return environment.python_of(root / NAME)


def device_of(root: Path) -> str | None:
    """The device the ready or outdated environment was made for, "cpu" or "cuda"; None when there is none."""
    return environment.installed_device(root / NAME)


def default_device() -> str:
    """ "cuda" where an NVIDIA driver new enough for the locked torch is seen, else "cpu". Files only, no process."""
    return torch_wheel.default_device()


def size_estimate(device: str = "cpu") -> SizeEstimate:
    """What `create` downloads and what it takes on disk, in bytes, if nothing is cached or installed yet.

    The sizes are those for the running Python, or the nearest locked one; `str()` of it is a phrase for people.
    """
    return environment.size_estimate(spec(Path(), device))


def create(
    root: Path,
    device: str = "cpu",
    python: Path | None = None,
    report: Report | None = None,
    cancelled: IsCancelled | None = None,
) -> Path:
    """Make, finish or update `<root>/backend`, and return its Python executable. Blocks; writes to `root` and uv's cache.

    Safe to call from any thread, to repeat (a ready environment returns at once) and to interrupt at any moment, also
    by ending the process: the environment then is "incomplete" until a later call has finished it.

    Args:
        device: "cpu", or "cuda" for an NVIDIA GPU (several GB; Linux and Windows).
        python: the interpreter to make it with; None takes the running one if it suits, else one found on the system.
        report: called on this thread with each `Progress`.
        cancelled: polled on this thread; True stops the child processes and raises `Cancelled`.

    Raises:
        InstallError: one of `errors`, whose text is one sentence for the user.
    """
    for event in environment.install(spec(root, device, python), cancelled=cancelled):
        if report:
            report(event)
    return python_of(root)


def remove(root: Path) -> None:
    """Delete `<root>/backend` and the uv beside it if `create` made them; what it did not make is left alone.

    Raises:
        DiskError: something in it cannot be deleted (on Windows: a backend still runs).
    """
    environment.remove(root / NAME)
    environment.remove(root / uv.FOLDER)


def remove_unfinished(root: Path) -> Path | None:
    """Delete `<root>/backend` if `create` began it and never finished it, and return it; None if nothing was deleted."""
    folder = root / NAME
    if state(root) != "incomplete" or environment.was_complete(folder):
        return None
    try:
        remove(root)
    except InstallError:
        return None  # what still holds it open keeps it; nothing depends on its going
    return None if folder.exists() else folder


def spec(root: Path, device: str | None, python: Path | None = None) -> EnvironmentSpec:
    """What `<root>/backend` is to hold."""
    if device is not None and device not in DEVICES:
        raise ValueError(f"device is {device!r}: give one of {DEVICES}")
    return EnvironmentSpec(
        folder=root / NAME,
        lock=NAME,
        versions=PYTHON_VERSIONS,
        best_versions=BEST_PYTHON_VERSIONS,
        device=device,
        python=python,
        torch=True,
        imports=("cv2", "av"),
        last_step=("-m", "backend.renderer.precompile"),
        last_step_parts=7,
        last_step_folder=Path(__file__).resolve().parent.parent,
        system_libraries="backend",
        purpose="the SyncTalk backend",
    )
