"""`serve`: JSON-RPC for Blender over stdin and stdout (docs/protocol.md). Transport alone: the commands do the work.

This thread reads requests and answers the quick ones; others run long jobs one after the other, render the newest
`frame` request, and import PyTorch. Stdout is for messages only: what a library prints goes to stderr.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from . import __version__, protocol
from .commands import VERBS, Verb
from .commands.option import from_params, option, to_json
from .errors import Cancelled, ProtocolError, SyncTalkError
from .estimate import user_history
from .progress import Progress, Reporter

if TYPE_CHECKING:
    from .commands.capture.live_service import LiveService

JOBS = (
    "process", "train", "speak", "render", "evaluate", "measure", "footage", "mattes", "sign", "verify", "models.fetch",
    "capture.import", "capture.video",
)  # fmt: skip
"""Requests that run a command as a long job, with the command's options as params."""

LIVE = ("live.start", "live.stop", "live.state", "live.record", "live.keep")
"""Requests of a face that comes while it moves: `commands.capture.live_service` answers them."""


@dataclasses.dataclass
class _Job:
    id: int
    method: str
    params: dict[str, Any]
    work: Callable[[Reporter], Any] = lambda reporter: {}
    cancelled: threading.Event = dataclasses.field(default_factory=threading.Event)


@dataclasses.dataclass(frozen=True)
class _HelloOptions:
    protocol: int = option("version of the client's side")
    client: str = option("the client's name, for a log", "")


