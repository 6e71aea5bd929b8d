"""Jobs in the order that their needs allow, on a pool of workers; what is done and unchanged is not done again."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import Cancelled, SyncTalkError, UsageError, WorkspaceError, storage_error
from ..progress import Reporter
from ..workspace.files import held, read_object
from .execution import Settings, Ticket, execute
from .job import CANCELLED, DONE, FAILED, RUNNING, SKIPPED, WAITING, Job, Place, Record, check_names, key_of_job
from .time_left import Clock, seconds_left

STAGE = "batch"
POLL_S = 0.5


class Pool(Protocol):
    """What runs jobs: processes of this machine, or Ray's workers."""

    @property
    def capacity(self) -> int:
        """How many jobs it takes at a time."""
        ...

    def start(self, ticket: Ticket) -> None:
        """Run a job; `finished` gives its record."""
        ...

    def finished(self, timeout_s: float) -> list[Record]:
        """The records of jobs that have ended since; waits for one, no longer than the time given."""
        ...

    def cancel(self) -> None:
        """Let the running jobs complete their files and end; `finished` still gives their records."""
        ...


@dataclass
class Row:
    """Where a job is.

    Attributes:
        unchanged: done by an earlier run, and not again.
    """

    job: Job
    state: str = WAITING
    unchanged: bool = False
    error: str = ""
    seconds: float = 0.0
    begun: float = 0.0
    result_key: str = ""
    stage: str = ""


@contextlib.contextmanager
def locked(place: Place) -> Iterator[None]:
    """Hold the batch's folder. The lock dies with its process.

    Raises:
        WorkspaceError: another batch works in it.
        StorageError: it cannot be written to.
    """
    try:
        place.make()
    except OSError as error:
        raise storage_error(error, place.root) from error
    with held(place.root, "batch"):
        place.cancel.unlink(missing_ok=True)
        for stale in place.progress("").parent.glob("*.json"):
            stale.unlink(missing_ok=True)
        yield


