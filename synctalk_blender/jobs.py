"""Runs jobs beside Blender's event loop: one at a time, advanced by one timer, so undo and file load do no harm.

The same job runs beside the interface (`start`) and to its end at once (`run`, as in background mode).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import bpy

from . import previews, views
from .client.errors import BackendError
from .client.shared import close_shared_backend
from .job import Job
from .steps import Errand, Step
from .verification import Verification

TICK_S = 0.1


class _Runtime:
    """What runs now and the messages of what ran: of this Blender, not of the file."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.errors: dict[Step | Errand, str] = {}
        self.notes: dict[Step | Errand, str] = {}
        self.warnings: dict[Step | Errand, list[str]] = {}
        self.models: list[dict[str, Any]] | None = None
        self.verified: Verification | None = None


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
        report: called many times a second; None prints a line for each stage and each tenth of the job.

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


def is_rig_read() -> bool:
    """Whether the job that runs reads the rig now, so that nothing else is to be written onto it."""
    return runtime.job is not None and runtime.job.reads_rig


@contextlib.contextmanager
def reading_rig() -> Iterator[None]:
    """For the job that runs: it reads the rig until the block ends."""
    job = runtime.job
    if job is not None:
        job.reads_rig = True
    try:
        yield
    finally:
        if job is not None:
            job.reads_rig = False


def set_note(step: Step, text: str) -> None:
    """Show `text` in the panel of the step in place of its last note; empty for none."""
    runtime.notes.pop(step, None)
    if text:
        runtime.notes[step] = text


def forget_messages() -> None:
    """Another file was opened: messages about the last one are dropped. A running job runs on."""
    for messages in (runtime.errors, runtime.notes, runtime.warnings):
        messages.clear()


def _forget_messages_of(step: Step | Errand) -> None:
    for messages in (runtime.errors, runtime.notes, runtime.warnings):
        messages.pop(step, None)


def forget_notes() -> None:
    """Something was undone or redone: notes about the scene may be outdated."""
    for step in (Step.TRACK, Step.SPEAK, Step.COMPOSITE):
        set_note(step, "")


def register() -> None:
    previews.register()


def unregister() -> None:
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    cancel()
    runtime.job = None
    close_shared_backend()
    previews.unregister()


def _claim(job: Job) -> None:
    if runtime.job is not None:
        raise BackendError(f"{runtime.job.title} is running: wait for it, or cancel it.", "busy")
    runtime.job = job
    if not job.quiet:
        _forget_messages_of(job.step)


def _settle(job: Job) -> None:
    """Keep the messages of a finished job."""
    if not job.finished:
        return
    runtime.job = None
    _forget_messages_of(job.step)
    if job.warnings:
        runtime.warnings[job.step] = job.warnings
    if job.error_kind == "cancelled":
        runtime.notes[job.step] = "Cancelled. Finished work is kept, and the next run resumes from it."
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
    views.redraw_sidebars()
    return TICK_S if runtime.job is not None else None


class _Printer:
    """Prints a job's progress: a line for each stage and each tenth of the job."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    def __call__(self, job: Job) -> None:
        tenth = -1 if job.fraction is None else int(job.fraction * 10)
        mark = (job.text if job.stages else "", tenth)
        if mark == self._last or not job.text:
            return
        self._last = mark
        percent = "" if job.fraction is None else f" {job.fraction:4.0%}"
        left = f", {job.time_left}" if job.time_left else ""
        print(f"SyncTalk{percent} {job.title}: {job.text}{left}", flush=True)
