"""Read user media in a subprocess: native decoders can crash it.

`guarded` runs a function of a module there. Its progress, warnings, result, errors and the cancel request pass through
pipes; when the process dies, one sentence names which file, near which time, and what to do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import io
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import Cancelled, MediaError, SyncTalkError
from ..progress import Progress, Reporter
from . import read_position

CANCEL_GRACE_S = 5.0
"""Grace period of a cancelled reader to complete its files before it is killed, seconds."""

_POLL_S = 0.1
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from {module} import _serve; _serve()"
_CONVERT = "convert it to H.264 and AAC in an MP4 file"


def guarded(
    function: Callable[..., Any],
    *args: Any,
    reporter: Reporter | None = None,
    about: Path | None = None,
    folders: Sequence[Path] = (),
) -> Any:
    """Call a module's function in a reader process.

    Args:
        function: importable by name; arguments and result are pickled.
        reporter: of the cancel request, and given to the function where that takes a `reporter`.
        about: the file that is named when the process dies before it has opened one.
        folders: temporary files in them are removed when the process ends in the middle of its work.

    Raises:
        MediaError: the process died, or met an exception that is none of ours: the file, the time, what to do.
        SyncTalkError: what the function raised.
        Cancelled: the user asked to stop; the process has ended.
    """
    with contextlib.closing(_messages(function, args, reporter, about, folders)) as messages:
        for kind, value in messages:
            if kind == "result":
                return value
    raise AssertionError("a reader gives its result or an error")


def guarded_items(
    function: Callable[..., Iterator[Any]], *args: Any, reporter: Reporter | None = None, about: Path | None = None
) -> Generator[Any, None, None]:
    """Iterate in this process over what a module's generator yields in a reader process; as `guarded`."""
    with contextlib.closing(_messages(function, args, reporter, about, ())) as messages:
        for kind, value in messages:
            if kind == "item":
                yield value


def _messages(
    function: Callable, args: tuple, reporter: Reporter | None, about: Path | None, folders: Sequence[Path]
) -> Generator[tuple[str, Any], None, None]:
    with tempfile.TemporaryDirectory(prefix="synctalk-reader-") as scratch:
        position = Path(scratch) / "position"
        read_position.create_shared(position)
        reports = reporter is not None and "reporter" in inspect.signature(function).parameters
        child = _Child(function, args, reports, position)
        ended = False
        try:
            while not ended:
                if reporter is not None:
                    reporter.check_cancelled()
                kind, value = child.next()
                ended = kind in ("result", "error", "dead")
                if kind == "error":
                    error, sentence, trace = value
                    raise _rebuilt(error, sentence, trace, position, about)
                if kind == "dead":
                    raise _death(child.wait(), value, position, about)
                if kind in ("item", "result"):
                    yield kind, value
                elif kind != "idle" and reporter is not None:
                    _forward(reporter, kind, value)
        except Cancelled:
            child.cancel()
            raise
        finally:
            child.stop()
            if not child.finished:
                _remove_temporary(folders, child.pid)


class _Child:
    """The reader process, seen from the one that waits for it."""

    def __init__(self, function: Callable, args: tuple, reports: bool, position: Path) -> None:
        paths = [str(Path(entry).absolute()) for entry in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT.format(module=__name__), *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,  # stderr is ours: what a library prints goes where ours goes
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert self._process.stdin is not None and isinstance(self._process.stdout, io.BufferedReader)
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.pid = self._process.pid
        self._ready = self.finished = False
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=4)  # a reader that is ahead waits
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()
        with contextlib.suppress(OSError):  # a process that died at once sends no message
            request = (function.__module__, function.__qualname__, args, reports, str(position))
            pickle.dump(request, self._stdin)
            self._stdin.flush()

    def _receive(self) -> None:
        with contextlib.suppress(EOFError, pickle.UnpicklingError, OSError, ValueError):
            while True:
                self._queue.put(_read_message(self._stdout))
        self._queue.put(("dead", self._ready))

    def next(self) -> tuple[str, Any]:
        """The next message; (`idle`, None) when none came for a moment."""
        try:
            kind, value = self._queue.get(timeout=_POLL_S)
        except queue.Empty:
            return "idle", None
        self._ready = self._ready or kind == "ready"
        self.finished = self.finished or kind in ("result", "error")
        return (kind, self._ready) if kind == "dead" else (kind, value)

    def cancel(self) -> None:
        """Ask the process to stop, and give it time to complete its files."""
        with contextlib.suppress(OSError, ValueError):
            self._stdin.write(b"c")
            self._stdin.flush()
        end = time.monotonic() + CANCEL_GRACE_S
        while time.monotonic() < end and self.next()[0] not in ("result", "error", "dead"):
            pass

    def wait(self) -> int:
        return self._process.wait()

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        while self._thread.is_alive():  # it may wait for room in the queue
            self.next()
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()


