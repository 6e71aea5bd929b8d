"""`python3 install check`: what a commit has to pass besides its tests."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from . import checkout
from .process import call

_TYPED_ROOMS = ("backend", "install", "ops", "panels", "synctalk_blender")


def run(root: Path, environments: Path) -> int:
    """Run ruff's linter and formatter and the type checker over the checkout; non-zero when one objects."""
    python = checkout.make_tools(environments)
    statuses = [
        call([python, "-m", "ruff", *arguments], cwd=root).returncode
        for arguments in (["check", "--quiet", "."], ["format", "--check", "--diff", "--quiet", "."])
    ]
    statuses.append(_types(root, python))
    return 1 if any(statuses) else 0


def _types(root: Path, python: Path) -> int:
    """mypy over a copy: the checkout is itself the extension's package, under any folder name."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "synctalk")
        package.mkdir()
        shutil.copy(root / "__init__.py", package)
        for room in _TYPED_ROOMS:
            shutil.copytree(root / room, package / room, ignore=shutil.ignore_patterns("__pycache__", "sample"))
        command = [python, "-m", "mypy", "--package", "synctalk"]
        command += ["--config-file", root / "pyproject.toml", "--cache-dir", root / ".mypy_cache"]
        return call(command, cwd=folder).returncode
