"""A `serve` process, asked as Blender asks it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from .. import protocol
from ..errors import SyncTalkError
from .apart import CHECKOUT


@contextlib.contextmanager
def image_memory(side: int) -> Iterator[Path]:
    """Memory that is shared with a `serve`, for scene-linear RGBA of `side`²."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as memory:
        memory.truncate(side * side * 16)
        yield Path(memory.name)


class Served:
    """Use it in a `with`, which ends the process.

    Args:
        environment: variables beside those of this process.
        root: the folder that holds its backend.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, root: Path = CHECKOUT) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend", "serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        self._number = 0

    def call(self, method: str, **params: Any) -> Any:
        """The result of a request.

        Raises:
            SyncTalkError: it failed, or the process ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._number += 1
        self._process.stdin.write(protocol.encode(protocol.request(self._number, method, params)))
        self._process.stdin.flush()
        for line in self._process.stdout:
            message = protocol.decode(line)
            if message.get("id") == self._number:
                if "error" in message:
                    raise SyncTalkError(message["error"]["message"])
                return message["result"]
        raise SyncTalkError(f"The backend ended during {method}.")

    @property
    def memory_mb(self) -> float:
        """Resident memory now, 10^6 bytes."""
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
