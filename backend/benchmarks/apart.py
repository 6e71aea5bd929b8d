"""Work in another process, with its time and its largest memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..errors import SyncTalkError

_EVERY_S = 0.05
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Apart:
    """What a process did.

    Attributes:
        out: its standard output.
        seconds: from its start to its end.
        memory_mb: the largest resident memory that was seen, of its child processes too, 10^6 bytes.
        cpu_s: processor time, likewise.
        other_cores: how many cores other processes kept busy meanwhile.
    """

    out: str
    seconds: float
    memory_mb: float
    cpu_s: float
    other_cores: float = 0.0


def run_apart(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None, checkout: Path = CHECKOUT
) -> Apart:
    """Run `python -m module arguments` and watch its memory and processor time.

    Args:
        environment: variables beside this process's own.
        checkout: where the module is.

    Raises:
        SyncTalkError: it failed; its last line of error.
    """
    begun, busy = time.monotonic(), _busy_s()
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=checkout,
        env={**os.environ, **(environment or {})},
    ) as process:  # fmt: skip
        seen = _Seen()
        watcher = threading.Thread(target=_watch, args=(process, seen), daemon=True)
        watcher.start()
        out, error = process.communicate()
    if process.returncode:
        lines = error.strip().splitlines()
        raise SyncTalkError(lines[-1].removeprefix("Error: ") if lines else f"{module} failed")
    seconds = time.monotonic() - begun
    others = max(_busy_s() - busy - seen.cpu_s, 0.0) / seconds
    return Apart(out, seconds, seen.memory / 1e6, seen.cpu_s, others)


def _busy_s() -> float:
    """Processor seconds of all processes since the machine started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


@dataclass
class _Seen:
    memory: int = 0
    """Bytes."""
    cpu_s: float = 0.0


def _watch(process: subprocess.Popen, seen: _Seen) -> None:
    with contextlib.suppress(psutil.Error):
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            times = watched.cpu_times()  # those of children are in it when they have ended
            seen.cpu_s = max(seen.cpu_s, times.user + times.system + times.children_user + times.children_system)
            seen.memory = max(seen.memory, sum(map(_memory, [watched, *watched.children(recursive=True)])))
            time.sleep(_EVERY_S)


def _memory(process: psutil.Process) -> int:
    """Bytes; 0 of a process that has just ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.memory_info().rss
    return 0
