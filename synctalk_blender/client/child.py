"""The backend's process and its pipes. Each pipe has its own thread: on Windows a pipe cannot be polled."""

from __future__ import annotations

import codecs
import collections
import contextlib
import io
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

from .errors import BackendError, shortened


class Child:
    """A child process that never blocks the caller.

    Args:
        command: program and arguments.
        environment: of the child; None takes `child_environment()`.

    Raises:
        BackendError: of kind `start`, when the program cannot be run.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None, cwd: str | Path | None) -> None:
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr_tail: collections.deque[str] = collections.deque(maxlen=200)
        try:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=child_environment() if environment is None else environment,
                cwd=cwd,
                start_new_session=os.name != "nt",  # so that its own children end with it, see `kill`
                creationflags=_windows_flag("CREATE_NO_WINDOW") | _windows_flag("CREATE_NEW_PROCESS_GROUP"),
            )
        except OSError as error:
            raise BackendError(
                f"The backend cannot be started ({command[0]}: {error.strerror or error}): "
                "install it again in the Backend panel, or choose another Python in the preferences.",
                "start",
            ) from error
        self.pid = self._process.pid
        self._stderr_thread = start_thread(self._read_stderr)
        start_thread(self._write_stdin)

    def read(self, limit: int, on_line: Callable[[bytes], bool], on_end: Callable[[], None]) -> None:
        """Begin to read stdout, on a thread.

        Args:
            limit: the largest number of bytes handed on at once.
            on_line: called with each line; False stops reading.
            on_end: called after the last line.
        """

        def read_stdout() -> None:
            assert self._process.stdout is not None
            with self._process.stdout as stdout, contextlib.suppress(OSError, ValueError):
                while (line := stdout.readline(limit)) and on_line(line):
                    pass
            on_end()

        start_thread(read_stdout)

    def send(self, line: bytes) -> None:
        """Have a line written to stdin."""
        self._outbox.put(line)

    def finish_input(self) -> None:
        """Close stdin once everything sent is written."""
        self._outbox.put(None)

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        return "\n".join(self._stderr_tail)

    def exit_in_words(self) -> str | None:
        """How it ended, with the last line of its stderr; None when it still runs after a few seconds."""
        if not self.wait(5.0):
            return None
        code = self._process.returncode
        if code < 0:  # killed in the middle of something: its last line does not explain that
            return _signal_in_words(-code)
        self._stderr_thread.join(1.0)
        words = f": {shortened(self._stderr_tail[-1])}" if self._stderr_tail else ""
        return f"exit status {code}{words}"

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it and its own children now."""
        with contextlib.suppress(OSError):
            if os.name == "nt":
                subprocess.run(
                    ["taskkill", "/F", "/T", "/PID", str(self.pid)],
                    check=False,
                    capture_output=True,
                    creationflags=_windows_flag("CREATE_NO_WINDOW"),
                )
            else:
                os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._process.kill()
            self.wait(5.0)

    def _write_stdin(self) -> None:
        assert self._process.stdin is not None
        if hasattr(signal, "pthread_sigmask"):
            # Blender does not ignore this signal as `python` does: writing to a dead child would end Blender. Blocked
            # in this thread, the one that writes, it is an OSError.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        with contextlib.suppress(OSError, ValueError):  # it no longer reads: stdout's end, or the watchdog, says why
            while (line := self._outbox.get()) is not None:
                self._process.stdin.write(line)
                self._process.stdin.flush()
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()

    def _read_stderr(self) -> None:
        # Read in pieces: a progress bar can write for ever without a newline.
        assert self._process.stderr is not None
        rest, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        with self._process.stderr as stderr:
            while piece := cast(io.BufferedReader, stderr).read1(8192):
                *lines, rest = (rest + decoder.decode(piece)).replace("\r", "\n").split("\n")
                rest = rest[-2000:]
                self._stderr_tail.extend(line for line in lines if line.strip())
        if rest.strip():
            self._stderr_tail.append(rest)


def child_environment() -> dict[str, str]:
    """This process's environment without its Python's settings: those of Blender's Python would break the backend's."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("PYTHON")}
    return kept | {"PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1"}


def start_thread(target: Callable[[], None]) -> threading.Thread:
    """A daemon thread that runs `target`."""
    thread = threading.Thread(target=target, name=f"synctalk {target.__name__}", daemon=True)
    thread.start()
    return thread


def _windows_flag(name: str) -> int:
    return getattr(subprocess, name, 0)


def _signal_in_words(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name}, {'out of memory or killed' if name == 'SIGKILL' else 'it crashed'}"
