"""Items that are made on a thread of their own while the ones before them are used."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()
_POLL_S = 0.1


def made_ahead(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """The items in order, up to `depth` of them made ahead; what making one raises is raised here. Close it to stop early."""
    waiting: queue.Queue[tuple[Any, Any]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: Any, value: Any = None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((kind, value), timeout=_POLL_S)
                return

    def make() -> None:
        try:
            for item in items:
                put(None, item)
                if stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 (raised where the items are used)
            put(_END, error)
        else:
            put(_END)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind is not _END:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:
        stop.set()
        thread.join()
