"""A `serve` process, asked as Blender asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from .. import protocol


class Served:
    """Use it in a `with`, which ends the process."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend", "serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2],
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        self._number = 0

    def call(self, method: str, **params: Any) -> Any:
        """The result of a request.

        Raises:
            RuntimeError: it failed, or the process ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._number += 1
        self._process.stdin.write(protocol.encode(protocol.request(self._number, method, params)))
        self._process.stdin.flush()
        for line in self._process.stdout:
            message = protocol.decode(line)
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(message["error"]["message"])
                return message["result"]
        raise RuntimeError(f"The backend ended during {method}.")

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
