"""MediaPipe's C++ writes to stderr as it starts, where it would tear the progress bar: kept off while it starts."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_LOCK = threading.Lock()
_held = 0
_saved = -1


@contextlib.contextmanager
def quiet_native_libraries() -> Iterator[None]:
    """Send the process's stderr nowhere within the block; threads may be in it together."""
    global _held, _saved
    with _LOCK:
        _held += 1
        if _held == 1:
            sys.stderr.flush()
            _saved = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
    try:
        yield
    finally:
        with _LOCK:
            _held -= 1
            if not _held:
                os.dup2(_saved, 2)
                os.close(_saved)
