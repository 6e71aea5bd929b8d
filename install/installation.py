"""One run of an installation: the virtual environment, the lock's packages, torch, the imports that prove it, the last step."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from . import interpreters, locks, pip_run, platforms, system_libraries, torch_wheel, wheel_paths
from .environment import (
    LOG,
    MARKER,
    UNPACKED,
    EnvironmentSpec,
    disk_full,
    fingerprint,
    needs_packages,
    python_of,
    python_runs,
    read_marker,
    write_marker,
)
from .errors import DiskError, NetworkError, PackageError, PythonError
from .process import child_environment, lines
from .progress import IsCancelled, Progress, megabytes

_TEMPORARY = "downloading"
_PART = re.compile(r"^(\d+) of \d+: (.+)$")


class Installation:
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
        self._check_foreign_files()
        yield Progress("prepare", "looking for a suitable Python")
        base, version = self._base_python()
        self.lock = locks.read(locks.lock_path(self.spec.lock, version, self.spec.locks_folder))
        device = self.spec.device or ("cpu" if self.spec.torch else None)
        torch_download, torch_installed = torch_wheel.size(device) if self.spec.torch and device else (0, 0)
        self.bytes_total = self.lock.download_size + torch_download
        packages = len(self.lock.packages) + bool(self.spec.torch)
        self.total = packages + self.spec.last_step_parts
        self._check_path(base, device)
        marker = {
            "lock": self.lock.path.name,
            "fingerprint": fingerprint(self.spec, version),
            "python": f"{version[0]}.{version[1]}",
            "device": device,
        }
        if needs_packages(self.spec):
            self._check_disk(self.bytes_total + int(self.lock.download_size * UNPACKED) + torch_installed)
            yield self._event("prepare", f"{packages} packages, {megabytes(self.bytes_total)} to download")
            if self.spec.system_libraries:
                yield from system_libraries.ensure(self.spec.system_libraries, base, self.cancelled)
            yield from self._packages(base, version, device)
            # What is interrupted below is finished, not made again, also in an update, and needs no network.
            write_marker(self.folder, {"complete": False, "packages": True, **marker})
        yield from self._last_step(packages)
        write_marker(self.folder, {"complete": True, **marker})
        yield self._event("ready", "complete", self.total, self.bytes_total)

    def _packages(self, base: Path, version: tuple[int, int], device: str | None) -> Iterator[Progress]:
        """The virtual environment and all that is downloaded into it, proved by importing it."""
        yield from self._make_folder(base, version)
        self._clear_temporary()
        for info in pip_run.broken_packages(self._site_packages(version)):
            shutil.rmtree(info)
        yield from self._install_lock(version)
        if self.spec.torch and device:
            yield from self._install_torch(device, version)
        yield from self._check_imports()
        self._clear_temporary()

    def _check_foreign_files(self) -> None:
        """Refuse a folder that holds what `install` did not put there: making the environment would delete it."""
        if (self.folder / MARKER).is_file() or not self.folder.is_dir():
            return
        held = sorted(entry.name for entry in self.folder.iterdir())
        if held:
            raise DiskError(
                f"{self.folder} holds files that are not SyncTalk's ({', '.join(held[:3])}{', …' if held[3:] else ''}): "
                "choose another folder, or move them away, and try again."
            )

    def _clear(self) -> None:
        """Empty the folder but for its marker, which says whose it is at any moment."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MARKER:
                entry.unlink()

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
        if present is not None and present.suits(self.spec.versions) and python_runs(self.folder):
            return self.python, present.version[:2]
        base = self._find_python()
        found = interpreters.probe(base)
        assert found is not None
        return base, found.version[:2]

    def _find_python(self) -> Path:
        spec = self.spec
        return interpreters.find(spec.versions, preferred=spec.python, purpose=spec.purpose, best=spec.best_versions)

    def _make_folder(self, base: Path, version: tuple[int, int]) -> Iterator[Progress]:
        marker = read_marker(self.folder)
        # Half an update is no state that pip can be trusted to finish: old and new files of a package may be mixed.
        rebuild = bool(marker.get("updating"))
        usable = not rebuild and python_runs(self.folder) and self._site_packages(version).is_dir()
        self.folder.mkdir(exist_ok=True)
        updating = rebuild or bool(marker.get("complete"))
        write_marker(self.folder, {"complete": False, "updating": updating})
        if usable and self._has_pip(version):
            return
        yield self._event("prepare", f"virtual environment in {self.folder}")
        # An environment cannot be cleared by the Python that lives in it.
        if base == self.python:
            base = self._find_python()
        self._clear()
        tail: list[str] = []
        status = self._run([base, "-I", "-X", "utf8", "-m", "venv", self.folder], tail)
        write_marker(self.folder, {"complete": False, "updating": False})
        if status:
            said = "\n".join(tail)
            if "No space left" in said:
                raise DiskError(disk_full(self.folder))
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
            write_marker(self.folder, {"complete": False})
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
