"""Long work beside Blender's event loop: one job at a time, moved on by one timer, so undo and file load do no harm.

A job is a generator that yields what it waits for: a `Request` to the backend, or anything with `poll()`, `result()`,
`cancel()` and `progress`. Between two yields it runs on the main thread and may touch the scene. The same generator
runs beside the interface (`start`) and to its end at once (`run`, as in background mode), so both ways do the same.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

import bpy
import numpy as np

from .client import shared
from .client.errors import BackendError
from .client.shared import shared_backend
from .steps import Step

logger = logging.getLogger("synctalk")

TICK_S = 0.1


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
"""A job's generator; what it returns is the sentence that tells its success."""


class Job:
    """One piece of long work and how far it is.

    Attributes:
        fraction: of the whole, in [0, 1]; None until it can be told.
        eta_s: seconds left, counting down between two messages; None while it is not known.
        text: what is being done now.
        error: the sentence of a failure; empty while none.
    """

    def __init__(self, step: Step, title: str, work: Work, stages: dict[str, str] | None = None) -> None:
        self.step = step
        self.title = title
        self.stages = stages or {}
        """Words for people for the names of stages; a stage that is not here is shown by its name."""
        self.fraction: float | None = None
        self._ends_at: float | None = None
        self.text = ""
        self.message = ""
        self.warnings: list[str] = []
        self.error = ""
        self.error_kind = ""
        self.cancelling = False
        self.finished = False
        self._work = work
        self._waits_for: Waitable | None = None
        self._taken: dict[str, Any] | None = None
        self._begun = time.monotonic()

    def begin(self) -> None:
        """Run to the first wait."""
        self._resume(lambda: next(self._work))

    def advance(self) -> None:
        """Take notice of what happened; never waits."""
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
            waited_for, self._waits_for = self._waits_for, None
            try:
                result = waited_for.result()
            except Exception as error:  # noqa: BLE001 (the generator may clean up, or mend it)
                failure = error
                self._resume(lambda: self._work.throw(failure))
            else:
                self._resume(lambda: self._work.send(result))

    def cancel(self) -> None:
        """Ask it to stop; it ends, as soon as its part has stopped, with the kind `cancelled`."""
        self.cancelling = True
        if self._waits_for is not None:
            self._waits_for.cancel()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._begun

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
        return shared_backend().submit(
            request.method,
            request.params,
            on_log=self._take_log,
            on_preview=lambda params: _show_preview(params["path"]),
        )

    def _fail(self, error: Exception) -> None:
        self.finished = True
        self.error_kind = getattr(error, "kind", "")
        self.error = str(error)
        if not self.error_kind:  # not one of the errors that are the user's business
            logger.error("%s failed:\n%s", self.title, "".join(traceback.format_exception(error)))
            what = f"{type(error).__name__}: {error}"
            self.error = f"{self.title} failed with a defect of the add-on ({what}): copy the details and report it."

    def _take_log(self, params: dict[str, Any]) -> None:
        if params["level"] == "warning":
            self.warnings.append(params["text"])

    @property
    def eta_s(self) -> float | None:
        left = None if self._ends_at is None else self._ends_at - time.monotonic()
        return left if left is not None and left > 0 else None  # overdue: no time is better than a wrong one

    def _take_progress(self, progress: dict[str, Any]) -> None:
        if progress is self._taken:
            return
        self._taken = progress
        done, total, name = progress["done"], progress["total"], progress["stage"]
        part = min(1.0, max(0.0, done / total)) if total else None
        eta_s = progress["eta_s"]
        self._ends_at = None if eta_s is None else time.monotonic() + eta_s
        self.message = progress["message"]
        plain = name.replace("_", " ").capitalize()
        self.text = self.stages.get(name, plain) if self.stages else self.message or plain
        # Of the whole job where the backend knows it; of a job of one part that part is the whole.
        whole = progress.get("fraction")
        if whole is not None:
            self.fraction = max(self.fraction or 0.0, whole)
        elif not self.stages:
            self.fraction = part


