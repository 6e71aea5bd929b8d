"""SVT-AV1, used by root on Linux as in a farm's container, makes the thread that opens it and its own ones real-time (SCHED_FIFO, 99) and
leaves them so when it is closed: what such a thread starts afterwards inherits it, and other processes get little of the processor."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextlib.contextmanager
def kept_scheduling() -> Iterator[None]:
    """After the block this thread is scheduled as before it, and no thread that began in it is real-time. Elsewhere than on Linux
    nothing happens."""
    if sys.platform != "linux":
        yield
        return
    policy, parameters, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)
        for thread in _threads() - before:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(task.name) for task in _THREADS.iterdir()} if sys.platform == "linux" else set()
