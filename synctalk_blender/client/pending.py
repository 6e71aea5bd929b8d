"""A request that waits for its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .errors import BackendError

Callback = Callable[[dict[str, Any]], None]


class Pending:
    """A request in progress. All methods return at once, except `result`.

    Args:
        notify: sends a notification to the backend.
        callbacks: by the name of a notification, called with its params when the process is pumped.
    """

    def __init__(
        self,
        request_id: int,
        method: str,
        notify: Callable[[str, dict[str, Any]], None],
        callbacks: dict[str, Callback | None],
    ) -> None:
        self.id = request_id
        self.method = method
        self.callbacks = callbacks
        self.progress: dict[str, Any] | None = None
        """Params of the latest `progress` notification."""
        self.cancelling = False
        self.ticks_since_cancel = 0
        self._notify = notify
        self._finished = threading.Event()
        self._result: Any = None
        self._error: BackendError | None = None

    def poll(self) -> bool:
        """Whether it has ended, well or not. Notifications that came before the end can then be pumped."""
        return self._finished.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended, no longer than that; whether it has."""
        return self._finished.wait(timeout_s)

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the answer.

        Raises:
            BackendError: the request failed, or (`timeout`) no answer came within `timeout_s`.
        """
        if not self._finished.wait(timeout_s):
            raise BackendError(
                f"The backend did not answer “{self.method}” within {timeout_s:g} s: try again, "
                "or restart it in the Backend panel.",
                "timeout",
            )
        if self._error is not None:
            raise self._error.again()
        return self._result

    def cancel(self) -> None:
        """Ask the backend to stop this request; one that does not within the grace time is ended."""
        if not self.cancelling and not self.poll():
            self.cancelling = True
            self._notify("cancel", {"job": self.id})

    def succeed(self, result: Any) -> None:
        """Called by the process's reader."""
        self._result = result
        self._finished.set()

    def fail(self, error: BackendError) -> None:
        """Called by the process's threads."""
        if not self._finished.is_set():
            self._error = error
            self._finished.set()
