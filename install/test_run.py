"""`python3 install test`: each room's tests in the environment the room lives in, and one closing line for all."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from . import checkout
from .process import child_environment

BACKEND_ROOMS = ("tests/backend", "tests/install")
BLENDER_ROOM = "tests/blender"
GUI_ROOM = "tests/gui"

_OUTCOMES = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warnings", "errors")
_COUNT = re.compile(r"(\d+) (failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?)\b")
_NO_TESTS = 5


def run(
    root: Path,
    environments: Path,
    blender_versions: Sequence[str],
    device: str | None = None,
    python: Path | None = None,
    arguments: Sequence[str] = (),
) -> int:
    """Make the environments, run the tests, print a closing line with the sums; non-zero if any failed.

    Args:
        root: the checkout.
        blender_versions: the versions whose `bpy` runs the Blender side's tests, one after the other.
        arguments: passed on to pytest; paths among them choose the tests, and with them the environments.
    """
    started = time.monotonic()
    options, backend_paths, blender_paths = _sort(root, arguments)
    counts: Counter[str] = Counter()
    statuses = []
    if backend_paths:
        interpreter = checkout.make_backend(environments, device, python)
        statuses.append(_pytest("backend", root, interpreter, [*options, *backend_paths], counts))
    if blender_paths:
        for version in blender_versions:
            interpreter = checkout.make_blender(environments, version)
            statuses.append(_pytest(f"Blender {version}", root, interpreter, [*options, *blender_paths], counts))
    print(closing_line(counts, time.monotonic() - started), flush=True)
    return 1 if any(status not in (0, _NO_TESTS) for status in statuses) else 0


def _sort(root: Path, arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """pytest's options, and the paths to test in the backend's and in Blender's environments."""
    chosen = [a for a in arguments if not a.startswith("-") and (root / a.partition("::")[0]).exists()]
    options = [a for a in arguments if a not in chosen]
    if not chosen:
        chosen = [room for room in (*BACKEND_ROOMS, BLENDER_ROOM) if any((root / room).glob("**/test_*.py"))]
        if "--gui" in options and any((root / GUI_ROOM).glob("**/test_*.py")):
            chosen.append(GUI_ROOM)
    blender = [
        path for path in chosen if (root / path.partition("::")[0]).resolve().is_relative_to(root / BLENDER_ROOM)
    ]
    return options, [path for path in chosen if path not in blender], blender


def _pytest(title: str, root: Path, python: Path, arguments: Sequence[str], counts: Counter[str]) -> int:
    print(f"\n{title}: pytest {' '.join(arguments)}", flush=True)
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    process = subprocess.Popen(
        [python, "-m", "pytest", *colour, *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=child_environment({"PYTHONUNBUFFERED": "1"}),
    )
    assert process.stdout is not None
    last = ""
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            if _counts(line):
                last = line
    finally:
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.terminate()
        status = process.wait()
    found = _counts(last)
    # A crash of the interpreter leaves no closing line, and must not pass for success.
    if not found and status not in (0, _NO_TESTS):
        print(f"{title}: pytest ended with status {status} and without a result.", flush=True)
        found = Counter(errors=1)
    counts.update(found)
    return status


def _counts(line: str) -> Counter[str]:
    """The outcomes in pytest's closing line; empty for any other line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    if not re.search(r" in \d+(\.\d+)?s\b", plain):
        return Counter()
    plural = {"warning": "warnings", "error": "errors"}
    return Counter({plural.get(name, name): int(number) for number, name in _COUNT.findall(plain)})


def closing_line(counts: Counter[str], seconds: float) -> str:
    """The sums of all runs in the form of pytest's own closing line."""
    parts = [f"{counts[name]} {name}" for name in _OUTCOMES if counts[name]]
    clock = f" ({int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d})" if seconds >= 60 else ""
    return f" {', '.join(parts) or 'no tests ran'} in {seconds:.2f}s{clock} ".center(80, "=")
