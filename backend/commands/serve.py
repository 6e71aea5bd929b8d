"""`serve`: the server of `python -m backend serve`, until its input ends."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass

from ..progress import Reporter
from ..protocol import AUTO, DEVICE_VARIABLE
from .device import device_option


@dataclass(frozen=True)
class Options:
    device: str = device_option()


def run(options: Options, reporter: Reporter) -> None:
    """Serve this process's stdin and stdout; does not return."""
    from ..server import serve

    del reporter
    if options.device != AUTO:
        os.environ[DEVICE_VARIABLE] = options.device  # PyTorch, which could check it, is not imported yet
    if threading.current_thread() is threading.main_thread():
        # Blender closes stdin to end the server; a signal must not be taken for a job's cancel request.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve()
