"""A running backend: requests out, answers and notifications in.

Whatever the child does (it cannot be started, dies, hangs, stops reading, writes nonsense) ends in a `BackendError`,
whose text is one sentence for the user. No call but `request` waits for the child, and that one has a time limit.

    backend = shared_backend()
    readiness = backend.request("measure", {"workspace": folder})
    job = backend.submit("train", {...}, on_progress=show)      # then, from a timer: backend.pump(); job.poll()
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import threading
from pathlib import Path
from typing import Any

from ...backend import protocol
from . import checks
from .child import Child, start_thread
from .errors import BackendError, shortened
from .pending import Callback, Pending
from .watchdog import TICK_S, Limits, Watchdog

logger = logging.getLogger("synctalk")


class BackendProcess:
    """A backend and the requests to it; safe to use from several threads.

    Args:
        command: program and arguments.
        environment: of the child; None takes `child_environment()`.
        cwd: the child's working folder.

    Raises:
        BackendError: of kind `start`, when the program cannot be run.
    """

    def __init__(
        self,
        command: list[str],
        *,
        environment: dict[str, str] | None = None,
        cwd: str | Path | None = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
    ) -> None:
        self.hello: dict[str, Any] | None = None
        """The backend's answer to the last `hello`: its version and torch's."""
        self.device = ""
        """What heads are rendered on; empty until the backend has imported PyTorch and answered `device`."""
        self.kernel = ""
        """What renders the field there."""
        self.kernel_note = ""
        """Why the kernel that a user may add does not; empty where it does."""
        self.device_error = ""
        """Why `device` failed, as one sentence: heads can be neither trained nor rendered."""
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._pending: dict[int, Pending] = {}
        self._abandoned: set[int] = set()
        self._end: BackendError | None = None
        # Bounded, so the backend cannot fill the memory while nothing reads.
        self._inbox: collections.deque[tuple[Callback, dict[str, Any]]] = collections.deque(maxlen=1000)
        self._stopped = threading.Event()
        self._watchdog = Watchdog(limits)
        self._child = Child(command, environment, cwd)
        self._child.read(protocol.MAX_LINE_BYTES + 1, self._take_line, self._take_end)
        start_thread(self._watch)

    # -- the caller's side --------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether requests can be sent."""
        return self._end is None

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def error(self) -> BackendError | None:
        """Why it ended; None while it runs, and after `close`."""
        return self._end if self._end is not None and self._end.kind != "closed" else None

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr, for a bug report."""
        return self._child.last_words

    def request(self, method: str, params: dict[str, Any] | None = None, *, timeout_s: float | None = 30.0) -> Any:
        """Send a request and wait for its answer.

        Raises:
            BackendError: the backend answered with an error, ended, or (`timeout`) did not answer in time.
        """
        pending = self.submit(method, params)
        try:
            return pending.result(timeout_s)
        except BackendError as error:
            if error.kind == "timeout" and not pending.poll():
                with self._lock:
                    if self._pending.pop(pending.id, None):
                        self._abandoned.add(pending.id)  # its answer may still come, and then is not nonsense
                self.notify("cancel", {"job": pending.id})
            raise

    def submit(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        on_progress: Callback | None = None,
        on_log: Callback | None = None,
        on_preview: Callback | None = None,
    ) -> Pending:
        """Send a request and return at once. Callbacks get a notification's params, from `pump`.

        Raises:
            BackendError: the backend has ended, or `params` are not JSON.
        """
        callbacks = {"progress": on_progress, "log": on_log, "preview": on_preview}
        pending = Pending(next(self._ids), method, self.notify, callbacks)
        try:
            line = protocol.encode(protocol.request(pending.id, method, params or {}))
        except (TypeError, ValueError) as error:
            raise BackendError(f"“{method}” has an invalid value ({error}): report this as a bug.") from error
        with self._lock:
            if self._end is not None:
                raise self._end.again()
            if not self._pending:
                self._watchdog.rest()
            self._pending[pending.id] = pending
        self._child.send(line)
        return pending

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification; one to a backend that has ended is dropped."""
        self._child.send(protocol.encode(protocol.notification(method, params)))

    def pump(self) -> None:
        """Call the callbacks of the notifications that have come, on this thread."""
        while self._inbox:
            callback, params = self._inbox.popleft()
            callback(params)

    def close(self, timeout_s: float = 3.0) -> None:
        """Ask it to end, wait up to `timeout_s`, then kill it. Requests in progress fail with kind `closed`."""
        if self._end is None:
            with contextlib.suppress(BackendError):
                self.submit("shutdown")
        self._finish(BackendError("The backend was closed.", "closed"), kill=False)
        self._child.finish_input()
        if not self._child.wait(timeout_s):
            self._child.kill()

    # -- threads ------------------------------------------------------------------------------------------------

    def _take_line(self, line: bytes) -> bool:
        self._watchdog.heard()
        if self._end is not None:
            return True  # closing: its output is ignored
        try:
            if len(line) > protocol.MAX_LINE_BYTES:
                raise protocol.MessageError("a line without end")
            self._receive(protocol.decode(line))
        except protocol.MessageError as error:
            logger.error("the backend wrote %r: %s", line[:200], error)
            self._finish(
                BackendError(
                    f"The backend sent an invalid reply ({shortened(str(error))}) and was stopped: try "
                    "again; if it recurs, install the backend again in the Backend panel.",
                    "nonsense",
                )
            )
            return False
        return True

    def _take_end(self) -> None:
        if self._end is None:
            self._finish(self._death())

    def _watch(self) -> None:
        exited = False
        while not self._stopped.wait(TICK_S):
            if exited:  # and stdout's end has not come for a tick: a grandchild holds the pipe open
                self._finish(self._death())
                return
            exited = self._child.poll() is not None
            with self._lock:
                waiting = list(self._pending.values())
            failure = self._watchdog.tick(waiting)
            if failure is not None:
                self._finish(failure)
            elif waiting and self._watchdog.wants_ping:
                with self._lock:
                    ping_id = next(self._ids)
                    self._abandoned.add(ping_id)
                self._child.send(protocol.encode(protocol.request(ping_id, "ping", {})))

    # -- messages -----------------------------------------------------------------------------------------------

    def _receive(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._receive_notification(message["method"], message.get("params", {}))
        else:
            self._receive_response(message)

    def _receive_notification(self, method: str, params: dict[str, Any]) -> None:
        checks.check_notification(method, params)
        if method == "log":
            logger.log(logging.WARNING if params["level"] == "warning" else logging.INFO, "%s", params["text"])
        with self._lock:
            pending = self._pending.get(params.get("job", 0))
        if pending is None:
            return
        if method == "progress":
            pending.progress = params
        callback = pending.callbacks.get(method)
        if callback is not None:
            self._inbox.append((callback, params))

    def _receive_response(self, message: dict[str, Any]) -> None:
        request_id = checks.response_id(message)
        with self._lock:
            pending = self._pending.get(request_id)
            if pending is None and request_id not in self._abandoned:
                raise protocol.MessageError(f"an answer to the unknown request {request_id}")
            self._abandoned.discard(request_id)
        if pending is None:
            return
        failure = _error_of(message) if "error" in message else None
        if failure is None:
            checks.check_result(pending.method, message["result"])
            if pending.method == "hello":
                self._greet(message["result"])
            elif pending.method == "device":
                answer = message["result"]
                self.device, self.kernel, self.device_error = answer["device"], answer["kernel"], ""
                self.kernel_note = str(answer.get("note", ""))
        elif pending.method == "device":
            self.device_error = str(failure)
        with self._lock:
            self._pending.pop(request_id, None)
        if failure is not None:
            pending.fail(failure)
        else:
            pending.succeed(message["result"])

    def _greet(self, hello: dict[str, Any]) -> None:
        if hello["protocol"] != protocol.VERSION:
            self._finish(
                BackendError(
                    f"Backend and add-on have different versions (protocol {hello['protocol']} and "
                    f"{protocol.VERSION}): install the backend again in the Backend panel.",
                    "protocol",
                )
            )
        self.hello = hello

    # -- the end ------------------------------------------------------------------------------------------------

    def _death(self) -> BackendError:
        with self._lock:
            starting = self._watchdog.is_starting(list(self._pending.values()))
        how = self._child.exit_in_words()
        if how is None:
            message = "The backend closed its output and was stopped: try again; finished work is kept."
        elif starting:
            message = f"The backend ended unexpectedly ({how}) while starting: install it again in the Backend panel."
        else:
            message = f"The backend ended unexpectedly ({how}): try again, which restarts it; finished work is kept."
        return BackendError(message, "died")

    def _finish(self, error: BackendError, *, kill: bool = True) -> None:
        with self._lock:
            if self._end is not None:
                return
            self._end = error
            pending, self._pending = list(self._pending.values()), {}
        self._stopped.set()
        if kill:
            self._child.kill()
            self._child.finish_input()
        for request in pending:
            request.fail(error)


def _error_of(message: dict[str, Any]) -> BackendError:
    error = checks.error_of(message)
    if error["traceback"]:
        logger.error("%s\n%s", error["message"], error["traceback"])
    default = "error" if error["code"] == protocol.USER_ERROR else "defect"
    return BackendError(error["message"], error["kind"] or default)
