"""The backend as a child process: requests out, answers and notifications in. No `bpy` here: any Python can test it.

Whatever the child does (it cannot be started, dies, hangs, stops reading, speaks nonsense) ends in a `BackendError`,
whose text is one sentence for the user. No call but `request` waits for the child, and that one has a time limit: each
pipe has a thread of its own (on Windows a pipe cannot be polled), and a minder thread notices a child that is silent.

    backend = shared_backend()
    info = backend.request("workspace.info", {"workspace": folder})
    job = backend.submit("train", {...}, on_progress=show)      # then, from a timer: backend.pump(); job.poll()
"""

from __future__ import annotations

import codecs
import collections
import contextlib
import itertools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..backend import protocol
from . import protocol_checks

logger = logging.getLogger("synctalk")

EXTENSION_ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT_VARIABLE = "SYNCTALK_BACKEND_PYTHON"

Callback = Callable[[dict[str, Any]], None]


class BackendError(Exception):
    """What went wrong with a request, as one sentence to show.

    Attributes:
        kind: `cancelled`; one of the backend's own (docs/protocol.md: `media face audio workspace storage model consent
            protocol error`); `defect` for a bug in the backend; or what befell the process: `missing` (not installed),
            `start`, `died`, `hangs`, `nonsense`, `timeout`, `closed`.
    """

    def __init__(self, message: str, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind

    def again(self) -> BackendError:
        """A fresh exception of the same text: one that is raised over and over would collect tracebacks without end."""
        return BackendError(str(self), self.kind)


class Pending:
    """A request under way. All methods return at once, except `result`."""

    def __init__(
        self, process: BackendProcess, request_id: int, method: str, callbacks: dict[str, Callback | None]
    ) -> None:
        self.id = request_id
        self.method = method
        self.progress: dict[str, Any] | None = None
        """Params of the latest `progress` notification."""
        self.cancelling = False
        self.callbacks = callbacks
        self.ticks_since_cancel = 0
        self._process = process
        self._finished = threading.Event()
        self._result: Any = None
        self._error: BackendError | None = None

    def poll(self) -> bool:
        """Whether it has ended, well or not. Notifications that came before the end can then be pumped."""
        return self._finished.is_set()

    def result(self, timeout_s: float | None = None) -> Any:
        """The answer; waits for it.

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
        """Ask the backend to stop this request; a backend that has not after the grace time is ended."""
        if not self.cancelling and not self.poll():
            self.cancelling = True
            self._process.notify("cancel", {"job": self.id})

    def succeed(self, result: Any) -> None:
        """Called by the process's reader."""
        self._result = result
        self._finished.set()

    def fail(self, error: BackendError) -> None:
        """Called by the process's threads."""
        if not self._finished.is_set():
            self._error = error
            self._finished.set()


class BackendProcess:
    """A running backend and the pipes to it; safe to use from several threads.

    Args:
        command: program and arguments.
        environment: of the child; None takes `child_environment()`.
        cwd: the child's working folder.
        start_within_s: how long the child may take to say its first word while a request waits.
        hang_after_s: how long it may then be silent, pings included, while a request waits.
        ping_every_s: the length of silence after which it is pinged.
        cancel_grace_s: how long a cancelled request may take to end before the child is killed.

    Raises:
        BackendError: of kind `start`, when the program cannot be run.
    """

    TICK_S = 0.25

    def __init__(
        self,
        command: list[str],
        *,
        environment: dict[str, str] | None = None,
        cwd: str | os.PathLike | None = None,
        start_within_s: float = 180.0,
        hang_after_s: float = 60.0,
        ping_every_s: float = 5.0,
        cancel_grace_s: float = 20.0,
    ) -> None:
        self.start_within_s = start_within_s
        self.hang_after_s = hang_after_s
        self.ping_every_s = ping_every_s
        self.cancel_grace_s = cancel_grace_s
        self.hello: dict[str, Any] | None = None
        """The backend's answer to the last `hello`: its version, torch's, the device."""
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._pending: dict[int, Pending] = {}
        self._abandoned: set[int] = set()
        self._end: BackendError | None = None
        self._spoke = False
        self._ticks_silent = 0
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Bounded, so that a backend that talks while nobody pumps cannot fill the memory.
        self._inbox: collections.deque[tuple[Callback, dict[str, Any]]] = collections.deque(maxlen=1000)
        self._stderr_tail: collections.deque[str] = collections.deque(maxlen=200)
        self._stopped = threading.Event()
        options: dict[str, Any] = {"start_new_session": True}  # so that its own children end with it, see _kill
        if os.name == "nt":
            options = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            self._child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=child_environment() if environment is None else environment,
                cwd=cwd,
                **options,
            )
        except OSError as error:
            raise BackendError(
                f"The backend cannot be started ({command[0]}: {error.strerror or error}): "
                "install it again in the Backend panel, or choose another Python in the preferences.",
                "start",
            ) from error
        self._stderr_thread = self._thread(self._read_stderr)
        self._thread(self._read_stdout)
        self._thread(self._write_stdin)
        self._thread(self._mind)

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
        """Why it is no longer alive; None while it is, and after `close`."""
        return self._end if self._end is not None and self._end.kind != "closed" else None

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr, for a bug report."""
        return "\n".join(self._stderr_tail)

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._pending)

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
        pending = Pending(self, next(self._ids), method, callbacks)
        try:
            line = protocol.encode(protocol.request(pending.id, method, params or {}))
        except (TypeError, ValueError) as error:
            raise BackendError(
                f"“{method}” was asked with values that cannot be sent ({error}): check them."
            ) from error
        with self._lock:
            if self._end is not None:
                raise self._end.again()
            if not self._pending:
                self._ticks_silent = 0
            self._pending[pending.id] = pending
        self._outbox.put(line)
        return pending

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification; one to a backend that has ended is dropped."""
        self._outbox.put(protocol.encode(protocol.notification(method, params)))

    def pump(self) -> None:
        """Call the callbacks of the notifications that have come, on this thread."""
        while self._inbox:
            callback, params = self._inbox.popleft()
            callback(params)

    def close(self, timeout_s: float = 3.0) -> None:
        """Ask it to end, wait up to `timeout_s`, then kill it. Requests under way fail with kind `closed`."""
        if self._end is None:
            with contextlib.suppress(BackendError):
                self.submit("shutdown")
        self._finish(BackendError("The backend was closed.", "closed"), kill=False)
        self._outbox.put(None)
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._kill()

    # -- threads ------------------------------------------------------------------------------------------------

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=f"synctalk {target.__name__}", daemon=True)
        thread.start()
        return thread

    def _write_stdin(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # Blender does not ignore this signal as `python` does: writing to a dead child would end Blender. Blocked
            # in this thread, the one that writes, it is an OSError.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        try:
            while (line := self._outbox.get()) is not None:
                self._child.stdin.write(line)
                self._child.stdin.flush()
        except (OSError, ValueError):
            pass  # it no longer reads: stdout's end, or the minder, says why
        with contextlib.suppress(OSError, ValueError):
            self._child.stdin.close()

    def _read_stdout(self) -> None:
        stdout = self._child.stdout
        while True:
            try:
                line = stdout.readline(protocol.MAX_LINE_BYTES + 1)
            except (OSError, ValueError):
                line = b""
            if not line:
                break
            self._spoke = True
            self._ticks_silent = 0
            if self._end is not None:
                continue  # closing: what it still says is no longer asked for
            try:
                if len(line) > protocol.MAX_LINE_BYTES:
                    raise protocol.MessageError("a line without end")
                self._receive(protocol.decode(line))
            except protocol.MessageError as error:
                logger.error("the backend wrote %r: %s", line[:200], error)
                self._finish(
                    BackendError(
                        f"The backend answered nonsense ({_shortened(str(error))}) and was ended: try again; "
                        "if it stays so, install the backend again in the Backend panel.",
                        "nonsense",
                    )
                )
                break
        if self._end is None:
            self._finish(self._death())
        with contextlib.suppress(OSError):
            stdout.close()

    def _read_stderr(self) -> None:
        # Read in pieces: a progress bar can write for ever without a newline.
        stderr, rest = self._child.stderr, ""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while piece := stderr.read1(8192):
            *lines, rest = (rest + decoder.decode(piece)).replace("\r", "\n").split("\n")
            rest = rest[-2000:]
            self._stderr_tail.extend(line for line in lines if line.strip())
        if rest.strip():
            self._stderr_tail.append(rest)
        stderr.close()

    def _mind(self) -> None:
        # Silence is counted in ticks, not read off a clock: a computer that slept is no backend that hung.
        ping_ticks = max(1, round(self.ping_every_s / self.TICK_S))
        exited = False
        while not self._stopped.wait(self.TICK_S):
            if exited:  # and stdout's end has not come for a tick: a grandchild holds the pipe open
                self._finish(self._death())
                return
            exited = self._child.poll() is not None
            with self._lock:
                waiting = list(self._pending.values())
            for pending in waiting:
                if pending.cancelling:
                    pending.ticks_since_cancel += 1
                    if pending.ticks_since_cancel * self.TICK_S > self.cancel_grace_s:
                        message = "Cancelled: the backend did not stop by itself and was ended. Finished work is kept."
                        self._finish(BackendError(message, "cancelled"))
                        return
            if not waiting:
                continue
            self._ticks_silent += 1
            limit_s = self.hang_after_s if self._spoke else self.start_within_s
            if self._ticks_silent * self.TICK_S > limit_s:
                message = (
                    f"The backend has not answered for {limit_s:.0f} s and was ended: try again; finished work is kept."
                    if self._spoke
                    else f"The backend did not start within {limit_s:.0f} s: try again, or install it again."
                )
                self._finish(BackendError(message, "hangs"))
                return
            if self._ticks_silent % ping_ticks == 0:
                with self._lock:
                    ping_id = next(self._ids)
                    self._abandoned.add(ping_id)
                self._outbox.put(protocol.encode(protocol.request(ping_id, "ping", {})))

    # -- messages -----------------------------------------------------------------------------------------------

    def _receive(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._receive_notification(message)
        else:
            self._receive_response(message)

    def _receive_notification(self, message: dict[str, Any]) -> None:
        method, params = message["method"], message.get("params", {})
        protocol_checks.check_notification(method, params)
        with self._lock:
            pending = self._pending.get(params.get("job"))
        if method == "log":
            logger.log(logging.WARNING if params["level"] == "warning" else logging.INFO, "%s", params["text"])
        if pending is None:
            return
        if method == "progress":
            pending.progress = params
        callback = pending.callbacks.get(method)
        if callback is not None:
            self._inbox.append((callback, params))

    def _receive_response(self, message: dict[str, Any]) -> None:
        request_id = protocol_checks.response_id(message)
        with self._lock:
            pending = self._pending.get(request_id)
            if pending is None and request_id not in self._abandoned:
                raise protocol.MessageError(f"an answer to request {request_id}, which was not asked")
            self._abandoned.discard(request_id)
        if pending is None:
            return
        if "error" in message:
            outcome: Any = self._error_of(protocol_checks.error_of(message))
        else:
            protocol_checks.check_result(pending.method, message["result"])
            outcome = message["result"]
            if pending.method == "hello":
                self._greet(outcome)
        with self._lock:
            self._pending.pop(request_id, None)
        pending.fail(outcome) if isinstance(outcome, BackendError) else pending.succeed(outcome)

    def _greet(self, hello: dict[str, Any]) -> None:
        if hello["protocol"] != protocol.VERSION:
            self._finish(
                BackendError(
                    f"The backend speaks protocol {hello['protocol']}, this add-on {protocol.VERSION}: "
                    "install the backend again in the Backend panel so that both are of one version.",
                    "protocol",
                )
            )
        self.hello = hello

    def _error_of(self, error: dict[str, Any]) -> BackendError:
        if error["traceback"]:
            logger.error("%s\n%s", error["message"], error["traceback"])
        default = "error" if error["code"] == protocol.USER_ERROR else "defect"
        return BackendError(error["message"], error["kind"] or default)

    # -- the end ------------------------------------------------------------------------------------------------

    def _death(self) -> BackendError:
        try:
            code = self._child.wait(5.0)
        except subprocess.TimeoutExpired:
            return BackendError(
                "The backend closed its output and was ended: try again; finished work is kept.", "died"
            )
        self._stderr_thread.join(1.0)
        # A traceback's last line says what happened; who was killed was in the middle of something else.
        words = _shortened(self._stderr_tail[-1]) if self._stderr_tail and code >= 0 else ""
        how = _exit_in_words(code)
        what = f"The backend ended unexpectedly ({how}{': ' + words if words else ''})"
        if not self._spoke:
            return BackendError(f"{what} while starting: install it again in the Backend panel.", "died")
        return BackendError(f"{what}: try again; it is restarted, and finished work is kept.", "died")

    def _finish(self, error: BackendError, *, kill: bool = True) -> None:
        with self._lock:
            if self._end is not None:
                return
            self._end = error
            pending, self._pending = list(self._pending.values()), {}
        self._stopped.set()
        if kill:
            self._kill()
            self._outbox.put(None)
        for request in pending:
            request.fail(error)

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            if os.name == "nt":
                subprocess.run(
                    ["taskkill", "/F", "/T", "/PID", str(self._child.pid)],
                    check=False,
                    capture_output=True,
                    creationflags=subprocess.CREATE_NO_WINDOW,
                )
            else:
                os.killpg(self._child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            self._child.kill()
            self._child.wait(5.0)


def child_environment() -> dict[str, str]:
    """This process's environment without its Python's settings: those of Blender's Python would break the backend's."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("PYTHON")}
    return kept | {"PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1"}


# -- the one backend of this Blender ----------------------------------------------------------------------------

_shared: BackendProcess | None = None
_shared_lock = threading.Lock()


def backend_command() -> tuple[list[str], dict[str, str], Path]:
    """Command, environment and working folder of the backend.

    Its Python is the one that `SYNCTALK_BACKEND_PYTHON` names, else the preferences', else the one that “Install” made,
    else that of a development checkout.

    Raises:
        BackendError: of kind `missing`, when there is none.
    """
    python = backend_python()
    if python is None:
        raise BackendError("The backend is not installed: press Install in the Backend panel.", "missing")
    return [str(python), "-m", "backend", "serve"], child_environment(), EXTENSION_ROOT


def backend_python() -> Path | None:
    """The Python that `backend_command` would run; None when the backend is not installed."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named)
    from . import preferences  # needs bpy, which the rest of this module does without

    chosen = preferences.chosen_backend_python()
    if chosen is not None:
        return chosen
    from ..install import backend_environment

    root = preferences.environment_root()
    if backend_environment.state(root) in ("ready", "outdated"):
        return backend_environment.python_of(root)
    checkout = backend_environment.python_of(EXTENSION_ROOT / ".venvs")
    return checkout if checkout.exists() else None


def shared_backend(*, user_asked: bool = True) -> BackendProcess:
    """The one backend of this Blender, started when there is none; returns at once, before it has said anything.

    Args:
        user_asked: whether somebody did something that wants the backend. A redraw passes False: it does not restart a
            backend that has died (which may well die again), but raises the reason of its death.

    Raises:
        BackendError: it is not installed, cannot be started, or (`user_asked` False) has died.
    """
    global _shared
    with _shared_lock:
        if _shared is not None and not _shared.alive:
            if not user_asked and _shared.error is not None:
                raise _shared.error.again()
            _shared.close(0.0)
            _shared = None
        if _shared is None:
            command, environment, cwd = backend_command()
            _shared = BackendProcess(command, environment=environment, cwd=cwd)
            _shared.submit(
                "hello",
                {"protocol": protocol.VERSION, "client": f"blender-python-{sys.version_info[0]}.{sys.version_info[1]}"},
            )
        return _shared


def running_backend() -> BackendProcess | None:
    """The shared backend if there is one, dead or alive; starts nothing."""
    return _shared


def close_shared_backend(timeout_s: float = 3.0) -> None:
    """End the shared backend, if there is one."""
    global _shared
    with _shared_lock:
        if _shared is not None:
            _shared.close(timeout_s)
            _shared = None


def wait_for(pending: Pending, backend: BackendProcess, interval_s: float = 0.05) -> Any:
    """Wait for `pending` and pump meanwhile, as background mode does; a KeyboardInterrupt cancels it first.

    Raises:
        BackendError: the request failed.
    """
    try:
        while not pending.poll():
            backend.pump()
            time.sleep(interval_s)
    except KeyboardInterrupt:
        pending.cancel()
        raise
    backend.pump()
    return pending.result()


def _exit_in_words(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            reason = "out of memory or killed by somebody" if name == "SIGKILL" else "it crashed"
            return f"{name}, {reason}"
    return f"exit status {code}"


def _shortened(text: str, limit: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
