"""A job belongs to one process at a time, also among machines that share a folder: its lease is renewed while it runs.

A lease that has not changed for `EXPIRES_S` is of a process that died with its machine; one of a process that died on this
machine is free at once. Clocks are not compared between machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..workspace.files import read_object

RENEWED_S = 5.0
EXPIRES_S = 30.0

_POLL_S = 0.2


class Lease:
    """A held lease.

    Attributes:
        lost: set when another process has taken it, as this one seemed dead: it must leave no result.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._token, self._turn = path, uuid.uuid4().hex, 0
        self._released = threading.Event()
        self._pids = [os.getpid()]
        self.lost = threading.Event()

    def covers(self, pid: int) -> None:
        """A child process works under this lease: on this machine it is free when that one is dead, too."""
        self._pids = [os.getpid(), pid]
        self.renew()

    def renew(self) -> None:
        """Show that the process lives, or find the lease lost."""
        if read_object(self._path).get("token") != self._token:
            self.lost.set()
        elif not self.lost.is_set():
            self._turn += 1
            with contextlib.suppress(OSError):  # on Windows while another reads it: the next turn shows it, too
                _write(self._path, self._content())

    def take(self) -> None:
        _write(self._path, self._content())

    def keep(self) -> None:
        """Renew it until it is released or lost; for a thread."""
        while not self._released.wait(RENEWED_S) and not self.lost.is_set():
            self.renew()

    def release(self) -> None:
        self._released.set()
        if read_object(self._path).get("token") == self._token:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _content(self) -> dict[str, Any]:
        return {"token": self._token, "turn": self._turn, "host": _host(), "pids": self._pids}


@contextlib.contextmanager
def leased(path: Path, cancelled: Callable[[], bool]) -> Iterator[Lease | None]:
    """Hold the lease `path`, once its holder is done or dead; None where `cancelled` came first."""
    lease = Lease(path)
    while not _is_taken(path, lease):
        if _wait_for(path, cancelled):
            yield None
            return
    keeper = threading.Thread(target=lease.keep, daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.release()
        keeper.join()


def _is_taken(path: Path, lease: Lease) -> bool:
    """Try to become the holder of a free lease: of several that try, the one that makes the file."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    lease.take()
    return True


def _wait_for(path: Path, cancelled: Callable[[], bool]) -> bool:
    """Wait until the lease is free, and remove it when its holder is dead; True when cancelled."""
    seen, since = read_object(path), time.monotonic()
    while path.exists():
        if cancelled():
            return True
        if (now := read_object(path)) != seen:
            seen, since = now, time.monotonic()
        if _died_here(seen) or time.monotonic() - since > EXPIRES_S:
            _remove(path, seen)
            return False
        time.sleep(_POLL_S)
    return False


def _remove(path: Path, seen: dict[str, Any]) -> None:
    """Remove a dead holder's lease, and no other that was made since: of several that try, one renames it away."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.rename(aside)
        if read_object(aside) != seen:
            with contextlib.suppress(OSError):
                os.link(aside, path)  # fails where there is one again
        aside.unlink()


def _died_here(content: dict[str, Any]) -> bool:
    import psutil

    return content.get("host") == _host() and not any(map(psutil.pid_exists, content.get("pids", [])))


def _host() -> str:
    return platform.node()


def _write(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    os.replace(temporary, path)