class Server:
    """One connection. `run` returns when the input ends or `shutdown` is asked for."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader, self._writer = reader, writer
        self._send_lock = threading.Lock()
        self._jobs: dict[int, _Job] = {}
        self._queue: queue.Queue[_Job | None] = queue.Queue()
        self._frame: _Job | None = None
        self._frame_ready = threading.Condition()
        self._preparation = _Preparation()
        self._live: LiveService | None = None
        self._live_lock = threading.Lock()
        self._closing = False

    def run(self) -> None:
        """Serve until the input ends."""
        workers = [threading.Thread(target=self._work, daemon=True), threading.Thread(target=self._draw, daemon=True)]
        for worker in workers:
            worker.start()
        while not self._closing:
            line = self._reader.readline(protocol.MAX_LINE_BYTES + 1)
            if not line:
                break
            if len(line) > protocol.MAX_LINE_BYTES:
                self._send(protocol.error_response(None, protocol.PARSE_ERROR, "The message is too long."))
                break
            self._receive(line)
        self._closing = True
        for job in list(self._jobs.values()):
            job.cancelled.set()
        self._queue.put(None)
        with self._frame_ready:
            self._frame_ready.notify_all()
        workers[0].join(timeout=10)  # a stage leaves its files complete when it sees the cancel request

    # -- receiving --------------------------------------------------------------------------------------------------

    def _receive(self, line: bytes) -> None:
        try:
            message = protocol.decode(line)
        except protocol.MessageError as error:
            self._send(protocol.error_response(None, protocol.PARSE_ERROR, f"A message could not be read: {error}."))
            return
        method, params, request_id = message.get("method"), message.get("params", {}), message.get("id")
        if not isinstance(method, str) or not isinstance(params, dict) or not isinstance(request_id, int | None):
            self._send(protocol.error_response(None, protocol.INVALID_REQUEST, "A message is not a JSON-RPC request."))
            return
        if method == "cancel":
            job = self._jobs.get(params.get("job", 0))
            if job:
                job.cancelled.set()
        elif request_id is not None:
            job = _Job(request_id, method, params)
            try:
                self._accept(job)
            except ProtocolError as error:
                self._fail(job, error)

    def _accept(self, job: _Job) -> None:
        """Answer a request, or hand it to the thread that will.

        Raises:
            ProtocolError: its params are not what the method takes.
        """
        if job.method in JOBS:
            command = _verb(job.method).load()
            options = from_params(command.Options, job.params, job.method)
            job.work = lambda reporter: to_json(command.run(options, reporter))
            self._jobs[job.id] = job
            self._queue.put(job)
        elif job.method == "frame":
            self._accept_frame(job)
        elif job.method == "hello":
            self._answer(job, lambda: _hello(from_params(_HelloOptions, job.params, job.method)))
        elif job.method == "device":  # on a separate thread: it waits for PyTorch
            threading.Thread(target=self._answer, args=(job, self._device), daemon=True).start()
        elif job.method == "models.list":
            command = _verb(job.method).load()
            self._answer(job, lambda: to_json(command.run(command.Options(), Reporter())))
        elif job.method in LIVE:
            if job.method == "live.state" and self._live is not None:
                self._answer(job, partial(self._live.answer, job.method, job.params))
            else:  # on a separate thread: opening a camera takes a second, and the first waits for imports
                threading.Thread(target=self._answer, args=(job, partial(self._answer_live, job)), daemon=True).start()
        elif job.method == "ping":
            self._answer(job, dict)
        elif job.method == "shutdown":
            self._answer(job, dict)
            self._closing = True
        else:
            text = f"There is no method {job.method}."
            self._send(protocol.error_response(job.id, protocol.METHOD_NOT_FOUND, text))
            return
        self._preparation.begin()

    def _accept_frame(self, job: _Job) -> None:
        with self._frame_ready:
            if self._frame is not None:
                self._fail(self._frame, Cancelled("A newer frame was requested."))
            self._frame = job
            self._frame_ready.notify()

    # -- working ----------------------------------------------------------------------------------------------------

    def _device(self) -> dict[str, str]:
        self._preparation.imported.wait()
        try:
            from . import live

            return live.device()
        except (ImportError, OSError) as error:  # OSError: a library of PyTorch's that the system cannot load
            raise SyncTalkError(
                f"PyTorch cannot be loaded ({error}): remove the backend in the add-on's preferences, then install it again."
            ) from error

    def _answer_live(self, job: _Job) -> Any:
        self._preparation.imported.wait()
        with self._live_lock:
            if self._live is None:
                from .commands.capture.live_service import LiveService

                self._live = LiveService()
        return self._live.answer(job.method, job.params)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            while not self._preparation.imported.wait(0.1):
                if self._closing:
                    return
            self._answer(job, partial(self._run, job))
            self._jobs.pop(job.id, None)

    def _run(self, job: _Job) -> Any:
        reporter = self._reporter(job)
        reporter.check_cancelled(job.method)  # it may have been cancelled while it waited
        return job.work(reporter)

    def _draw(self) -> None:
        head: Any = None
        while True:
            with self._frame_ready:
                while self._frame is None and not self._closing:
                    self._frame_ready.wait()
                if self._closing:
                    return
                job, self._frame = self._frame, None
            assert job is not None
            reporter = self._reporter(job)
            if head is None:
                waiting = "half a minute, if this version has not compiled them yet"
                reporter.progress(protocol.Stage.RENDERER, 0, 1, "kernels", waiting)
                self._preparation.wait()
                from . import live

                head = live.LiveHead()
                reporter.progress(protocol.Stage.RENDERER, 1, 1, "kernels")
            self._answer(job, partial(_frame, head, job, reporter))

    def _reporter(self, job: _Job) -> Reporter:
        def progress(event: Progress) -> None:
            self._send(protocol.notification("progress", {"job": job.id, **dataclasses.asdict(event)}))

        def log(level: str, text: str) -> None:
            self._send(protocol.notification("log", {"job": job.id, "level": level, "text": text}))

        def preview(path: str) -> None:
            self._send(protocol.notification("preview", {"job": job.id, "path": path}))

        return Reporter(progress, log, preview, job.cancelled.is_set, history=user_history())

    # -- answering --------------------------------------------------------------------------------------------------

    def _answer(self, job: _Job, work: Callable[[], Any]) -> None:
        try:
            self._send(protocol.response(job.id, work()))
        except Exception as error:  # noqa: BLE001 (the error is this request's response)
            self._fail(job, error)

    def _fail(self, job: _Job, error: Exception) -> None:
        if isinstance(error, SyncTalkError):
            self._send(protocol.error_response(job.id, protocol.USER_ERROR, str(error), kind=error.kind))
            return
        trace = "".join(traceback.format_exception(error))
        print(trace, file=sys.stderr, flush=True)
        sentence = (
            f"The backend had an internal error ({type(error).__name__}: {error}): please report it with the log."
        )
        self._send(protocol.error_response(job.id, protocol.INTERNAL_ERROR, sentence, kind="error", traceback=trace))

    def _send(self, message: dict[str, Any]) -> None:
        data = protocol.encode(message)
        with self._send_lock:
            try:
                self._writer.write(data)
                self._writer.flush()
            except (BrokenPipeError, ValueError, OSError):
                self._closing = True  # Blender has exited


class _Preparation:
    """Imports PyTorch and reads the kernels on a thread; begun once `hello` is answered, which waits for neither."""

    def __init__(self) -> None:
        self.imported = threading.Event()
        """Set when the preparation imports nothing more, or has failed."""
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start, where it has not; called by the thread that reads requests."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait until the kernels are there too."""
        self.imported.wait()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            from . import live

            live.prepare(self.imported)
        except Exception:  # noqa: BLE001 (in no request yet: the first frame meets the same and answers with it)
            traceback.print_exc()
        finally:
            self.imported.set()


def _verb(method: str) -> Verb:
    """The command of a method such as `models.fetch`."""
    name, _, below = method.partition(".")
    return VERBS[name].verbs[below] if below else VERBS[name]


def _frame(head: Any, job: _Job, reporter: Reporter) -> dict[str, Any]:
    from .live import FrameOptions

    return to_json(head.render(from_params(FrameOptions, job.params, job.method), reporter))


def _hello(options: _HelloOptions) -> dict[str, Any]:
    if options.protocol != protocol.VERSION:
        raise ProtocolError(
            f"The add-on uses protocol {options.protocol} and this backend {protocol.VERSION}: install the "
            "backend again in the Backend panel."
        )
    return {
        "protocol": protocol.VERSION,
        "backend": __version__,
        "python": sys.version.split()[0],
        "torch": _torch_version(),
        "pid": os.getpid(),
    }


def _torch_version() -> str:
    """The installed version, without importing it; empty where it is missing, which `device` reports."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def serve() -> None:
    """Serve the process's own stdin and stdout."""
    writer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a print, in Python or in a C library, must not land between the messages
    sys.stdout = sys.stderr
    Server(os.fdopen(os.dup(0), "rb"), writer).run()
    # Worker threads may sit in native code; everything on disk is complete at any moment, so leave at once.
    os._exit(0)
