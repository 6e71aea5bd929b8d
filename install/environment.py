"""One virtual environment made from one lock file: its states, and the steps that bring it to "ready".

An environment is whole only when its marker says so, and the marker is written last. Whatever ends an installation
before that (Ctrl-C, a kill, a full disk, a power cut) leaves it "incomplete", and the next one finishes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import folder_lock, interpreters, locks, pip_run, platforms, system_libraries, torch_wheel, wheel_paths
from .errors import DiskError, InstallError, NetworkError, PackageError, PythonError
from .process import child_environment, lines
from .progress import IsCancelled, Progress, megabytes

MARKER = "synctalk-environment.json"
LOG = "install.log"
_TEMPORARY = "downloading"
_PART = re.compile(r"^(\d+) of \d+: (.+)$")

_UNPACKED = 3.1
"""Bytes on disk for a byte of wheel: as measured, 3.1 of the backend's packages (torch apart), 2.5 of Blender's."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """What an environment is to hold.

    Attributes:
        folder: the environment's own folder.
        lock: the lock file's environment name: "backend", "blender-5.0".
        versions: the (major, minor) versions of Python it may have.
        device: "cpu" or "cuda"; None takes what is there, or has no meaning.
        best_versions: those of `versions` that are to be looked for first.
        python: the interpreter to make it with; None lets `interpreters.find` choose.
        torch: whether torch belongs to it.
        imports: modules whose import proves that the environment works on this machine.
        system_libraries: a key of `system_libraries.NEEDED`.
        last_step: what the environment's Python runs, in `last_step_folder`, before it counts as ready: a line
            `K of N: NAME` as each of its `last_step_parts` begins. Its failure is reported and costs nothing but time later.
        purpose: what it is for, as it stands in messages.
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
    marker = _read_marker(spec.folder)
    if not marker.get("complete") or not _python_runs(spec.folder):
        return "incomplete"
    try:
        wanted = _fingerprint(spec, _version_of(marker))
    except InstallError:
        return "outdated"  # a lock file for this Python version is no longer among those shipped
    if marker.get("fingerprint") != wanted or (spec.device or marker.get("device")) != marker.get("device"):
        return "outdated"
    return "ready"


def python_of(folder: Path) -> Path:
    """The Python executable of the environment in `folder`, there or not."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def installed_device(folder: Path) -> str | None:
    """The device the environment in `folder` was made for; None when it is not whole or knows no device."""
    marker = _read_marker(folder)
    return marker.get("device") if marker.get("complete") else None


def was_whole(folder: Path) -> bool:
    """Whether the environment in `folder` is whole, or was until an update of it began."""
    marker = _read_marker(folder)
    return bool(marker.get("complete") or marker.get("updating"))


def size_estimate(spec: EnvironmentSpec) -> SizeEstimate:
    """What `install` downloads and takes on disk if nothing is there yet, from the lock's sizes (no process)."""
    running = sys.version_info[:2]
    version = running if running in spec.versions else spec.versions[-1]
    lock = locks.read(locks.lock_path(spec.lock, version, spec.locks_folder))
    download, installed = lock.download_size, int(lock.download_size * _UNPACKED)
    if spec.torch:
        torch_download, torch_installed = torch_wheel.size(spec.device or "cpu")
        download, installed = download + torch_download, installed + torch_installed
    return SizeEstimate(download, installed)


def install(spec: EnvironmentSpec, *, cancelled: IsCancelled | None = None) -> Iterator[Progress]:
    """Make, finish or update an environment, yielding what happens; the last event's state is "ready".

    Closing the generator stops the child processes, as a true `cancelled()` does; either leaves the environment
    "incomplete".

    Raises:
        PythonError, DiskError, PathError, NetworkError, PackageError, SystemLibraryError, BusyError, Cancelled
    """
    if state(spec) == "ready":
        yield Progress("ready", "complete", 1, 1, 1, 1)
        return
    try:
        # On Windows this mode means: nobody else may put a file in, wherever the folder is. Elsewhere users may share.
        mode = 0o700 if sys.platform == "win32" else 0o777
        spec.folder.parent.mkdir(mode, parents=True, exist_ok=True)
        with folder_lock.held(spec.folder.parent / f".{spec.folder.name}.lock") as descriptor:
            yield from _Installation(spec, cancelled, descriptor).steps()
    except OSError as error:
        raise _disk_error(error, spec.folder) from error


