"""Installation progress as a user sees it: one moving line on a terminal, a line a step elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from typing import TextIO

from .progress import Progress, megabytes

_BAR = 24


def follow(title: str, events: Iterable[Progress], stream: TextIO | None = None) -> None:
    """Run through `events`, showing each under `title`; an error passes through with the line ended."""
    shown = _Line(title, stream or sys.stderr)
    try:
        for event in events:
            shown.show(event)
    finally:
        shown.end()


def duration(seconds: float) -> str:
    """`48 s`, `3 min 05 s`: the backend's, by its name at run time, for in the extension it has another full name."""
    return import_module("backend.protocol").format_duration(seconds)


class _Line:
    def __init__(self, title: str, stream: TextIO) -> None:
        self._title, self._stream = title, stream
        self._moving = stream.isatty()
        self._started = time.monotonic()
        self._last, self._last_time = "", 0.0
        self._open = False

    def show(self, event: Progress) -> None:
        since = time.monotonic() - self._last_time
        if self._moving:
            if event.state == "ready" or since >= 0.1:
                self._draw(event)
        elif event.state != "download" or since > 2:
            self._log(event)

    def end(self) -> None:
        if self._open:
            self._write("\n")
            self._open = False

    def _draw(self, event: Progress) -> None:
        filled = int(_BAR * event.fraction)
        bar = f"[{'#' * filled}{'.' * (_BAR - filled)}] {_words(event)}"
        width = shutil.get_terminal_size().columns - 1
        text = f"{self._title} {self._finished(event) if event.state == 'ready' else bar}"
        self._write("\r" + text[:width].ljust(width))
        self._open = True

    def _log(self, event: Progress) -> None:
        """A line for each step, and for each large package: a log file needs no more."""
        text = _words(event) if event.state in ("prepare", "check", "compile") else f"{event.state} {event.message}"
        text = self._finished(event) if event.state == "ready" else text
        if text != self._last:
            self._last = text
            self._write(f"{self._title} {text}\n")

    def _write(self, text: str) -> None:
        self._last_time = time.monotonic()
        self._stream.write(text)
        self._stream.flush()

    def _finished(self, event: Progress) -> str:
        elapsed = time.monotonic() - self._started
        return event.message + (f" ({duration(elapsed)})" if elapsed >= 1 else "")


def _words(event: Progress) -> str:
    if event.state == "download" and event.total:
        amount = f"{megabytes(event.bytes_done)} of {megabytes(event.bytes_total)}"
        return f"downloading {event.message}, {amount}"
    if event.state == "install" and event.total:
        return f"{event.done} of {event.total} packages: {event.message}"
    return event.message
