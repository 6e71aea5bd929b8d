"""What every source of face data comes to: one record, in this project's names, axes and units."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..workspace.frame_rate import Timecode
from ..workspace.shapes import Bool, Float


@dataclass(frozen=True)
class FaceCapture:
    """The face of some person, as a file or a tracker has it: not yet fitted to a subject.

    Attributes:
        times_s: of the samples, rising; 0 is the start of the audio.
        blendshapes: `protocol.BLENDSHAPE_NAMES`, 0 to 1, where the source has a shape.
        present: which shapes the source has; the others are zero.
        rate: frames a second that the source states, or the nearest standard rate.
        head_turn: the head's rotation from its rest, in the head frame (x right of the image, y down, z into the head);
            None where the source has none.
        head_shift_m: the head's way from its rest, in the same axes; None where the source has none.
        start: the time code of the first sample; None where it has none.
        audio: the audio file of the same take; None where there is none.
    """

    times_s: Float[np.ndarray, " n"]
    blendshapes: Float[np.ndarray, "n 52"]
    present: Bool[np.ndarray, " 52"]
    rate: Fraction
    head_turn: Float[np.ndarray, "n 3 3"] | None = None
    head_shift_m: Float[np.ndarray, "n 3"] | None = None
    start: Timecode | None = None
    audio: Path | None = None
