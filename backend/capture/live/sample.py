"""What a sender has of a face at one time, and what is known of the sender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...workspace.shapes import Bool, Float

WAITING, LIVE, LOST = "waiting", "live", "lost"
"""`LiveState.status`: nothing has come yet, values come, they came and stopped."""


class Unusable(Exception):
    """A packet that is not taken: its text is the kind of fault, of a small fixed number of kinds."""


@dataclass(frozen=True)
class LiveFace:
    """A face as a sender has it: not yet fitted to a subject.

    Attributes:
        blendshapes: `protocol.BLENDSHAPE_NAMES`, 0 to 1.
        present: which of them the sender has sent; the others are 0.
        head_turn: the head's rotation from its rest, as in `FaceCapture`; None where the sender has none.
        sent_s: when it was sent, or the face was so, in seconds of the sender's own clock; None where it has none.
    """

    blendshapes: Float[np.ndarray, " 52"]
    present: Bool[np.ndarray, " 52"]
    head_turn: Float[np.ndarray, "3 3"] | None = None
    sent_s: float | None = None


@dataclass(frozen=True)
class LiveSample:
    """A face that was received.

    Attributes:
        number: counts from 1 in each session.
        received_s: when it arrived, `time.monotonic`.
        delay_s: how long before `received_s` the face was so, as far as it can be known.
    """

    face: LiveFace
    number: int
    received_s: float
    delay_s: float


@dataclass(frozen=True)
class LiveState:
    """What is known of a live source.

    Attributes:
        status: of `WAITING`, `LIVE`, `LOST`.
        rate: samples a second, over the last two seconds.
        delay_ms: from the moment that the newest sample shows until it could be used; of a sender without a clock
            that is ours, without the quickest way over the network.
        age_ms: since the newest sample came; None before the first.
        samples: how many have come.
        refused: packets that were not taken, by the kind of fault.
        note: one sentence on what is wrong; empty where nothing is.
    """

    status: str
    rate: float = 0.0
    delay_ms: float = 0.0
    age_ms: float | None = None
    samples: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
