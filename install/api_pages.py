"""`python3 install docs`: pages of the backend's API from its docstrings and signatures, one a room."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import checkout
from .process import call, child_environment


def run(root: Path, environments: Path, out: Path) -> int:
    """Write `ROOM.md` for each room of the backend and an index, from the source alone: nothing of it is imported."""
    python = checkout.make_tools(environments)
    environment = child_environment({"PYTHONPATH": str(root)})
    out.mkdir(parents=True, exist_ok=True)
    rooms = sorted(path.parent.name for path in (root / "backend").glob("*/__init__.py"))
    for room in rooms:
        command = [python.with_name("griffe2md"), f"backend.{room}", "--output", out / f"{room}.md"]
        if status := call(command, environment, cwd=root, stderr=subprocess.DEVNULL).returncode:
            return status
    heading = "# API\n\nMade by `python3 install docs` from the docstrings.\n\n"
    pages = "".join(f"- [backend.{room}]({room}.md)\n" for room in rooms)
    (out / "README.md").write_text(heading + pages, "utf-8")
    print(out)
    return 0
