"""Work of a command beside what its user follows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from ..estimate import History
from ..progress import Progress, Reporter

_FOLLOWED_S = 0.1
"""Between two reports of a stage that began early, and between two looks of one that waits whether it is to stop."""
_Result = TypeVar("_Result")


def awaited(future: Future[_Result], reporter: Reporter) -> _Result:
    """What a future gives.

    Raises:
        Cancelled: the work is to stop before that is there.
    """
    while not wait([future], _FOLLOWED_S).done:
        reporter.check_cancelled()
    return future.result()


class Beside:
    """Work on threads of its own, cancelled when the block ends before `finish`."""

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, "beside")
        self._stop = threading.Event()
        self._jobs: list[Future[Any]] = []

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        job = self._pool.submit(work, *arguments)
        self._jobs.append(job)
        return job

    def reporter(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        on_log: Callable[[str, str], None] | None = None,
        history: History | None = None,
    ) -> Reporter:
        """A reporter that shows nothing: what the user follows is the stage."""
        return Reporter(on_progress, on_log, cancelled=self._stop.is_set, history=history)

    def finish(self) -> None:
        """Wait for the work, and raise its first error."""
        for job in self._jobs:
            job.result()


class Early:
    """A stage that begins beside the one before it. What it reports waits until its turn comes.

    Args:
        work: the stage, with its reporter.
        history: where its time is kept; the user's reporter does not see it begin.
    """

    def __init__(self, beside: Beside, work: Callable[[Reporter], None], history: History | None = None) -> None:
        self._latest: Progress | None = None
        self._said: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        reporter = beside.reporter(self._keep, lambda level, text: self._said.put((level, text)), history)
        self._job = beside.start(work, reporter)

    def _keep(self, progress: Progress) -> None:
        self._latest = progress

    def follow(self, reporter: Reporter) -> None:
        """Report what it reports, until it ends.

        Raises:
            SyncTalkError: its error.
            Cancelled: the user asked to stop; the stage stops with its `Beside`.
        """
        ended = False
        while not ended:
            ended = bool(wait([self._job], _FOLLOWED_S).done)
            while not self._said.empty():
                level, text = self._said.get()
                (reporter.warning if level == "warning" else reporter.info)(text)
            reporter.check_cancelled()
            if (latest := self._latest) is not None:
                reporter.progress(latest.stage, latest.done, latest.total, latest.unit, latest.message)
        self._job.result()
