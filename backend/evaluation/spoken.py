"""What the mouth says: moments of a spoken film, with its sound, for the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..media.audio import RATE, read_audio
from ..media.decode import FrameReader
from ..workspace import FPS
from .landmarks import lip_reader
from .metrics import LIPS

SPREAD = 10
"""Pictures over the whole sound."""

CLOSE = 20
"""Mouths, one after another, from the stretch with the most speech."""

CLOSE_STEP = 2
"""Frames from one of these mouths to the next: 80 ms."""


@dataclass
class Speech:
    """A spoken film, or the parts of it that a report shows.

    Attributes:
        name: of the sound, for the reader.
        sound: (samples) float32 in [-1, 1], mono.
        rate: samples a second.
        pictures: frame number to picture, (H, W, 3) uint8 RGB; at least the frames of `wanted_frames`.
        jaw_open: (frames) coefficient of the blendshape jawOpen, or None.
    """

    name: str
    sound: np.ndarray
    rate: int = RATE
    pictures: dict[int, np.ndarray] = field(default_factory=dict)
    jaw_open: np.ndarray | None = None

    @classmethod
    def of_film(cls, film: Path, name: str | None = None) -> Speech:
        """Read what a report needs out of a film that speaks.

        Raises:
            MediaError, AudioError: it cannot be read, or has no sound.
        """
        speech = cls(name or film.stem, read_audio(film))
        wanted = set(speech.wanted_frames())
        for time_s, picture in FrameReader(film):
            if round(time_s * FPS) in wanted:
                speech.pictures[round(time_s * FPS)] = picture
        return speech

    @property
    def frames(self) -> int:
        """How many frames the sound lasts."""
        return max(int(len(self.sound) / self.rate * FPS), 1)

    def spread_frames(self) -> list[int]:
        """Frames evenly over the whole sound."""
        # The middles of equal parts, so that each picture stands below its moment of the waveform.
        return sorted({int((part + 0.5) / SPREAD * self.frames) for part in range(SPREAD)})

    def close_frames(self) -> list[int]:
        """Frames of the stretch in which the sound is loudest."""
        length = min(CLOSE * CLOSE_STEP, self.frames)
        samples = int(self.rate / FPS)
        energy = np.square(self.sound[: self.frames * samples], dtype=np.float64).reshape(-1, samples).mean(axis=1)
        # The root favours steady speech over one loud syllable.
        heard = np.convolve(np.sqrt(energy), np.ones(length), "valid") if len(energy) >= length else np.zeros(1)
        start = int(np.argmax(heard))
        return list(range(start, start + length, CLOSE_STEP))

    def wanted_frames(self) -> list[int]:
        """Numbers of all frames that a report shows."""
        return sorted({*self.spread_frames(), *self.close_frames()})


def mouths(pictures: dict[int, np.ndarray], width: int, height: int) -> dict[int, np.ndarray]:
    """Close-ups of the mouth, all cut at one scale so that opening can be compared between them.

    Args:
        pictures: frame number to (H, W, 3) uint8.
        width, height: of a close-up, pixels.

    Returns:
        Frame number to (height, width, 3) uint8; frames without a face are left out.
    """
    import cv2

    lips: dict[int, np.ndarray] = {}
    with lip_reader() as (_, read):
        for frame, picture in sorted(pictures.items()):
            points = read(picture)[list(LIPS)]
            if np.isfinite(points).all():
                lips[frame] = points
    if not lips:
        return {}
    span = 1.9 * float(np.median([np.ptp(points[:, 0]) for points in lips.values()]))
    shown = {}
    for frame, points in lips.items():
        centre = (points[:, :].min(axis=0) + points[:, :].max(axis=0)) / 2
        scale = width / span
        matrix = np.array([[scale, 0, width / 2 - scale * centre[0]], [0, scale, height / 2 - scale * centre[1]]])
        shown[frame] = cv2.warpAffine(
            pictures[frame], matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
    return shown
