"""The one way a stage reports progress, is cancelled, and speaks to a user.

A stage takes a `Reporter` and calls `reporter.progress(...)` as often as it likes; the reporter decides how often that
is shown. Each call is also the place where a cancel request takes effect: it raises `Cancelled`, so a stage needs no
code for it beyond leaving its files complete.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from .errors import Cancelled
from .estimate import Estimator, History, user_history
from .protocol import format_duration


@dataclass(frozen=True)
class Progress:
    """One progress event.

    `done` and `total` count `unit`s of the stage, which has taken `elapsed_s`. `fraction` in [0, 1] and `eta_s` are of
    the complete job: the part of its time that is over, and the seconds left; each None until it can be estimated.
    """

    stage: str
    done: float
    total: float
    unit: str = "frames"
    message: str = ""
    eta_s: float | None = None
    elapsed_s: float = 0.0
    fraction: float | None = None


class Reporter:
    """Collects progress, log lines and previews of one job, and carries the cancel request.

    Args:
        on_progress: called with a `Progress`, at most every `interval_s` seconds, and at a stage's start and end.
        on_log: called with (level, text), level one of "info", "warning".
        on_preview: called with the path of an image that shows the state of the work.
        cancelled: polled at every progress call; True raises `Cancelled`.
        history: what stages took before on this computer; of this job alone when None.
        ask: puts a question to a user at a terminal and returns the answer; None without a terminal.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        on_log: Callable[[str, str], None] | None = None,
        on_preview: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        interval_s: float = 0.2,
        history: History | None = None,
        ask: Callable[[str], str] | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._on_log = on_log
        self._on_preview = on_preview
        self._cancelled = cancelled
        self.ask = ask
        self.warnings: list[str] = []
        """All warnings so far."""
        self.history = history
        self._interval_s = interval_s
        self._stage = ""
        self._started = 0.0
        self._last_sent = 0.0
        self._estimator = Estimator(history)

    @property
    def stage(self) -> str:
        """The stage that reported last; empty before the first."""
        return self._stage

    def plan(self, units: Mapping[str, float | None], clock: str = "") -> None:
        """Announce the job's stages, in order, with their sizes, so that the time left is that of the complete job.

        Args:
            units: of each stage, such as its frames; None for as many as the first of them has.
            clock: the stage that lasts as many seconds as it has units.
        """
        self._estimator.plan(units, clock)

    def progress(
        self,
        stage: str,
        done: float,
        total: float,
        unit: str = "frames",
        message: str = "",
        left_s: float | None = None,
    ) -> None:
        """Report that `done` of `total` units of `stage` are finished.

        Args:
            left_s: seconds left of the complete job, where the caller knows them better than by the pace.

        Raises:
            Cancelled: the user asked to stop.
        """
        self.check_cancelled(stage)
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._last_sent = stage, now, 0.0
        fraction, eta = self._estimator.update(now, stage, done, total)
        eta = eta if left_s is None else left_s
        if self._on_progress is None or (now - self._last_sent < self._interval_s and done < total):
            return
        self._last_sent = now
        self._on_progress(Progress(stage, done, total, unit, message, eta, now - self._started, fraction))

    def check_cancelled(self, stage: str = "") -> None:
        """Raise `Cancelled` when the user asked to stop; for loops that have no progress to report."""
        if self._cancelled is not None and self._cancelled():
            during = f" during {stage or self._stage}" if stage or self._stage else ""
            raise Cancelled(f"Cancelled{during}: run the same command again to resume from here.")

    def info(self, text: str) -> None:
        """Report information."""
        if self._on_log:
            self._on_log("info", text)

    def warning(self, text: str) -> None:
        """Warn of what may spoil the result, and say what to do about it."""
        self.warnings.append(text)
        if self._on_log:
            self._on_log("warning", text)

    def preview(self, path: str) -> None:
        """Show an image of the state of the work (a finished file; the reporter does not delete it)."""
        if self._on_preview:
            self._on_preview(path)


def terminal_reporter(
    stream: TextIO | None = None,
    cancelled: Callable[[], bool] | None = None,
    follow: Callable[[Progress], None] | None = None,
) -> Reporter:
    """A reporter that draws a bar a stage on a terminal, and a line a stage elsewhere (a log file, CI).

    Args:
        follow: called with the progress too.
    """
    shown = _Terminal(stream or sys.stderr)
    ask = shown.ask if sys.stdin is not None and sys.stdin.isatty() else None

    def on_progress(event: Progress) -> None:
        shown.on_progress(event)
        if follow is not None:
            follow(event)

    return Reporter(on_progress, shown.on_log, cancelled=cancelled, history=user_history(), ask=ask)


class _Terminal:
    """Progress on a stream, by tqdm; a line a stage where the stream is no terminal, or tqdm is not installed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar: Any = None
        self._ended = ""

    def on_progress(self, event: Progress) -> None:
        tqdm = _tqdm() if self._stream.isatty() else None
        if tqdm is None:
            if event.done >= event.total and self._ended != event.stage:
                self._ended = event.stage
                text = f"{event.stage}: {event.message or 'done'} ({format_duration(event.elapsed_s)})"
                print(text, file=self._stream, flush=True)
            return
        if self._bar is None or self._bar.desc != event.stage:
            self._close()
            # Without tqdm's own time left: it is that of the stage, by its mean pace.
            shape = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f}{unit} [{elapsed}{postfix}]"
            named = {"desc": str(event.stage), "unit": f" {event.unit}", "bar_format": shape}
            self._bar = tqdm(total=event.total, file=self._stream, dynamic_ncols=True, **named)
        self._bar.n, self._bar.total = event.done, event.total
        left = "" if event.eta_s is None else f"{format_duration(event.eta_s)} left"
        self._bar.set_postfix_str(", ".join(filter(None, [left, event.message])), refresh=True)
        if event.done >= event.total:
            self._close()

    def on_log(self, level: str, text: str) -> None:
        self._close()
        print(text if level == "info" else f"{level.capitalize()}: {text}", file=self._stream, flush=True)

    def ask(self, question: str) -> str:
        self.on_log("info", question)
        return input("> ").strip()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError:  # `python3 install models` runs before anything is installed
        return None
    return tqdm
