"""Child processes whose output is read line by line while a cancel request is watched for."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Cancelled
from .progress import IsCancelled

HEARTBEAT_S = 0.1
"""How often `Run` returns to its caller while the child prints nothing."""

_GRACE_S = 5.0
_UNWANTED = {"VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
_UNWANTED |= {f"PIP_{name}" for name in ("TARGET", "PREFIX", "ROOT", "PYTHON", "REQUIRE_HASHES")}
_KEPT_OF_UV = re.compile(
    "UV_(CACHE_DIR|CONCURRENT_DOWNLOADS|DEFAULT_INDEX|HTTP_TIMEOUT|INDEX|INDEX_.*|KEYRING_PROVIDER)"
)


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without variables that affect another Python or redirect packages.

    Blender and virtual environments set PYTHON* variables that make a foreign interpreter load the wrong library.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in _UNWANTED
        and (not name.upper().startswith(("PYTHON", "UV_")) or _KEPT_OF_UV.fullmatch(name.upper()))
    }
    return {**kept, "PIP_USER": "0", **(extra or {})}


def call(
    command: Iterable[object], environment: Mapping[str, str] | None = None, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """`subprocess.run` with UTF-8 in `environment`, else in `child_environment()`; a failure is left to the caller."""
    variables = child_environment() if environment is None else environment
    settings = {"encoding": "utf-8", "errors": "replace", "check": False, **settings}
    return subprocess.run([str(part) for part in command], env=variables, **settings)


@dataclass
class Run:
    """One run of a command. Iterating starts it and gives each line of its output, None when it prints nothing for 0.1 s.

    Leaving the iteration, or a true `cancelled()`, stops the child and its own children: an interrupt first, a kill
    after five seconds.

    Attributes:
        inherited: file descriptors that the child keeps open (POSIX only).
        log: a file that the output is appended to.
        status: the exit status, once the iteration has ended.
        tail: the last lines.

    Raises:
        Cancelled: `cancelled()` was true.
        OSError: the command could not be started.
    """

    command: Iterable[object]
    cancelled: IsCancelled | None = None
    environment: Mapping[str, str] | None = None
    inherited: Sequence[int] = ()
    cwd: Path | None = None
    log: Path | None = None
    status: int = -1
    tail: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str | None]:
        process = subprocess.Popen(
            [str(part) for part in self.command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            cwd=self.cwd,
            env=child_environment() if self.environment is None else dict(self.environment),
            **_own_group(self.inherited),
        )
        printed: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process, printed), daemon=True).start()
        try:
            while True:
                if self.cancelled is not None and self.cancelled():
                    raise Cancelled("Cancelled: what is installed so far is kept, and the next run resumes from there.")
                try:
                    line = printed.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    yield None
                    continue
                if line is None:
                    self.status = process.wait()
                    return
                self._keep(line.rstrip())
                yield line.rstrip()
        finally:
            _stop(process)

    def finish(self) -> int:
        """Run it to its end and return the exit status."""
        for _ in self:
            pass
        return self.status

    def _keep(self, line: str) -> None:
        if not line:
            return
        self.tail = [*self.tail[-40:], line]
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as record:
                record.write(line + "\n")


def _own_group(inherited: Sequence[int]) -> dict[str, Any]:
    # In its own group the child does not get the terminal's Ctrl-C: the parent decides, and reaches its children.
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True, "pass_fds": tuple(inherited)}


def _read(process: subprocess.Popen[str], printed: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with suppress(ValueError, OSError):  # closed by `_stop`
        for line in process.stdout:
            printed.put(line)
    printed.put(None)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(OSError):
            process.terminate() if sys.platform == "win32" else os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        with suppress(OSError):  # also its children, which may take longer than it does
            process.kill() if sys.platform == "win32" else os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
