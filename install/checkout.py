"""The environments of a checkout, under its `.venvs`, made with progress on the terminal."""

from __future__ import annotations

from pathlib import Path

from . import backend_environment, blender_environment, environment, terminal
from .environment import EnvironmentSpec

TOOLS = "tools"


def make_backend(root: Path, device: str | None = None, python: Path | None = None) -> Path:
    """Bring `<root>/backend` to "ready" and return its Python.

    Args:
        device: "cpu" or "cuda"; None keeps the device of an environment that is there, else takes the best one.
    """
    device = device or backend_environment.device_of(root) or backend_environment.default_device()
    terminal.follow("backend:", backend_environment.steps(root, device, python))
    return backend_environment.python_of(root)


def make_blender(root: Path, version: str = blender_environment.VERSIONS[0]) -> Path:
    """Bring the environment of one Blender version to "ready" and return its Python."""
    terminal.follow(f"{blender_environment.folder_name(version)}:", blender_environment.steps(root, version))
    return blender_environment.python_of(root, version)


def make_tools(root: Path) -> Path:
    """Bring the linters' environment to "ready" and return its Python."""
    spec = EnvironmentSpec(
        folder=root / TOOLS,
        lock=TOOLS,
        versions=(blender_environment.PYTHON_VERSION,),
        purpose="the linters' environment",
    )
    terminal.follow(f"{TOOLS}:", environment.install(spec))
    return environment.python_of(spec.folder)
