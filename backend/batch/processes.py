"""Jobs as processes on this machine, a thread for each that waits for it."""

from __future__ import annotations

import queue
import threading

from .execution import Settings, Ticket, execute
from .job import Place, Record


class Processes:
    """A pool (`engine.Pool`) of `jobs` processes."""

    def __init__(self, place: Place, settings: Settings, jobs: int) -> None:
        self.capacity = jobs
        self._place, self._settings = place, settings
        self._stop = threading.Event()
        self._finished: queue.Queue[Record] = queue.Queue()

    def start(self, ticket: Ticket) -> None:
        threading.Thread(target=self._run, args=(ticket,), daemon=True).start()

    def finished(self, timeout_s: float) -> list[Record]:
        found = []
        try:
            found.append(self._finished.get(timeout=timeout_s) if timeout_s else self._finished.get_nowait())
            while True:
                found.append(self._finished.get_nowait())
        except queue.Empty:
            return found

    def cancel(self) -> None:
        self._stop.set()

    def _run(self, ticket: Ticket) -> None:
        self._finished.put(execute(ticket, self._place, self._settings, self._stop.is_set))