class Engine:
    """One run of a batch.

    Args:
        jobs: each after those that it needs.
        place: its folder, `locked`.
        show: called with the rows when something has changed, about every `POLL_S`, and at the end.
        stage: as its progress is called.

    Raises:
        WorkspaceError: two jobs would share their files.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        place: Place,
        pool: Pool,
        reporter: Reporter,
        show: Callable[[list[Row]], None],
        stage: str = STAGE,
    ) -> None:
        check_names(jobs)
        self._place, self._pool, self._reporter, self._show = place, pool, reporter, show
        self._stage = stage
        self.rows = {job.name: Row(job) for job in jobs}
        self._missing = {job.name: len(job.needs) for job in jobs}
        self._followers: dict[str, list[str]] = {job.name: [] for job in jobs}
        for job in jobs:
            for name in job.needs:
                self._followers[name].append(job.name)
        self._ready = deque(job.name for job in jobs if not job.needs)
        self._running: set[str] = set()
        self._clock = Clock()
        self._changed = True

    def run(self) -> list[Row]:
        """Run all jobs; one that fails stops only those that need it.

        Raises:
            Cancelled: the running jobs have completed their files.
        """
        try:
            while self._ready or self._running:
                self._start_ready()
                for record in self._pool.finished(POLL_S if self._running else 0.0):
                    self._end(record)
                self._report()
        except BaseException:
            self._stop()
            raise
        self._show(list(self.rows.values()))
        return list(self.rows.values())

    def _start_ready(self) -> None:
        while self._ready and len(self._running) < self._pool.capacity:
            row = self.rows[self._ready.popleft()]
            known = self._place.read_record(row.job.name)
            needed = {name: self.rows[name].result_key for name in row.job.needs}
            try:
                key, inputs = key_of_job(row.job, needed, known)
            except SyncTalkError as error:
                self._end(Record(row.job.name, FAILED, "", error=str(error)))
                continue
            if known is not None and known.is_done and known.key == key and known.files_are_there():
                row.unchanged = True
                self._end(known)
            else:
                row.state, row.begun = RUNNING, time.monotonic()
                self._running.add(row.job.name)
                self._pool.start(Ticket(row.job, key, inputs))
            self._changed = True
            self._reporter.check_cancelled(self._stage)

    def _end(self, record: Record) -> None:
        row = self.rows[record.name]
        self._running.discard(record.name)
        row.state, row.error, row.seconds, row.result_key = (
            record.state, record.error, record.seconds, record.result_key,
        )  # fmt: skip
        self._changed = True
        if row.state == DONE:
            self._clock.took(row.job.verb, record.seconds)
            for name in self._followers[record.name]:
                self._missing[name] -= 1
                if not self._missing[name]:
                    self._ready.append(name)
        elif row.state == FAILED:
            self._reporter.warning(f"{row.job.title}: {row.error}")
            self._skip_after(row)

    def _skip_after(self, failed: Row) -> None:
        waiting = deque(self._followers[failed.job.name])
        while waiting:
            row = self.rows[waiting.popleft()]
            if row.state == WAITING:
                row.state, row.error = SKIPPED, f"It needs {failed.job.title}, which failed."
                waiting.extend(self._followers[row.job.name])

    def _report(self) -> None:
        for name in self._running:
            row, found = self.rows[name], read_object(self._place.progress(name))
            row.stage = str(found.get("stage", row.stage))
            self._clock.runs(name, time.monotonic() - row.begun, found.get("left_s"))
        rows = list(self.rows.values())
        ended = sum(row.state not in (WAITING, RUNNING) for row in rows)
        now = [f"{self.rows[name].job.title} {self.rows[name].stage}".strip() for name in sorted(self._running)[:2]]
        more = f" and {len(self._running) - 2} more" if len(self._running) > 2 else ""
        left = seconds_left(rows, self._clock, self._pool.capacity)
        self._reporter.progress(self._stage, ended, len(rows), "jobs", ", ".join(now) + more, left)
        if self._changed:
            self._changed = False
            self._show(rows)

    def _stop(self) -> None:
        """After a cancel request or an error: no job is left running."""
        self._pool.cancel()
        while self._running:
            for record in self._pool.finished(POLL_S):
                row = self.rows[record.name]
                self._running.discard(record.name)
                row.state, row.error, row.seconds = record.state, record.error, record.seconds
        for row in self.rows.values():
            if row.state in (WAITING, RUNNING):
                row.state = CANCELLED
        self._show(list(self.rows.values()))


def run_one(name: str, jobs: Sequence[Job], place: Place, threads: int | None, retries: int, reporter: Reporter) -> Row:
    """Run one job of a batch, unless it is done, for who hands out its jobs in another way: its lease guards it, not the
    folder's lock.

    Raises:
        UsageError: there is no such job.
        WorkspaceError: a job that it needs is not done.
        Cancelled: its files are complete; the same command resumes.
    """
    by_name = {job.name: job for job in jobs}
    if name not in by_name:
        raise UsageError(f"there is no job {name}: `batch --dry-run --json` lists their names")
    job, needed = by_name[name], {}
    for other in by_name[name].needs:
        record = place.read_record(other)
        if record is None or not record.is_done:
            raise WorkspaceError(f"{job.title} needs {by_name[other].title}, which is not done: run that first.")
        needed[other] = record.result_key
    place.make()
    ticket = Ticket(job, *key_of_job(job, needed, place.read_record(name)))
    reporter.progress(STAGE, 0, 1, "jobs", job.title)
    record = execute(ticket, place, Settings(threads, retries), lambda: _is_cancelled(reporter))
    if record.state == CANCELLED:
        raise Cancelled("Cancelled: run the same command again to resume from here.")
    reporter.progress(STAGE, 1, 1, "jobs", job.title)
    return Row(job, record.state, error=record.error, seconds=record.seconds)


def _is_cancelled(reporter: Reporter) -> bool:
    try:
        reporter.check_cancelled(STAGE)
    except Cancelled:
        return True
    return False
