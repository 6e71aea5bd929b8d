"""`python3 install check`: what a commit has to pass besides its tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import checkout
from .process import child_environment


def run(root: Path, environments: Path) -> int:
    """Run ruff's linter and formatter and the type checker over the checkout; non-zero when one objects."""
    python = checkout.make_tools(environments)
    commands = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])
    statuses = [
        subprocess.run([python, "-m", *command], cwd=root, env=child_environment(), check=False).returncode
        for command in commands
    ]
    return 1 if any(statuses) else 0
