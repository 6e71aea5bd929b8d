"""The newest face of a live source, and how regularly faces come. One thread writes, any may read."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from .sample import LIVE, LOST, WAITING, LiveFace, LiveSample, LiveState

SILENT_AFTER_S = 0.5
"""A sender that has sent nothing for so long has stopped; another may take its place."""

_RATE_OVER_S = 2.0
_QUICKEST_OVER_S = 10.0


class Inbox:
    """Holds the newest sample; memory does not grow with their number."""

    def __init__(self, on_sample: Callable[[LiveSample], None] | None = None) -> None:
        self.on_sample = on_sample
        """Called with each sample on the receiving thread, before others see it."""
        self.note = ""
        """What the source itself has to report, as one sentence."""
        self._lock = threading.Lock()
        self._newest: LiveSample | None = None
        self._times: deque[float] = deque(maxlen=512)
        self._refused: Counter[str] = Counter()
        self._refused_s = -1e9
        self._transit = _Quickest()
        self._ready = threading.Condition(self._lock)

    @property
    def newest(self) -> LiveSample | None:
        """The last sample; None before the first."""
        return self._newest

    def wait(self, after: int, timeout_s: float) -> LiveSample | None:
        """The newest sample when it has a number above `after`; None where none came within the time."""
        with self._lock:
            self._ready.wait_for(lambda: self._newest is not None and self._newest.number > after, timeout_s)
            found = self._newest
        return found if found is not None and found.number > after else None

    def take(self, face: LiveFace, received_s: float, delay_s: float | None = None) -> None:
        """A face has come.

        Args:
            received_s: `time.monotonic` of its arrival.
            delay_s: how old it was then; None to estimate it from `face.sent_s`, against the quickest of late.
        """
        if delay_s is None:
            delay_s = 0.0 if face.sent_s is None else self._transit.late_s(received_s - face.sent_s, received_s)
        delay_s += time.monotonic() - received_s
        sample = LiveSample(face, 1 if self._newest is None else self._newest.number + 1, received_s, delay_s)
        if self.on_sample is not None:
            self.on_sample(sample)
        with self._lock:
            self._newest = sample
            self._times.append(received_s)
            self._ready.notify_all()

    def refuse(self, reason: str, at_s: float) -> None:
        """A packet cannot be used."""
        with self._lock:
            self._refused[reason] += 1
            self._refused_s = at_s

    def new_sender(self) -> None:
        """What follows is timed by another clock."""
        self._transit = _Quickest()

    def state(self) -> LiveState:
        """What is known of the source now."""
        now = time.monotonic()
        with self._lock:
            newest, refused = self._newest, dict(self._refused)
            times = [at for at in self._times if now - at <= _RATE_OVER_S]
            refused_lately = now - self._refused_s < _RATE_OVER_S
        span = max(now - times[0], 1e-3) if len(times) > 1 else 0.0
        rate = (len(times) - 1) / (times[-1] - times[0]) if span and times[-1] > times[0] else 0.0
        if newest is None:
            return LiveState(WAITING, refused=refused, note=self.note or _refused_in_words(refused))
        age_s = now - newest.received_s
        is_live = age_s < SILENT_AFTER_S
        silent = "" if is_live else f"Nothing has come for {age_s:.0f} s: check the sender."
        note = self.note or silent or (_refused_in_words(refused) if refused_lately else "")
        return LiveState(
            LIVE if is_live else LOST,
            rate if is_live else 0.0,
            newest.delay_s * 1e3,
            age_s * 1e3,
            newest.number,
            refused,
            note,
        )


class _Quickest:
    """The least transit time of late: another computer's clock differs from ours by an unknown, slowly drifting amount."""

    def __init__(self) -> None:
        self._least: deque[tuple[float, float]] = deque(maxlen=3)
        """When a part of the time began, and the least transit in it."""

    def late_s(self, transit_s: float, now_s: float) -> float:
        """How much longer than the quickest this took."""
        if not self._least or now_s - self._least[-1][0] > _QUICKEST_OVER_S:
            self._least.append((now_s, transit_s))
        elif transit_s < self._least[-1][1]:
            self._least[-1] = self._least[-1][0], transit_s
        return transit_s - min(least for _, least in self._least)


def _refused_in_words(refused: dict[str, int]) -> str:
    if not refused:
        return ""
    kinds = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items(), key=lambda item: -item[1]))
    return f"Not taken: {kinds}."
