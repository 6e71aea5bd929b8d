"""Notices a backend that hangs, and one that ignores a cancel request."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import BackendError
from .pending import Pending

TICK_S = 0.25


@dataclass(frozen=True)
class Limits:
    """How patient the client is."""

    start_within_s: float = 180.0
    """How long the child may be silent until it has written its first line, and answered `device` if that was requested:
    the import of PyTorch can keep it from answering pings."""
    hang_after_s: float = 60.0
    """How long it may then be silent, pings included, while a request waits."""
    ping_every_s: float = 5.0
    """The length of silence after which it is pinged."""
    cancel_grace_s: float = 20.0
    """How long a cancelled request may take to end before the child is killed."""


class Watchdog:
    """Counts silence in ticks instead of reading a clock: a computer that slept is not a hung backend."""

    def __init__(self, limits: Limits) -> None:
        self._has_spoken = False
        self._limits = limits
        self._ping_ticks = max(1, round(limits.ping_every_s / TICK_S))
        self._silent_ticks = 0

    @property
    def wants_ping(self) -> bool:
        return self._silent_ticks > 0 and self._silent_ticks % self._ping_ticks == 0

    def rest(self) -> None:
        """Nothing was waited for until now."""
        self._silent_ticks = 0

    def heard(self) -> None:
        """The backend has written something."""
        self._has_spoken, self._silent_ticks = True, 0

    def is_starting(self, waiting: list[Pending]) -> bool:
        """Whether the backend has not been heard, or still imports PyTorch, which `device` waits for."""
        return not self._has_spoken or any(pending.method == "device" for pending in waiting)

    def tick(self, waiting: list[Pending]) -> BackendError | None:
        """Count one tick; returns why the backend must be ended, or None."""
        for pending in waiting:
            pending.ticks_since_cancel += pending.cancelling
            if pending.ticks_since_cancel * TICK_S > self._limits.cancel_grace_s:
                return BackendError(
                    "Cancelled. The backend did not respond and was stopped; finished work is kept.", "cancelled"
                )
        self._silent_ticks += bool(waiting)
        starting = self.is_starting(waiting)
        limit_s = self._limits.start_within_s if starting else self._limits.hang_after_s
        if not waiting or self._silent_ticks * TICK_S <= limit_s:
            return None
        if starting:
            message = f"The backend did not start within {limit_s:.0f} s: try again, or install it again."
        else:
            message = (
                f"The backend has not answered for {limit_s:.0f} s and was stopped: try again; finished work is kept."
            )
        return BackendError(message, "hangs")