def _read_message(pipe: io.BufferedReader) -> tuple[str, Any]:
    """As `_serve` sends it: what was pickled, then the memory of its arrays, which is not copied on the way."""
    data, sizes = pickle.load(pipe)
    arrays = [np.empty(size, np.uint8) for size in sizes]
    for array in arrays:
        if pipe.readinto(array) < array.size:
            raise EOFError
    return pickle.loads(data, buffers=arrays)


def _forward(reporter: Reporter, kind: str, value: Any) -> None:
    if kind == "progress":
        reporter.progress(value.stage, value.done, value.total, value.unit, value.message)
    elif kind == "log":
        level, text = value
        (reporter.warning if level == "warning" else reporter.info)(text)
    elif kind == "preview":
        reporter.preview(value)


def _rebuilt(error: Exception | None, sentence: str, trace: str, position: Path, about: Path | None) -> Exception:
    if error is not None:
        return error
    path, near = read_position.shared_position(position)
    rebuilt = MediaError(f"{path or about or 'A file'} cannot be read{near} ({sentence}): {_CONVERT}.")
    rebuilt.__cause__ = RuntimeError(f"in the reader process:\n{trace}")
    return rebuilt


def _death(code: int, was_ready: bool, position: Path, about: Path | None) -> SyncTalkError:
    opened, near = read_position.shared_position(position)
    path = opened or about
    how = f"exit status {code}"
    if code < 0:
        with contextlib.suppress(ValueError):
            how = signal.Signals(-code).name
    if not was_ready:
        return SyncTalkError(f"The process that reads media could not start ({how}): install the backend again.")
    if how == "SIGKILL":
        return MediaError(
            f"Reading {path}{near} was stopped (SIGKILL), probably because memory ran out: close other "
            f"programs, or {_CONVERT} of a smaller size."
        )
    return MediaError(f"{path} cannot be read{near}: its decoder crashed ({how}), so {_CONVERT}.")


def _remove_temporary(folders: Sequence[Path], pid: int) -> None:
    """What `atomic_path` of a process that was killed could not remove."""
    for folder in folders:
        for stale in folder.rglob(f".*.tmp-{pid}*"):
            with contextlib.suppress(OSError):
                stale.unlink()


# -- the reader process -----------------------------------------------------------------------------------------------


def _serve() -> None:
    """Run the one function that stdin asks for; never returns."""
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a print, in Python or in a C library, must not land between the messages
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _prepare_to_die()
    module, name, args, reports, position = pickle.load(reader)
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    read_position.share_in(Path(position))
    lock, cancelled = threading.Lock(), threading.Event()

    def send(kind: str, value: Any = None) -> None:
        arrays: list[pickle.PickleBuffer] = []
        data = pickle.dumps((kind, value), pickle.HIGHEST_PROTOCOL, buffer_callback=arrays.append)
        with lock:
            pickle.dump((data, [array.raw().nbytes for array in arrays]), writer)
            for array in arrays:
                writer.write(array)
            writer.flush()

    threading.Thread(target=_watch, args=(reader, cancelled), daemon=True).start()
    try:
        send("ready")
        result = function(*args, **({"reporter": _reporter(send, cancelled)} if reports else {}))
        if inspect.isgenerator(result):
            for item in result:
                send("item", item)
            result = None
        send("result", result)
    except BrokenPipeError:
        pass  # the parent closed the pipe
    except Exception as error:  # noqa: BLE001 (the parent reports it)
        send("error", _portable(error))
    # Threads of a decoder may sit in native code; everything on disk is complete, so exit at once.
    os._exit(0)


def _portable(error: Exception) -> tuple[Exception | None, str, str]:
    """An exception as it is raised again elsewhere, or None if it is not a SyncTalk error; its text; its traceback."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, SyncTalkError):
        return type(error)(str(error)), "", trace
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, error.strerror, error.filename), "", trace
    return None, f"{type(error).__name__}: {' '.join(str(error).split())}", trace


def _watch(reader: BinaryIO, cancelled: threading.Event) -> None:
    while reader.read(1):
        cancelled.set()
    os._exit(1)  # the parent has exited


def _reporter(send: Callable[[str, Any], None], cancelled: threading.Event) -> Reporter:
    def progress(event: Progress) -> None:
        send("progress", dataclasses.replace(event))

    return Reporter(
        progress,
        lambda level, text: send("log", (level, text)),
        lambda path: send("preview", path),
        cancelled.is_set,
        interval_s=_POLL_S,
    )


def _prepare_to_die() -> None:
    """Disable core dumps and crash dialogs, and end this process with its parent."""
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetErrorMode(0x0001 | 0x0002 | 0x8000)
        return
    import resource

    if sys.platform == "linux":
        import ctypes

        # At once, where `_watch` may have to wait for a library that holds the interpreter.
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
