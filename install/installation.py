"""One run of an installation: the virtual environment, the lock's packages, torch, the imports that prove it, the last step."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import disk, environment, interpreters, platforms, system_libraries, torch_wheel, uv, wheel_paths
from .environment import EnvironmentSpec
from .errors import DiskError, NetworkError, PackageError
from .interpreters import Interpreter
from .process import Run, child_environment
from .progress import IsCancelled, Progress, megabytes

_REQUIREMENTS = "requirements.txt"
_PART = re.compile(r"^(\d+) of \d+: (.+)$")


class Installation:
    """One run of `install`, under the folder's lock."""

    def __init__(self, spec: EnvironmentSpec, cancelled: IsCancelled | None, lock_descriptor: int) -> None:
        self.spec = spec
        self.folder = spec.folder
        self.python = environment.python_of(spec.folder)
        self.device = spec.device or ("cpu" if spec.torch else None)
        self.cancelled = cancelled
        self.inherited = (lock_descriptor,)

    def steps(self) -> Iterator[Progress]:
        platforms.check_machine()
        self._check_foreign_files()
        yield Progress("prepare", "looking for a suitable Python")
        kept = self._kept_python()
        base = kept or self._find_python()
        self.lock = self.spec.locked(base.version[:2])
        torch_download, torch_installed = torch_wheel.size(self.device) if self.spec.torch and self.device else (0, 0)
        self.bytes_total = self.lock.download_size + torch_download
        self.packages = self.lock.packages + self.spec.torch
        self.total = self.packages + self.spec.last_step_parts
        self._check_path(base)
        marker = {
            "fingerprint": environment.fingerprint(self.spec, base.version[:2]),
            "python": f"{base.version[0]}.{base.version[1]}",
            "device": self.device,
        }
        if environment.needs_packages(self.spec) or kept is None:
            self.bytes_installed = int(self.lock.download_size * environment.UNPACKED) + torch_installed
            disk.check_space(self.folder, self.bytes_total + self.bytes_installed, "choose another folder")
            yield self._event("prepare", f"{self.packages} packages, {megabytes(self.bytes_total)} to download")
            if self.spec.system_libraries:
                yield from system_libraries.ensure(self.spec.system_libraries, base.executable, self.cancelled)
            yield from self._packages(kept, base)
            # What is interrupted below is finished, not made again, also in an update, and needs no network.
            environment.write_marker(self.folder, {"complete": False, "packages": True, **marker})
        yield from self._last_step()
        environment.write_marker(self.folder, {"complete": True, **marker})
        yield self._event("ready", "complete", self.total, self.bytes_total)

    def _kept_python(self) -> Interpreter | None:
        """The Python of the environment that is there, None where one is to be made from scratch.

        After an interruption old and new files of a package may be mixed, so only what is known to be clean is kept:
        uv's cache makes the rest cheap.
        """
        marker = environment.read_marker(self.folder)
        clean = any(marker.get(name) for name in ("complete", "packages", "clean"))
        if not clean or not environment.python_runs(self.folder):
            return None
        present = interpreters.probe(self.python)
        if present is None or not present.suits(self.spec.versions):
            return None
        other = self.spec.python is not None and self._find_python().version[:2] != present.version[:2]
        return None if other else present

    def _find_python(self) -> Interpreter:
        spec = self.spec
        found = interpreters.find(spec.versions, preferred=spec.python, purpose=spec.purpose, best=spec.best_versions)
        probed = interpreters.probe(found)
        assert probed is not None
        return probed

    def _check_foreign_files(self) -> None:
        """Refuse a folder that holds what `install` did not put there: making the environment would delete it."""
        if (self.folder / environment.MARKER).is_file() or not self.folder.is_dir():
            return
        held = sorted(entry.name for entry in self.folder.iterdir())
        if held:
            raise DiskError(
                f"{self.folder} holds files that are not SyncTalk's ({', '.join(held[:3])}{', …' if held[3:] else ''}): "
                "choose another folder, or move them away, and try again."
            )

    def _check_path(self, base: Interpreter) -> None:
        if platforms.name() != "windows":
            return
        if self.spec.torch and not base.all_letters:  # MediaPipe comes with torch alone
            wheel_paths.check_letters(self.folder)
        if not base.long_paths:
            torch = [torch_wheel.longest_path(self.device)] if self.spec.torch and self.device else []
            wheel_paths.check(self.folder, [self.lock.longest_path, *torch])

    def _packages(self, kept: Interpreter | None, base: Interpreter) -> Iterator[Progress]:
        """The virtual environment and all that is downloaded into it, proved by importing it."""
        yield from uv.fetch(self.folder.parent, base.executable, self.cancelled, self.inherited)
        program = uv.Uv(self.folder, self.cancelled, self.inherited)
        if not disk.is_same(program.cache, self.folder):  # uv unpacks into its cache, and has to copy from there
            disk.check_space(program.cache, self.bytes_installed, "move uv's cache with UV_CACHE_DIR")
        self.folder.mkdir(exist_ok=True)
        before = environment.read_marker(self.folder)
        begun = {"complete": False, "updating": any(before.get(n) for n in ("complete", "packages", "updating"))}
        environment.write_marker(self.folder, begun)
        if kept is None:
            yield self._event("prepare", f"virtual environment in {self.folder}")
            self._clear()
            program.make_environment(base.executable)
        try:
            yield from self._install_lock(program)
            if self.spec.torch and self.device:
                yield from self._install_torch(program, self.device)
        except (NetworkError, PackageError):
            # uv failed before it installed anything: nothing is mixed, even in an update.
            environment.write_marker(self.folder, {**begun, "clean": True})
            raise
        yield from self._check_imports()

    def _clear(self) -> None:
        """Empty the folder except for its marker, which always identifies it."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != environment.MARKER:
                entry.unlink()

    def _install_lock(self, program: uv.Uv) -> Iterator[Progress]:
        pins = self.folder / _REQUIREMENTS
        pins.write_text(self.lock.text, "utf-8")
        size = self.lock.download_size
        for step in program.install("--no-deps", "--require-hashes", "--requirements", str(pins)):
            if step.installing:
                present = min(self.lock.packages, installed_packages(self.folder))
                yield self._event("install", "putting packages in place", present, size)
            else:
                yield self._event("download", step.current or "packages", 0, min(step.bytes_done, size))

    def _install_torch(self, program: uv.Uv, device: str) -> Iterator[Progress]:
        for source in torch_wheel.sources(device):
            message = f"{source.requirement} from {source.host}"
            try:
                for step in program.install(*source.arguments, source.requirement, host=source.host):
                    loaded = self.bytes_total if step.installing else self.lock.download_size + step.bytes_done
                    yield self._event("install" if step.installing else "download", message, self.lock.packages, loaded)
            except PackageError:
                if not source.local:
                    raise
            else:
                return

    def _check_imports(self) -> Iterator[Progress]:
        modules = ", ".join([*(["torch"] if self.spec.torch else []), *self.spec.imports])
        if not modules:
            return
        yield self._event("check", f"importing {modules}", self.packages, self.bytes_total)
        command = [self.python, "-I", "-X", "utf8", "-c", f"import {modules}"]
        run = Run(command, cancelled=self.cancelled, inherited=self.inherited)
        if run.finish():
            raise PackageError(
                f"{modules} cannot be imported in {self.folder} ({run.tail[-1] if run.tail else f'status {run.status}'}): "
                "update this system's drivers and runtime libraries, or remove the folder and try again."
            )

    def _last_step(self) -> Iterator[Progress]:
        if not self.spec.last_step:
            return
        run = Run(
            [self.python, *self.spec.last_step],
            cancelled=self.cancelled,
            environment=child_environment({"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"}),
            inherited=self.inherited,
            cwd=self.spec.last_step_folder,
            log=self.folder / environment.LOG,
        )
        for line in run:
            if part := _PART.match(line or ""):
                finished = self.packages + min(int(part[1]) - 1, self.spec.last_step_parts)
                yield self._event("compile", f"compiling kernels: {part[2]}", finished, self.bytes_total)
        if run.status:
            log = self.folder / environment.LOG
            message = f"the kernels could not be compiled now (see {log}): the first image will compile them"
            yield self._event("compile", message, self.total, self.bytes_total)

    def _event(self, state: str, message: str, done: int = 0, bytes_done: int = 0) -> Progress:
        return Progress(state, message, done, self.total, min(bytes_done, self.bytes_total), self.bytes_total)


def installed_packages(folder: Path) -> int:
    """Packages in an environment, also while uv puts them in place and takes others away: names alone are read."""
    places = [folder / "Lib" / "site-packages", *folder.glob("lib/python*/site-packages")]
    return sum(path.suffix == ".dist-info" for place in places if place.is_dir() for path in place.iterdir())
