"""`serve`: the server of `python -m backend serve`, until its input ends."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass

from ..progress import Reporter


@dataclass(frozen=True)
class Options:
    pass


def run(options: Options, reporter: Reporter) -> None:
    """Serve this process's stdin and stdout; does not return."""
    from ..server import serve

    del options, reporter
    if threading.current_thread() is threading.main_thread():
        # Blender closes stdin to end the server; a signal must not be taken for a job's cancel request.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve()
