"""One virtual environment made from one lock: its states, and the call that brings it to "ready".

An environment is complete by its marker alone, which is written last. Whatever ends an installation
before that (Ctrl-C, a kill, a full disk, a power cut) leaves it "incomplete", and the next one finishes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import disk, folder_lock, locks, torch_wheel
from .errors import DiskError, InstallError
from .progress import IsCancelled, Progress, megabytes

MARKER = "synctalk-environment.json"
LOG = "install.log"

UNPACKED = 3.1
"""Bytes on disk for a byte of wheel: as measured, 3.1 of the backend's packages (torch apart), 2.5 of Blender's."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """What an environment is to hold.

    Attributes:
        folder: the environment's own folder; uv is put beside it.
        lock: the environment's name in the lock files: "backend", "blender-5.0".
        versions: the (major, minor) versions of Python it may have.
        device: "cpu" or "cuda"; None takes what is there, or has no meaning.
        best_versions: those of `versions` that are to be looked for first.
        python: the interpreter to make it with; None lets `interpreters.find` choose.
        torch: whether torch belongs to it.
        imports: modules whose import proves that the environment works on this machine.
        system_libraries: a key of `system_libraries.NEEDED`.
        last_step: what the environment's Python runs, in `last_step_folder`, before it counts as ready: a line
            `K of N: NAME` as each of its `last_step_parts` begins. Its failure is reported and costs nothing but time later.
        purpose: what it is for, in messages.
        locks_folder: where the lock files are.
    """

    folder: Path
    lock: str
    versions: Sequence[tuple[int, int]]
    best_versions: Sequence[tuple[int, int]] = ()
    device: str | None = None
    python: Path | None = None
    torch: bool = False
    imports: Sequence[str] = ()
    system_libraries: str | None = None
    last_step: Sequence[str] = ()
    last_step_parts: int = 0
    last_step_folder: Path = Path()
    purpose: str = "this environment"
    locks_folder: Path = locks.FOLDER

    def locked(self, version: tuple[int, int]) -> locks.Lock:
        """Its packages for a Python version."""
        return locks.read(self.lock, version, self.locks_folder)


@dataclass(frozen=True)
class SizeEstimate:
    """Bytes to download when nothing is cached, and bytes on disk afterwards."""

    download: int
    installed: int

    def __str__(self) -> str:
        return f"{megabytes(self.download)} to download, {megabytes(self.installed)} on disk"


def state(spec: EnvironmentSpec) -> str:
    """ "absent", "incomplete", "outdated" or "ready"; a few file reads, no process."""
    if not (spec.folder / "pyvenv.cfg").exists() and not (spec.folder / MARKER).exists():
        return "absent"
    marker = read_marker(spec.folder)
    if not marker.get("complete") or not python_runs(spec.folder):
        return "incomplete"
    return "ready" if _is_current(spec, marker) else "outdated"


def needs_packages(spec: EnvironmentSpec) -> bool:
    """Whether `install` has packages to put in place, and so may download; False when only its last step is missing."""
    marker = read_marker(spec.folder)
    present = (marker.get("complete") or marker.get("packages")) and python_runs(spec.folder)
    return not present or not _is_current(spec, marker)


def _is_current(spec: EnvironmentSpec, marker: dict[str, Any]) -> bool:
    """Whether the marker is of this lock, this torch and this device."""
    major, _, minor = str(marker.get("python")).partition(".")
    try:
        wanted = fingerprint(spec, (int(major), int(minor)))
    except (InstallError, ValueError):
        return False  # this Python version is no longer among those locked
    return marker.get("fingerprint") == wanted and (spec.device or marker.get("device")) == marker.get("device")


def python_of(folder: Path) -> Path:
    """The Python executable of the environment in `folder`, there or not."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def installed_device(folder: Path) -> str | None:
    """The device the environment in `folder` was made for; None when it is not complete or knows no device."""
    marker = read_marker(folder)
    return marker.get("device") if marker.get("complete") else None


def was_complete(folder: Path) -> bool:
    """Whether the environment in `folder` is complete, or was until an update of it began."""
    marker = read_marker(folder)
    return any(marker.get(name) for name in ("complete", "packages", "updating"))


def size_estimate(spec: EnvironmentSpec) -> SizeEstimate:
    """What `install` downloads and takes on disk if nothing is there yet, from the lock's sizes (no process)."""
    from . import uv

    running = sys.version_info[:2]
    lock = spec.locked(running if running in spec.versions else spec.versions[-1])
    torch = torch_wheel.size(spec.device or "cpu") if spec.torch else (0, 0)
    wheels = lock.download_size + uv.lock().download_size
    return SizeEstimate(wheels + torch[0], int(wheels * UNPACKED) + torch[1])


def install(spec: EnvironmentSpec, *, cancelled: IsCancelled | None = None) -> Iterator[Progress]:
    """Make, finish or update an environment, yielding what happens; the last event's state is "ready".

    Closing the generator stops the child processes, as a true `cancelled()` does; either leaves the environment
    "incomplete".

    Raises:
        PythonError, DiskError, PathError, NetworkError, PackageError, SystemLibraryError, BusyError, Cancelled
    """
    from .installation import Installation  # which is made of what this module holds

    if state(spec) == "ready":
        yield Progress("ready", "complete", 1, 1, 1, 1)
        return
    try:
        # On Windows this mode denies write access to all others, in any folder. Elsewhere users may share.
        mode = 0o700 if sys.platform == "win32" else 0o777
        spec.folder.parent.mkdir(mode, parents=True, exist_ok=True)
        with folder_lock.held(spec.folder.parent / f".{spec.folder.name}.lock") as descriptor:
            yield from Installation(spec, cancelled, descriptor).steps()
    except OSError as error:
        raise disk.from_system(error, spec.folder) from error


def remove(folder: Path) -> None:
    """Delete the environment in `folder` if `install` made it; anything else is left alone.

    Raises:
        DiskError: something in it cannot be deleted.
    """
    if not (folder / MARKER).is_file():
        return
    try:
        with folder_lock.held(folder.parent / f".{folder.name}.lock"):
            write_marker(folder, {"complete": False})  # from the first file that goes
            shutil.rmtree(folder)
        (folder.parent / f".{folder.name}.lock").unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(
            f"{error.filename or folder} cannot be deleted ({error.strerror}): close programs that use it "
            "and try again."
        ) from error


def fingerprint(spec: EnvironmentSpec, version: tuple[int, int]) -> str:
    """What the environment's contents depend on: the lock's pins, and torch's version."""
    torch = f"torch {torch_wheel.VERSION} {torch_wheel.CUDA}" if spec.torch else ""
    return hashlib.sha256(f"{spec.locked(version).sha256} {torch}".encode()).hexdigest()


def python_runs(folder: Path) -> bool:
    """Whether the environment's Python, and the one it was made from, are still there (no process is started)."""
    if not python_of(folder).exists():
        return False
    with suppress(OSError):
        for line in (folder / "pyvenv.cfg").read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                return Path(value.strip()).is_dir()
    return False


def read_marker(folder: Path) -> dict[str, Any]:
    """The marker in `folder`; empty if it is missing or damaged."""
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def write_marker(folder: Path, marker: dict[str, Any]) -> None:
    """Replace the marker in `folder`, by rename."""
    temporary = folder / f"{MARKER}.tmp"
    temporary.write_text(json.dumps(marker, indent=1), "utf-8")
    os.replace(temporary, folder / MARKER)