class _Runtime:
    """What runs now and what went wrong: of this Blender, not of the file."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.errors: dict[Step, str] = {}
        self.notes: dict[Step, str] = {}
        self.warnings: dict[Step, list[str]] = {}
        self.models: list[dict[str, Any]] | None = None
        self.previews: Any = None
        self.preview_icon = 0


runtime = _Runtime()


def start(job: Job) -> None:
    """Begin a job beside the interface; its end is seen in `runtime`.

    Raises:
        BackendError: of kind `busy`, when another runs.
    """
    _claim(job)
    job.begin()
    _end(job)
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)


def run(job: Job, report: Callable[[Job], None] | None = None) -> str:
    """Do a job to its end, here and now, and return its sentence; for background mode and scripts.

    Args:
        report: called about ten times a second; None prints a line for each stage and each tenth of it.

    Raises:
        BackendError: it failed, was cancelled, or another runs.
    """
    report = report or _Printer()
    _claim(job)
    job.begin()
    try:
        while not job.finished:
            job.advance()
            report(job)
            time.sleep(0.02)
    except KeyboardInterrupt:
        job.cancel()
        raise
    finally:
        _settle(job)
        runtime.job = None
    if job.error:
        raise BackendError(job.error, job.error_kind or "defect")
    return job.text


def cancel() -> None:
    """Cancel the job that runs, if one does."""
    if runtime.job is not None:
        runtime.job.cancel()


def forget_messages() -> None:
    """Another file was opened: what was said about the last one is over. A running job runs on."""
    runtime.errors.clear()
    runtime.notes.clear()
    runtime.warnings.clear()


def forget_notes() -> None:
    """Something was undone or done again: what was said of the scene may no longer be so."""
    for step in (Step.TRACK, Step.SPEAK, Step.COMPOSITE):
        runtime.notes.pop(step, None)


def register() -> None:
    from bpy.utils import previews

    runtime.previews = previews.new()


def unregister() -> None:
    from bpy.utils import previews

    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    cancel()
    runtime.job = None
    shared.close_shared_backend()
    previews.remove(runtime.previews)
    runtime.previews = None


def redraw() -> None:
    """Draw the panels anew."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _claim(job: Job) -> None:
    if runtime.job is not None:
        raise BackendError(f"{runtime.job.title} is under way: wait for it, or cancel it.", "busy")
    runtime.job = job
    for messages in (runtime.errors, runtime.notes, runtime.warnings):
        messages.pop(job.step, None)


def _settle(job: Job) -> None:
    """Keep what a finished job has to say."""
    if not job.finished:
        return
    runtime.job = None
    if job.warnings:
        runtime.warnings[job.step] = job.warnings
    if job.error_kind == "cancelled":
        runtime.notes[job.step] = "Cancelled. What was finished is kept, and the next run goes on from it."
    elif job.error:
        runtime.errors[job.step] = job.error
    else:
        runtime.notes[job.step] = job.text


def _end(job: Job) -> None:
    """Settle a job beside the interface that has finished: what it did to the scene becomes one step of the undo history."""
    if not job.finished:
        return
    _settle(job)
    if not job.error:
        push_undo(f"SyncTalk: {job.title}")
    elif job.error_kind != "cancelled":
        print(f"Error: {job.error}", file=sys.stderr, flush=True)


def push_undo(message: str) -> None:
    """End a step of the undo history here."""
    bpy.ops.ed.undo_push(message=message)


def _tick() -> float | None:
    job = runtime.job
    if job is not None:
        job.advance()
        _end(job)
    redraw()
    return TICK_S if runtime.job is not None else None


def _show_preview(path: str) -> None:
    if runtime.previews is None or bpy.app.background:
        return
    try:
        image = bpy.data.images.load(path)
    except RuntimeError as error:
        logger.warning("the preview %s cannot be shown: %s", path, error)
        return
    width, height = image.size
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    # A preview is drawn square: of a wide contact sheet, as many pictures as fill the square.
    side = min(width, height)
    square = np.ones((side, side, 4), np.float32)
    square[..., : image.channels] = pixels.reshape(height, width, image.channels)[:side, :side]
    bpy.data.images.remove(image)
    runtime.previews.clear()
    preview = runtime.previews.new(f"preview {time.monotonic()}")
    preview.image_size = (side, side)
    preview.image_pixels_float.foreach_set(square.ravel())
    runtime.preview_icon = preview.icon_id


class _Printer:
    """Tells a job's progress on stdout, a line for each stage and each tenth of the whole."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    def __call__(self, job: Job) -> None:
        tenth = -1 if job.fraction is None else int(job.fraction * 10)
        mark = (job.text if job.stages else "", tenth)
        if mark == self._last or not job.text:
            return
        self._last = mark
        percent = "" if job.fraction is None else f" {job.fraction:4.0%}"
        left = "" if job.eta_s is None else f", {words_of_duration(job.eta_s)} left"
        print(f"SyncTalk{percent} {job.title}: {job.text}{left}", flush=True)


def words_of_duration(seconds: float) -> str:
    """Seconds as people say them: `48 s`, `3 min`, `2 h 10 min`."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 600:
        return f"{seconds // 60} min {seconds % 60 // 10 * 10:02d} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
