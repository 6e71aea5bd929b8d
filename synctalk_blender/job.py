"""One piece of long work, as a generator that yields what it waits for.

That is a `Request` to the backend, or anything with `poll()`, `result()`, `cancel()` and `progress`. Between two yields the
generator runs on the main thread and may touch the scene.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..backend.protocol import format_duration
from . import previews
from .client import shared
from .client.errors import BackendError
from .steps import Errand, Step

logger = logging.getLogger("synctalk")


@dataclass(frozen=True)
class Request:
    """A request to the backend that a job waits for."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)


class Waitable(Protocol):
    """What a job may wait for; `client.pending.Pending` is one."""

    progress: dict[str, Any] | None

    def poll(self) -> bool: ...
    def result(self) -> Any: ...
    def cancel(self) -> None: ...


Work = Generator["Request | Waitable", Any, str]
"""A job's generator; what it returns is the sentence that reports its success."""


class Job:
    """One piece of long work and its progress.

    Args:
        stages: readable names of the backend's stages; a stage that is not here is shown by its own name.
        quiet: it is short, and begins by itself: its step's panel stays as it is, messages and all, until it ends.

    Attributes:
        fraction: of the complete job, in [0, 1]; None while unknown.
        text: what is being done now.
        error: the sentence of a failure; empty while none.
        reads_rig: it reads the rig frame by frame now, so nothing else is to be written onto it.
    """

    def __init__(
        self, step: Step | Errand, title: str, work: Work, stages: dict[str, str] | None = None, *, quiet: bool = False
    ) -> None:
        self.step = step
        self.title = title
        self.stages = stages or {}
        self.quiet = quiet
        self.fraction: float | None = None
        self.text = ""
        self.message = ""
        self.warnings: list[str] = []
        self.error = ""
        self.error_kind = ""
        self.cancelling = False
        self.finished = False
        self.reads_rig = False
        self._ends_at: float | None = None
        self._work = work
        self._waits_for: Waitable | None = None
        self._taken: dict[str, Any] | None = None

    def begin(self) -> None:
        """Run to the first wait."""
        self._resume(lambda: next(self._work))

    def advance(self) -> None:
        """Resume the work if what it waits for has ended; never waits."""
        if self.finished or self._waits_for is None:
            return
        try:
            ended = self._waits_for.poll()
        except Exception as error:  # noqa: BLE001 (what works on the scene finds it gone when another file was opened)
            self._fail(error)
            self._work.close()
            return
        backend = shared.running_backend()
        if backend is not None:
            backend.pump()
        if self._waits_for.progress is not None:
            self._take_progress(self._waits_for.progress)
        if ended:
            self._hand_over(self._waits_for)

    def cancel(self) -> None:
        """Ask it to stop; it ends with the kind `cancelled` as soon as its current part has stopped."""
        self.cancelling = True
        if self._waits_for is not None:
            self._waits_for.cancel()

    def warn(self, texts: list[str]) -> None:
        """Add warnings, each once."""
        self.warnings += [text for text in texts if text not in self.warnings]

    @property
    def eta_s(self) -> float | None:
        """Seconds left, counting down between two messages; None while unknown, and once overdue."""
        left = None if self._ends_at is None else self._ends_at - time.monotonic()
        return left if left is not None and left > 0 else None

    @property
    def time_left(self) -> str:
        """`eta_s` in words, in steps of ten seconds; empty where it is None."""
        eta_s = self.eta_s
        return "" if eta_s is None else f"{format_duration(eta_s if eta_s < 60 else round(eta_s, -1))} left"

    def _hand_over(self, waited_for: Waitable) -> None:
        self._waits_for = None
        try:
            result = waited_for.result()
        except Exception as error:  # noqa: BLE001 (the generator may clean up, or recover)
            failure = error
            self._resume(lambda: self._work.throw(failure))
        else:
            self._resume(lambda: self._work.send(result))

    def _resume(self, step: Callable[[], Request | Waitable]) -> None:
        try:
            wanted = step()
            if self.cancelling:
                self._work.close()
                raise BackendError("Cancelled.", "cancelled")
            self._waits_for = self._submit(wanted) if isinstance(wanted, Request) else wanted
        except StopIteration as stop:
            self.text, self.fraction, self._ends_at = stop.value or "", 1.0, None
            self.finished = True
        except Exception as error:  # noqa: BLE001 (a timer that raises would be dropped, and the job with it)
            self._fail(error)

    def _submit(self, request: Request) -> Waitable:
        return shared.shared_backend().submit(
            request.method,
            request.params,
            on_log=self._take_log,
            on_preview=lambda params: previews.show(params["path"]),
        )

    def _fail(self, error: Exception) -> None:
        self.finished = True
        self.error_kind = getattr(error, "kind", "")
        self.error = str(error)
        if not self.error_kind:  # a bug, not a mistake of the user
            logger.error("%s failed:\n%s", self.title, "".join(traceback.format_exception(error)))
            what = f"{type(error).__name__}: {error}"
            self.error = f"{self.title} failed because of a bug in the add-on ({what}): copy the details and report it."

    def _take_log(self, params: dict[str, Any]) -> None:
        if params["level"] == "warning":
            self.warnings.append(params["text"])

    def _take_progress(self, progress: dict[str, Any]) -> None:
        if progress is self._taken:
            return
        self._taken = progress
        eta_s, stage = progress["eta_s"], progress["stage"]
        self._ends_at = None if eta_s is None else time.monotonic() + eta_s
        self.message = progress["message"]
        plain = stage.replace("_", " ").capitalize()
        self.text = self.stages.get(stage, plain) if self.stages else self.message or plain
        fraction = progress.get("fraction")  # of the complete job, where the backend knows it
        if fraction is not None:
            self.fraction = max(self.fraction or 0.0, fraction)
        elif not self.stages:  # a job of one part
            total = progress["total"]
            self.fraction = min(1.0, max(0.0, progress["done"] / total)) if total else None
