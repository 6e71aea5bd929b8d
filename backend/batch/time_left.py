"""How long a batch still takes: from what its jobs took so far, and what the running ones report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .job import RUNNING, WAITING

if TYPE_CHECKING:
    from .engine import Row


class Clock:
    """The mean seconds of a command, and what is left of the running jobs."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], tuple[float, int]] = {}
        self._running: dict[str, tuple[float, float | None]] = {}

    def took(self, verb: tuple[str, ...], seconds: float) -> None:
        """A job of the command is done."""
        total, count = self._sums.get(verb, (0.0, 0))
        self._sums[verb] = total + seconds, count + 1

    def runs(self, name: str, elapsed_s: float, left_s: float | None) -> None:
        """A job is running; `left_s` as it reports it."""
        self._running[name] = elapsed_s, left_s

    def left(self, row: Row) -> float | None:
        """Seconds left of one job; None while nothing like it is known."""
        total, count = self._sums.get(row.job.verb, (0.0, 0))
        mean = total / count if count else None
        if row.state != RUNNING:
            return mean
        elapsed, left = self._running.get(row.job.name, (0.0, None))
        return left if left is not None else None if mean is None else max(mean - elapsed, 0.0)

    def learn(self, rows: Sequence[Row]) -> dict[tuple[str, ...], float]:
        """Expected seconds of each command that is known only from a running job's own estimate."""
        found = {}
        for row in rows:
            elapsed, left = self._running.get(row.job.name, (0.0, None))
            if row.state == RUNNING and left is not None and row.job.verb not in self._sums:
                found[row.job.verb] = elapsed + left
        return found


def seconds_left(rows: Sequence[Row], clock: Clock, workers: int) -> float | None:
    """Seconds until all jobs are done: their sum over the workers, or the longest chain of needs; None while a command has
    not run yet.

    Args:
        rows: each job after those that it needs.
    """
    expected = clock.learn(rows)
    work = 0.0
    before: dict[str, float] = {}
    for row in rows:
        if row.state not in (WAITING, RUNNING):
            continue
        left = clock.left(row)
        left = expected.get(row.job.verb) if left is None else left
        if left is None:
            return None
        work += left
        before[row.job.name] = left + max((before.get(name, 0.0) for name in row.job.needs), default=0.0)
    return max([work / max(workers, 1), *before.values()])
