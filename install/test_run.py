"""`python3 install test`: each room's tests in its environment, and one closing line for all.

The backend's tests are shared out over the processor's cores (pytest-xdist) and Blender's run beside them. What each room
prints is shown after what the room before it printed.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from . import checkout
from .process import child_environment

BACKEND_ROOMS = ("tests/backend", "tests/install", "tests/house")
BLENDER_ROOM = "tests/blender"
GUI_ROOM = "tests/gui"

MAX_WORKERS = 8
"""Each loads PyTorch, about 1 GB."""

_EXCLUSIVE = ("--slow", "--gui", "--pdb", "-s", "--capture=no")
"""Options of tests that need the machine or the terminal to themselves."""

_CHOOSES = ("-k", "-m", "-n", "--numprocesses", "--dist")
"""Options that choose a few tests, which take less time than starting workers does, or share them out already."""

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
    extra: str | None = None,
) -> int:
    """Make the environments, run the tests, print a closing line with the sums; non-zero if any failed.

    Args:
        root: the checkout.
        blender_versions: the versions whose `bpy` runs the Blender side's tests, one after the other.
        extra: run the backend's tests in the environment that has this package of `locks.EXTRAS`.
        arguments: passed on to pytest; paths among them choose the tests, and with them the environments.
    """
    started = time.monotonic()
    options, backend_paths, blender_paths = _sort(root, arguments)
    backend, blender = [], []
    if backend_paths:
        make = (
            partial(checkout.make_with_extra, environments, extra)
            if extra
            else partial(checkout.make_backend, environments, device)
        )
        interpreter = make(python)
        workers = _workers(options, backend_paths)
        backend.append(_Room("backend", root, interpreter, [*options, *backend_paths], workers))
    if blender_paths:
        for version in blender_versions:
            interpreter = checkout.make_blender(environments, version)
            blender.append(_Room(f"Blender {version}", root, interpreter, [*options, *blender_paths]))
    rooms = [*backend, *blender]
    # Exclusive tests run alone.
    for queued in [rooms] if _has(options, _EXCLUSIVE) else [backend, blender]:
        threading.Thread(target=_run_in_turn, args=(queued,), daemon=True).start()
    try:
        for room in rooms:
            for line in room.lines():
                print(line, end="", flush=True)
    finally:
        for room in rooms:
            room.stop()
    counts = sum((room.counts for room in rooms), Counter())
    print(closing_line(counts, time.monotonic() - started), flush=True)
    return 1 if any(room.status not in (0, _NO_TESTS) for room in rooms) else 0


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


def _has(options: Sequence[str], names: Sequence[str]) -> bool:
    return any(option.partition("=")[0] in names for option in options)


def _workers(options: Sequence[str], paths: Sequence[str]) -> int:
    """Processes that share the tests of `paths`: single files are done before a second one has started."""
    if _has(options, (*_EXCLUSIVE, *_CHOOSES)) or not all(path in BACKEND_ROOMS for path in paths):
        return 1
    return min(os.cpu_count() or 1, MAX_WORKERS)


def _run_in_turn(rooms: Sequence[_Room]) -> None:
    for room in rooms:
        room.run()


class _Room:
    """pytest on the tests of one room, in its environment.

    Attributes:
        counts: how many tests had which outcome, once `lines` has ended.
        status: pytest's exit status, once `lines` has ended.
    """

    def __init__(self, title: str, root: Path, python: Path, arguments: Sequence[str], workers: int = 1) -> None:
        colour = ["--color=yes"] if sys.stdout.isatty() else []
        shared = ["-n", str(workers), "--dist", "worksteal"] if workers > 1 and _has_xdist(python) else []
        self.title, self.counts, self.status = title, Counter[str](), 0
        # Each worker has a core: threads of PyTorch that wait for one another would take it from the others.
        self._environment = {"PYTHONUNBUFFERED": "1"} | ({"OMP_NUM_THREADS": "1"} if shared else {})
        self._root, self._command = root, [str(python), "-m", "pytest", *colour, *shared, *arguments]
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._lock, self._stopped = threading.Lock(), False

    def run(self) -> None:
        """Start pytest and collect what it prints; returns when it has ended."""
        try:
            with self._lock:
                if self._stopped:
                    return
                self._process = self._start()
            assert self._process.stdout is not None
            for line in self._process.stdout:
                self._lines.put(line)
            self.status = self._process.wait()
        except OSError as error:
            self._lines.put(f"{error}\n")
            self.status = 1
        finally:
            self._lines.put(None)

    def lines(self) -> Iterator[str]:
        """What the run prints, as it comes."""
        yield f"\n{self.title}: {' '.join(self._command[2:])}\n"
        last = ""
        for line in iter(self._lines.get, None):
            yield line
            if _counts(line):
                last = line
        self.counts = _counts(last)
        # A crash of the interpreter leaves no closing line, and must not pass for success.
        if not self.counts and self.status not in (0, _NO_TESTS):
            yield f"{self.title}: pytest ended with status {self.status} and without a result.\n"
            self.counts = Counter(errors=1)

    def stop(self) -> None:
        """End pytest if it is still running, or never start it."""
        with self._lock:
            self._stopped = True
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                self._process.wait()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            cwd=self._root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=child_environment(self._environment),
        )


def _has_xdist(python: Path) -> bool:
    found = "import importlib.util, sys; sys.exit(importlib.util.find_spec('xdist') is None)"
    return subprocess.run([python, "-c", found], env=child_environment(), check=False).returncode == 0


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
