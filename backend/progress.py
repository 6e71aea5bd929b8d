"""The one way a stage reports progress, is cancelled, and speaks to a user.

A stage takes a `Reporter` and calls `reporter.progress(...)` as often as it likes; the reporter decides how often that
is shown. Each call is also the place where a cancel request takes effect: it raises `Cancelled`, so a stage needs no
code of its own for it beyond leaving its files whole.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import Cancelled
from .estimate import Estimator, History, user_history


@dataclass(frozen=True)
class Progress:
    """One progress event.

    `done` and `total` count `unit`s of the stage, which has taken `elapsed_s`. `fraction` in [0, 1] and `eta_s` are of
    the whole job: the part of its time that is over, and the seconds left; each None until it can be estimated.
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
        on_preview: called with the path of a picture that shows the state of the work.
        cancelled: polled at every progress call; True raises `Cancelled`.
        history: what stages took before on this computer; of this job alone when None.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        on_log: Callable[[str, str], None] | None = None,
        on_preview: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        interval_s: float = 0.2,
        history: History | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._on_log = on_log
        self._on_preview = on_preview
        self._cancelled = cancelled
        self.warnings: list[str] = []
        """Every warning told so far."""
        self._interval_s = interval_s
        self._stage = ""
        self._started = 0.0
        self._last_sent = 0.0
        self._estimator = Estimator(history)

    def plan(self, units: Mapping[str, float | None], clock: str = "") -> None:
        """Announce the job's stages, in order, with their sizes, so that the time left is that of the whole job.

        Args:
            units: of each stage, such as its frames; None for as many as the first stage to come will have.
            clock: the stage that lasts as many seconds as it has units.
        """
        self._estimator.plan(units, clock)

    def progress(self, stage: str, done: float, total: float, unit: str = "frames", message: str = "") -> None:
        """Report that `done` of `total` units of `stage` are finished.

        Raises:
            Cancelled: the user asked to stop.
        """
        self.check_cancelled(stage)
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._last_sent = stage, now, 0.0
        fraction, eta = self._estimator.update(now, stage, done, total)
        if self._on_progress is None or (now - self._last_sent < self._interval_s and done < total):
            return
        self._last_sent = now
        self._on_progress(Progress(stage, done, total, unit, message, eta, now - self._started, fraction))

    def check_cancelled(self, stage: str = "") -> None:
        """Raise `Cancelled` when the user asked to stop; for loops that have no progress to report."""
        if self._cancelled is not None and self._cancelled():
            during = f" during {stage or self._stage}" if stage or self._stage else ""
            raise Cancelled(f"Cancelled{during}: run the same command again to go on from here.")

    def info(self, text: str) -> None:
        """Tell the user something worth knowing."""
        if self._on_log:
            self._on_log("info", text)

    def warning(self, text: str) -> None:
        """Tell the user what may spoil the result, and what to do about it."""
        self.warnings.append(text)
        if self._on_log:
            self._on_log("warning", text)

    def preview(self, path: str) -> None:
        """Show a picture of the state of the work (a finished file; the reporter does not delete it)."""
        if self._on_preview:
            self._on_preview(path)


def format_duration(seconds: float) -> str:
    """Seconds as people read them: `48 s`, `3 min 05 s`, `2 h 10 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def terminal_reporter(stream=None, cancelled: Callable[[], bool] | None = None) -> Reporter:
    """A reporter that draws one tqdm bar a stage on a terminal, and a line a stage elsewhere (a log file, CI)."""
    from tqdm import tqdm

    stream = stream or sys.stderr
    bar: list[tqdm] = []
    is_terminal = hasattr(stream, "isatty") and stream.isatty()
    last_line = [""]

    def close() -> None:
        if bar:
            bar.pop().close()

    def on_progress(event: Progress) -> None:
        if not is_terminal:
            if event.done >= event.total and last_line[0] != event.stage:
                last_line[0] = event.stage
                print(
                    f"{event.stage}: {event.message or 'done'} ({format_duration(event.elapsed_s)})",
                    file=stream,
                    flush=True,
                )
            return
        if not bar or bar[0].desc != event.stage:
            close()
            bar.append(
                tqdm(
                    total=event.total,
                    desc=event.stage,
                    unit=f" {event.unit}",
                    file=stream,
                    leave=True,
                    dynamic_ncols=True,
                    # Without tqdm's own time left: it is that of the stage, by its mean pace.
                    bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f}{unit} [{elapsed}{postfix}]",
                )
            )
        bar[0].n, bar[0].total = event.done, event.total
        left = [] if event.eta_s is None else [f"{format_duration(event.eta_s)} left"]
        bar[0].set_postfix_str(", ".join([*left, *filter(None, [event.message])]), refresh=True)
        if event.done >= event.total:
            close()

    def on_log(level: str, text: str) -> None:
        close()
        print(text if level == "info" else f"{level.capitalize()}: {text}", file=stream, flush=True)

    return Reporter(on_progress, on_log, cancelled=cancelled, history=user_history())
