"""One installation at a time in one folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BusyError


@contextmanager
def held(path: Path, wait_s: float = 10.0) -> Iterator[int]:
    """Hold the lock file `path` and give its descriptor.

    The operating system releases it when its last holder ends, so a killed installation leaves no stale lock; a child
    that inherits the descriptor keeps it held, so nothing is installed into a folder where an orphaned pip still runs.

    Raises:
        BusyError: another process holds it for longer than `wait_s` seconds.
        OSError: the file cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + wait_s
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"Another installation is running in {path.parent}: wait until it finishes and try again."
                )
            time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
