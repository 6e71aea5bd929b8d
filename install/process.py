"""Child processes whose output is read line by line while a cancel request is watched for."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import Cancelled
from .progress import IsCancelled

HEARTBEAT_S = 0.1
"""How often `lines` comes back to its caller when the child says nothing."""

_GRACE_S = 5.0


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would change another Python or send pip somewhere else.

    Blender and virtual environments set PYTHON* variables that make a foreign interpreter load the wrong library.
    """
    unwanted = {
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_PYTHON",
        "PIP_REQUIRE_HASHES",
    }
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("PYTHON") and k.upper() not in unwanted}
    return {**kept, "PIP_USER": "0", **(extra or {})}


def lines(
    command: Sequence[str | Path],
    *,
    cancelled: IsCancelled | None = None,
    environment: Mapping[str, str] | None = None,
    inherited: Sequence[int] = (),
    cwd: Path | None = None,
) -> Generator[str | None, None, int]:
    """Run `command`; yield each line of its output, or None when it has said nothing for `HEARTBEAT_S`.

    The generator's return value is the exit status. Closing it, or a true `cancelled()`, stops the child and its own
    children: an interrupt first, a kill after five seconds.

    Args:
        inherited: file descriptors that the child keeps open (POSIX only).
        cwd: the child's working folder.

    Raises:
        Cancelled: `cancelled()` was true.
        OSError: the command could not be started.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        cwd=cwd,
        env=dict(environment) if environment is not None else child_environment(),
        **_own_group(inherited),
    )
    spoken: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, spoken), daemon=True)
    reader.start()
    try:
        while True:
            if cancelled is not None and cancelled():
                raise Cancelled("Cancelled: what is installed so far stays, and the next run goes on from there.")
            try:
                line = spoken.get(timeout=HEARTBEAT_S)
            except queue.Empty:
                yield None
                continue
            if line is None:
                return process.wait()
            yield line.rstrip()
    finally:
        _stop(process)


def _own_group(inherited: Sequence[int]) -> dict[str, Any]:
    # In a group of its own the child does not get the terminal's Ctrl-C: the parent decides, and reaches its children.
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True, "pass_fds": tuple(inherited)}


def _read(process: subprocess.Popen[str], spoken: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with suppress(ValueError, OSError):  # closed by `_stop`
        for line in process.stdout:
            spoken.put(line)
    spoken.put(None)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(OSError):
            if sys.platform == "win32":
                process.terminate()
            else:
                os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                process.kill() if sys.platform == "win32" else os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
