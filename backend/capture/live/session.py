"""A live source that drives a subject's head: what `capture live` and Blender's requests `live.…` share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...protocol import CAPTURE_PARTS
from ...workspace.head_track import HeadTrack
from ...workspace.shapes import Bool, Float
from ..retarget import Fit
from .live_fit import LiveFit
from .recorder import Recorder
from .sample import LiveSample, LiveState
from .thread_source import Source

EVERY_PART = Fit(CAPTURE_PARTS)


@dataclass(frozen=True)
class LiveValues:
    """The newest face, on the subject.

    Attributes:
        number: of the sample.
        blendshapes: `protocol.BLENDSHAPE_NAMES`, 0 to 1.
        driven: which of them the sender drives; the others are the footage's.
        head_turn: rotation of the head from its pose in the footage, in the head frame; None where the sender has none.
        received_s: when it came, `time.monotonic`.
        delay_s: how old it was then.
        sent_s: when it was sent, on the sender's own clock; None where it has none.
    """

    number: int
    blendshapes: Float[np.ndarray, " 52"]
    driven: Bool[np.ndarray, " 52"]
    head_turn: Float[np.ndarray, "3 3"] | None
    received_s: float
    delay_s: float
    sent_s: float | None


class LiveSession:
    """A source from start to `close`, and the subject whose head it drives. The source must not have started."""

    def __init__(self, source: Source, track: HeadTrack, fit: Fit = EVERY_PART) -> None:
        self.source = source
        self._fit = LiveFit(track, fit)
        self._recorder: Recorder | None = None
        self._newest: LiveValues | None = None
        source.inbox.on_sample = self._take
        source.start()

    @property
    def newest(self) -> LiveValues | None:
        """None before the first face."""
        return self._newest

    def wait(self, after: int, timeout_s: float) -> LiveValues | None:
        """The newest face when its number is above `after`; None where none came within the time."""
        self.source.inbox.wait(after, timeout_s)
        found = self._newest
        return found if found is not None and found.number > after else None

    def state(self) -> LiveState:
        """What is known of the source."""
        return self.source.inbox.state()

    @property
    def recorded_s(self) -> float | None:
        """How long the recording is; None while nothing is recorded."""
        recorder = self._recorder
        return None if recorder is None else recorder.seconds

    def record(self) -> None:
        """Begin a recording; one that runs is dropped."""
        self._recorder = Recorder(self.source.audio)

    def recorded(self) -> Recorder | None:
        """End the recording; None where none ran."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.end()
        return recorder

    def close(self) -> None:
        """End the source."""
        self.source.close()

    def _take(self, sample: LiveSample) -> None:
        """On the source's thread, before others see the sample."""
        self._fit.add(sample)
        shapes, driven = self._fit.shapes(sample)
        turn = self._fit.head_turn(sample.face)
        self._newest = LiveValues(
            sample.number, shapes, driven, turn, sample.received_s, sample.delay_s, sample.face.sent_s
        )
        recorder = self._recorder
        if recorder is not None:
            recorder.add(sample)
