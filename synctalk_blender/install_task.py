"""The installer on a thread beside Blender's event loop, waited for like a request to the backend. No `bpy` here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..install import backend_environment


class InstallTask:
    """`backend_environment.create` on its own thread; a `job.Waitable`.

    Args:
        root: the folder that is to hold the environment.
        device: `cpu` or `cuda`.
        create: what installs; replaced by tests.
        former: a folder whose environment, if it was never finished, is deleted after a success.
    """

    def __init__(
        self,
        root: Path,
        device: str,
        create: Callable[..., Path] = backend_environment.create,
        former: Path | None = None,
    ) -> None:
        self.removed: Path | None = None
        """The unfinished environment that was deleted."""
        self.progress: dict[str, Any] | None = None
        self._cancelled = threading.Event()
        self._error: Exception | None = None
        self._python: Path | None = None
        self._begun = time.monotonic()

        def work() -> None:
            try:
                self._python = create(root, device, report=self._report, cancelled=self._cancelled.is_set)
                if former is not None and former != root:
                    self.removed = backend_environment.remove_unfinished(former)
            except Exception as error:  # noqa: BLE001 (raised where the result is read)
                self._error = error

        self._thread = threading.Thread(target=work, name="synctalk install", daemon=True)
        self._thread.start()

    def poll(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def result(self) -> Path:
        """The environment's Python.

        Raises:
            install.errors.InstallError: what went wrong, as a sentence.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._python is not None
        return self._python

    def cancel(self) -> None:
        """Stop it; downloads are kept, and the next run resumes from them."""
        self._cancelled.set()

    def _report(self, event: Any) -> None:
        elapsed = time.monotonic() - self._begun
        # An early pace means little: most of a run from pip's cache is unpacking.
        eta = elapsed / event.fraction - elapsed if event.fraction > 0.05 and elapsed > 5 else None
        self.progress = {
            "stage": event.state,
            "done": event.fraction,
            "total": 1.0,
            "unit": "",
            "message": f"{event.state.capitalize()}: {event.message}" if event.message else event.state.capitalize(),
            "eta_s": eta,
            "elapsed_s": elapsed,
        }
