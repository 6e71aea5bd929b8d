"""Work in another process, with its time and its largest memory."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..errors import SyncTalkError

_EVERY_S = 0.05


@dataclass(frozen=True)
class Apart:
    """What a process did.

    Attributes:
        out: its standard output.
        seconds: from its start to its end.
        memory_mb: the largest resident memory that was seen, 10^6 bytes.
    """

    out: str
    seconds: float
    memory_mb: float


def run_apart(module: str, *arguments: str) -> Apart:
    """Run `python -m module arguments` and watch its memory.

    Raises:
        SyncTalkError: it failed; its last line of error.
    """
    begun = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
        watcher.start()
        out, error = process.communicate()
    if process.returncode:
        lines = error.strip().splitlines()
        raise SyncTalkError(lines[-1].removeprefix("Error: ") if lines else f"{module} failed")
    return Apart(out, time.monotonic() - begun, peak[0] / 1e6)


def _watch(process: subprocess.Popen, peak: list[int]) -> None:
    with contextlib.suppress(psutil.Error):
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak[0] = max(peak[0], watched.memory_info().rss)
            time.sleep(_EVERY_S)
