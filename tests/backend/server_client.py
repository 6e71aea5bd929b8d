"""A client of `serve`, as Blender is one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from backend import protocol


class Client:
    """A child process that speaks the protocol."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "backend", "serve"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.notes: list[dict] = []
        self._id = 0

    def send(self, method: str, **params) -> int:
        self._id += 1
        self.process.stdin.write(protocol.encode(protocol.request(self._id, method, params)))
        self.process.stdin.flush()
        return self._id

    def raw(self, line: bytes) -> None:
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def answer(self, request_id: int | None) -> dict:
        while True:
            line = self.process.stdout.readline()
            assert line, "the server ended"
            message = protocol.decode(line)
            if "method" in message:
                self.notes.append(message)
            elif message["id"] == request_id:
                return message

    def call(self, method: str, **params):
        message = self.answer(self.send(method, **params))
        assert "error" not in message, message
        return message["result"]

    def fails(self, method: str, **params) -> dict:
        return self.answer(self.send(method, **params))["error"]
