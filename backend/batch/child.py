"""A command that runs as a batch's job: it writes its progress to a file, and stops when its parent asks or has died."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..progress import Progress

VARIABLE = "SYNCTALK_JOB"
"""Names the progress file, in the environment of a job."""

CANCEL = b"c"
"""What asks it to stop, on its stdin; the end of its stdin is its parent's death."""

_EVERY_S = 1.0


def follow(stop: threading.Event) -> Callable[[Progress], None]:
    """Set `stop` when the parent asks for it, end this process when the parent has died; what takes the progress.

    The progress file holds `stage`, `fraction` and `left_s`.

    The variable is taken out of the environment: a program that the command starts is no job.
    """
    place = Path(os.environ.pop(VARIABLE))
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    written = -_EVERY_S

    def write(event: Progress) -> None:
        nonlocal written
        if time.monotonic() - written >= _EVERY_S:
            written = time.monotonic()
            shown = {"stage": str(event.stage), "fraction": event.fraction, "left_s": event.eta_s}
            _replace(place, json.dumps(shown))

    return write


def _watch(stop: threading.Event) -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock a thread must not hold when the interpreter ends
        stop.set()
    os._exit(1)  # every file is complete: written to a temporary name, then renamed


def _replace(place: Path, text: str) -> None:
    """Without `atomic_path`: a progress that cannot be written is no error of the command."""
    temporary = place.with_suffix(".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, place)
    except OSError:
        return