def remove(folder: Path) -> None:
    """Delete the environment in `folder` if `install` made it; anything else is left alone.

    Raises:
        DiskError: something in it cannot be deleted.
    """
    if not (folder / MARKER).is_file():
        return
    try:
        with folder_lock.held(folder.parent / f".{folder.name}.lock"):
            # Whole no more from the first file that goes.
            _write_marker(folder, {"complete": False})
            shutil.rmtree(folder)
        (folder.parent / f".{folder.name}.lock").unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(
            f"{error.filename or folder} cannot be deleted ({error.strerror}): end what still uses it and try again."
        ) from error


class _Installation:
    """One run of `install`, under the folder's lock."""

    def __init__(self, spec: EnvironmentSpec, cancelled: IsCancelled | None, lock_descriptor: int) -> None:
        self.spec = spec
        self.folder = spec.folder
        self.python = python_of(spec.folder)
        self.cancelled = cancelled
        self.descriptor = lock_descriptor
        self.lock: locks.Lock
        self.bytes_total = 0
        self.total = 0

    def steps(self) -> Iterator[Progress]:
        platforms.check_machine()
        yield Progress("prepare", "looking for a suitable Python")
        base, version = self._base_python()
        self.lock = locks.read(locks.lock_path(self.spec.lock, version, self.spec.locks_folder))
        device = self.spec.device or ("cpu" if self.spec.torch else None)
        torch_download, torch_installed = torch_wheel.size(device) if self.spec.torch and device else (0, 0)
        self.bytes_total = self.lock.download_size + torch_download
        packages = len(self.lock.packages) + bool(self.spec.torch)
        self.total = packages + self.spec.last_step_parts
        self._check_path(base, device)
        self._check_disk(self.bytes_total + int(self.lock.download_size * _UNPACKED) + torch_installed)
        yield self._event("prepare", f"{packages} packages, {megabytes(self.bytes_total)} to download")
        if self.spec.system_libraries:
            yield from system_libraries.ensure(self.spec.system_libraries, base, self.cancelled)
        yield from self._make_folder(base, version)
        self._clear_temporary()
        for info in pip_run.broken_packages(self._site_packages(version)):
            shutil.rmtree(info)
        yield from self._install_lock(version)
        if self.spec.torch and device:
            yield from self._install_torch(device, version)
        yield from self._check_imports()
        self._clear_temporary()
        # Whole from here on: what is interrupted below is finished, not made again, also in an update.
        _write_marker(self.folder, {"complete": False})
        yield from self._last_step(packages)
        _write_marker(
            self.folder,
            {
                "complete": True,
                "lock": self.lock.path.name,
                "fingerprint": _fingerprint(self.spec, version),
                "python": f"{version[0]}.{version[1]}",
                "device": device,
            },
        )
        yield self._event("ready", "complete", self.total, self.bytes_total)

    def _check_path(self, base: Path, device: str | None) -> None:
        found = interpreters.probe(base) if platforms.name() == "windows" else None
        if found is None:
            return
        if self.spec.torch and not found.all_letters:  # MediaPipe comes with torch alone
            wheel_paths.check_letters(self.folder)
        if found.long_paths:
            return
        inside = [package.longest_path for package in self.lock.packages]
        if self.spec.torch and device:
            inside.append(torch_wheel.longest_path(device))
        wheel_paths.check(self.folder, inside)

    def _base_python(self) -> tuple[Path, tuple[int, int]]:
        """The Python to make the environment with: the one it has, if that suits and none other is asked for."""
        present = interpreters.probe(self.python) if self.spec.python is None and self.python.exists() else None
        if present is not None and present.suits(self.spec.versions) and _python_runs(self.folder):
            return self.python, present.version[:2]
        base = self._find_python()
        found = interpreters.probe(base)
        assert found is not None
        return base, found.version[:2]

    def _find_python(self) -> Path:
        spec = self.spec
        return interpreters.find(spec.versions, preferred=spec.python, purpose=spec.purpose, best=spec.best_versions)

    def _make_folder(self, base: Path, version: tuple[int, int]) -> Iterator[Progress]:
        marker = _read_marker(self.folder)
        # Half an update is no state that pip can be trusted to finish: old and new files of a package may be mixed.
        rebuild = bool(marker.get("updating"))
        usable = not rebuild and _python_runs(self.folder) and self._site_packages(version).is_dir()
        self.folder.mkdir(exist_ok=True)
        updating = rebuild or bool(marker.get("complete"))
        _write_marker(self.folder, {"complete": False, "updating": updating})
        if usable and self._has_pip(version):
            return
        yield self._event("prepare", f"virtual environment in {self.folder}")
        # An environment cannot be cleared by the Python that lives in it.
        if base == self.python:
            base = self._find_python()
        tail: list[str] = []
        status = self._run([base, "-I", "-X", "utf8", "-m", "venv", "--clear", self.folder], tail)
        _write_marker(self.folder, {"complete": False, "updating": False})
        if status:
            said = "\n".join(tail)
            if "No space left" in said:
                raise DiskError(_full(self.folder))
            last = tail[-1] if tail else "no output"
            raise PythonError(
                f"{base} could not make a virtual environment in {self.folder} ({last}): "
                "choose another Python or folder."
            )

    def _run(self, command: Sequence[str | Path], tail: list[str]) -> int:
        """Run a short command, collect what it says in `tail`, return its exit status."""
        output = lines(command, cancelled=self.cancelled, environment=child_environment(), inherited=(self.descriptor,))
        while True:
            try:
                line = next(output)
            except StopIteration as end:
                return end.value
            if line:
                tail.append(line)

    def _install_lock(self, version: tuple[int, int]) -> Iterator[Progress]:
        names = {package.name for package in self.lock.packages}
        arguments = ["--no-deps", "--require-hashes", "-r", str(self.lock.path)]
        run = self._pip(arguments)
        while True:
            try:
                pip = next(run)
            except StopIteration:
                return
            if pip.installing:
                present = names & pip_run.installed_packages(self._site_packages(version)).keys()
                yield self._event("install", "putting packages in place", len(present), self.lock.download_size)
            else:
                yield self._event("download", pip.current or "packages", 0, self._downloaded(pip))

    def _install_torch(self, device: str, version: tuple[int, int]) -> Iterator[Progress]:
        for source in torch_wheel.sources(device):
            run = self._pip([*source.arguments, source.requirement], optional=source.local, host=source.host)
            while True:
                try:
                    pip = next(run)
                except StopIteration as end:
                    found = end.value
                    break
                loaded = self.lock.download_size + self._temporary_bytes()
                message = f"{source.requirement} from {source.host}"
                if pip.installing:
                    loaded = self.bytes_total
                done = len(self.lock.packages)
                yield self._event("install" if pip.installing else "download", message, done, loaded)
            if found:
                return
        raise PackageError(f"torch {torch_wheel.VERSION} was not found: check pip's configuration and try again.")

    def _pip(
        self, arguments: Sequence[str], optional: bool = False, host: str = "the package index"
    ) -> Generator[pip_run.PipState, None, bool]:
        (self.folder / _TEMPORARY).mkdir(exist_ok=True)
        try:
            return (
                yield from pip_run.install(
                    self.python,
                    arguments,
                    log=self.folder / LOG,
                    temporary=self.folder / _TEMPORARY,
                    cancelled=self.cancelled,
                    inherited=(self.descriptor,),
                    optional=optional,
                    host=host,
                )
            )
        except (NetworkError, PackageError):
            # pip ended by itself and has undone what it had begun: nothing is mixed, even in an update.
            _write_marker(self.folder, {"complete": False})
            raise

    def _check_imports(self) -> Iterator[Progress]:
        modules = [*(["torch"] if self.spec.torch else []), *self.spec.imports]
        if not modules:
            return
        done = self.total - self.spec.last_step_parts
        yield self._event("check", f"importing {', '.join(modules)}", done, self.bytes_total)
        tail: list[str] = []
        status = self._run([self.python, "-I", "-X", "utf8", "-c", f"import {', '.join(modules)}"], tail)
        if status:
            reason = tail[-1] if tail else f"status {status}"
            raise PackageError(
                f"{', '.join(modules)} cannot be imported in {self.folder} ({reason}): "
                "update this system's drivers and runtime libraries, or remove the folder and try again."
            )

    def _last_step(self, done: int) -> Iterator[Progress]:
        if not self.spec.last_step:
            return
        variables = child_environment({"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"})
        output = lines(
            [self.python, *self.spec.last_step],
            cancelled=self.cancelled,
            environment=variables,
            inherited=(self.descriptor,),
            cwd=self.spec.last_step_folder,
        )
        with (self.folder / LOG).open("a", encoding="utf-8") as record:
            while True:
                try:
                    line = next(output)
                except StopIteration as end:
                    status = end.value
                    break
                if line:
                    record.write(line + "\n")
                part = _PART.match(line or "")
                if part:
                    finished = min(int(part[1]) - 1, self.spec.last_step_parts)
                    yield self._event("compile", f"compiling kernels: {part[2]}", done + finished, self.bytes_total)
        if status:
            message = f"the kernels could not be compiled now (see {self.folder / LOG}): the first image compiles them"
            yield self._event("compile", message, self.total, self.bytes_total)

    def _event(self, state: str, message: str, done: int = 0, bytes_done: int = 0) -> Progress:
        return Progress(state, message, done, self.total, min(bytes_done, self.bytes_total), self.bytes_total)

    def _check_disk(self, needed: int) -> None:
        present = sum(
            file.stat().st_size for file in self.folder.glob("**/*") if file.is_file() and not file.is_symlink()
        )
        free = shutil.disk_usage(self.folder.parent).free
        if free + present < needed:
            raise DiskError(
                f"{self.folder.parent} has {megabytes(free)} free and the installation needs "
                f"{megabytes(needed - present)}: free some space or choose another folder."
            )

    def _downloaded(self, pip: pip_run.PipState) -> int:
        """Bytes of the lock's wheels that are here: those pip has left behind, and what it has of the one it is at."""
        current = locks.normalised(pip.current)
        behind = sum(p.size for p in self.lock.packages if p.name in pip.collected and p.name != current)
        return behind + self._temporary_bytes(current)

    def _temporary_bytes(self, package: str | None = None) -> int:
        """What pip has written of the wheels it downloads, or of the one of `package`."""
        total = 0
        # os.walk takes it calmly when pip deletes a folder that is being listed; Path.glob does not.
        for folder, _, files in os.walk(self.folder / _TEMPORARY):
            for file in files:
                if file.endswith(".whl") and package in (None, locks.normalised(file.partition("-")[0])):
                    with suppress(OSError):
                        total += Path(folder, file).stat().st_size
        return total

    def _clear_temporary(self) -> None:
        shutil.rmtree(self.folder / _TEMPORARY, ignore_errors=True)

    def _site_packages(self, version: tuple[int, int]) -> Path:
        if sys.platform == "win32":
            return self.folder / "Lib/site-packages"
        return self.folder / f"lib/python{version[0]}.{version[1]}/site-packages"

    def _has_pip(self, version: tuple[int, int]) -> bool:
        return "pip" in pip_run.installed_packages(self._site_packages(version))


