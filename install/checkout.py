"""The environments of a checkout, under its `.venvs`, made with progress on the terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from . import backend_environment, blender_environment, environment, locks, terminal
from .environment import EnvironmentSpec

TOOLS = "tools"


def make_backend(root: Path, device: str | None = None, python: Path | None = None) -> Path:
    """Bring `<root>/backend` to "ready" and return its Python.

    Args:
        device: "cpu" or "cuda"; None keeps the device of an environment that is there, else takes the best one.
    """
    device = device or backend_environment.device_of(root) or backend_environment.default_device()
    return _make(backend_environment.spec(root, device, python))


def make_with_extra(root: Path, package: str, python: Path | None = None) -> Path:
    """Bring `<root>/backend-PACKAGE`, the backend's environment for a CPU with a package of `locks.EXTRAS`, to "ready"; return
    its Python."""
    backend, name = backend_environment.spec(root, "cpu", python), locks.with_extra(package)
    imports = (*backend.imports, locks.module_of(package))
    return _make(replace(backend, folder=root / name, lock=name, imports=imports, last_step=(), last_step_parts=0))


def make_blender(root: Path, version: str = blender_environment.VERSIONS[0]) -> Path:
    """Bring the environment of one Blender version to "ready" and return its Python."""
    return _make(blender_environment.spec(root, version))


def make_tools(root: Path) -> Path:
    """Bring the linters' environment to "ready" and return its Python."""
    versions = (blender_environment.PYTHON_VERSION,)
    return _make(EnvironmentSpec(root / TOOLS, TOOLS, versions, purpose="the linters' environment"))


def _make(spec: EnvironmentSpec) -> Path:
    terminal.follow(f"{spec.folder.name}:", environment.install(spec))
    return environment.python_of(spec.folder)
