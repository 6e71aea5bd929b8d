"""The requests `live.…` (docs/protocol.md): one live session of the server at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...capture.live.session import LiveSession, LiveValues
from ...errors import UsageError
from ..option import from_params, option
from .live import LiveOptions

OFF = "off"
"""`status` while no session is open; else those of `LiveState`."""


@dataclass(frozen=True)
class StateOptions:
    """The params of `live.state`."""

    after: int = option("the face is left out unless its number is higher", 0)


@dataclass(frozen=True)
class KeepOptions:
    """The params of `live.keep`."""

    out: Path = option("the CSV file to write")


@dataclass(frozen=True)
class NoOptions:
    """No params."""


class LiveService:
    """Answers requests; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session: LiveSession | None = None
        self._methods: dict[str, tuple[type, Callable[[Any], dict[str, Any]]]] = {
            "live.start": (LiveOptions, self._start),
            "live.stop": (NoOptions, self._stop),
            "live.state": (StateOptions, self._state),
            "live.record": (NoOptions, self._record),
            "live.keep": (KeepOptions, self._keep),
        }

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result of a request.

        Raises:
            ProtocolError: its params are wrong.
            SyncTalkError: it cannot be done.
        """
        options, work = self._methods[method]
        return work(from_params(options, params, method))

    def _start(self, options: LiveOptions) -> dict[str, Any]:
        with self._lock:
            self._close()
            self._session = options.open()
            return {"place": self._session.source.place}

    def _stop(self, _: NoOptions) -> dict[str, Any]:
        with self._lock:
            self._close()
        return {}

    def _state(self, options: StateOptions) -> dict[str, Any]:
        session = self._session
        if session is None:
            return {"status": OFF, "face": None, "recorded_s": None, "note": ""}
        values = session.newest
        face = None if values is None or values.number <= options.after else _face(values)
        return {**asdict(session.state()), "recorded_s": session.recorded_s, "face": face}

    def _record(self, _: NoOptions) -> dict[str, Any]:
        self._open().record()
        return {}

    def _keep(self, options: KeepOptions) -> dict[str, Any]:
        recorder = self._open().recorded()
        seconds = recorder.write(options.out) if recorder is not None else 0.0
        return {"file": str(options.out) if seconds else None, "seconds": seconds}

    def _open(self) -> LiveSession:
        if self._session is None:
            raise UsageError("No live source runs: start one first.")
        return self._session

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _face(values: LiveValues) -> dict[str, Any]:
    turn = values.head_turn
    return {
        "number": values.number,
        "age_ms": (time.monotonic() - values.received_s) * 1e3,
        "delay_ms": values.delay_s * 1e3,
        "sent_s": values.sent_s,
        "blendshapes": [
            round(float(value), 5) if driven else None
            for value, driven in zip(values.blendshapes, values.driven, strict=True)
        ],
        "head_turn": None if turn is None else [float(value) for value in turn.ravel()],
    }