def _fingerprint(spec: EnvironmentSpec, version: tuple[int, int]) -> str:
    """What the environment's contents depend on: the lock's text, and torch's version."""
    lock = locks.read(locks.lock_path(spec.lock, version, spec.locks_folder))
    torch = f"torch {torch_wheel.VERSION} {torch_wheel.CUDA}" if spec.torch else ""
    return hashlib.sha256(f"{lock.sha256} {torch}".encode()).hexdigest()


def _version_of(marker: dict[str, Any]) -> tuple[int, int]:
    major, _, minor = str(marker.get("python")).partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _python_runs(folder: Path) -> bool:
    """Whether the environment's Python, and the one it was made from, are still there (no process is started)."""
    if not python_of(folder).exists():
        return False
    with suppress(OSError):
        for line in (folder / "pyvenv.cfg").read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                return Path(value.strip()).is_dir()
    return False


def _read_marker(folder: Path) -> dict[str, Any]:
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _write_marker(folder: Path, marker: dict[str, Any]) -> None:
    temporary = folder / f"{MARKER}.tmp"
    temporary.write_text(json.dumps(marker, indent=1), "utf-8")
    os.replace(temporary, folder / MARKER)


def _full(folder: Path) -> str:
    return f"The disk became full in {folder}: free some space and run the same command again."


def _disk_error(error: OSError, folder: Path) -> InstallError:
    import errno

    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return DiskError(_full(folder))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DiskError(f"{folder} cannot be written to: choose another folder or change its permissions.")
    return DiskError(
        f"{error.filename or folder}: {error.strerror or error}; check the disk and run the same command again."
    )
