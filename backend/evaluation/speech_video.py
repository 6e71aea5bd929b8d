"""Moments of a video that speaks, with its audio, for the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..media.audio import read_audio
from ..media.audio_rates import RATE
from ..media.decode import FrameReader
from ..workspace.landmarks import LIPS
from .landmarks import lip_reader

SPREAD = 10
"""Frames shown, spread over all of the audio."""

CLOSE = 20
"""Mouths shown, one after another, from the interval with the most speech."""

CLOSE_STEP_S = 0.08
"""From one of these mouths to the next."""

_HEAD_SHARE = 1.9
"""Side of the square around a head, in heights of its face."""


@dataclass
class Speech:
    """A spoken video, or the parts of it that a report shows.

    Attributes:
        name: of the audio, for the reader.
        audio: (samples) float32 in [-1, 1], mono.
        rate: samples a second.
        fps: frames a second.
        images: frame number to image, (H, W, 3) uint8 RGB; at least the frames of `wanted_frames`.
        jaw_open: (frames) coefficient of the blendshape jawOpen, or None.
        video: the video itself, or None.
    """

    name: str
    audio: np.ndarray
    rate: int = RATE
    fps: float = 25.0
    images: dict[int, np.ndarray] = field(default_factory=dict)
    jaw_open: np.ndarray | None = None
    video: Path | None = None

    @classmethod
    def of_video(cls, video: Path, name: str | None = None) -> Speech:
        """Read what a report shows of a video that speaks.

        Raises:
            MediaError, AudioError: it cannot be read, or has no audio.
        """
        reader = FrameReader(video)
        speech = cls(name or video.stem, read_audio(video), fps=float(reader.rate), video=video)
        wanted = set(speech.wanted_frames())
        for frame, (_, image) in enumerate(reader):
            if frame in wanted:
                speech.images[frame] = image
        return speech

    @property
    def frames(self) -> int:
        """How many frames the audio lasts."""
        return max(int(len(self.audio) / self.rate * self.fps), 1)

    @property
    def close_step(self) -> int:
        """Frames from one of the mouths shown one after another to the next."""
        return max(1, round(CLOSE_STEP_S * self.fps))

    def spread_frames(self) -> list[int]:
        """Frames spread evenly over the audio."""
        # The middles of equal parts, which puts each image below its moment of the waveform.
        return sorted({int((part + 0.5) / SPREAD * self.frames) for part in range(SPREAD)})

    def close_frames(self) -> list[int]:
        """Frames of the interval in which the audio is loudest."""
        length = min(CLOSE * self.close_step, self.frames)
        first = (np.arange(self.frames) * self.rate / self.fps).astype(int)
        lasts = np.diff(first, append=int(self.frames * self.rate / self.fps))
        energy = (
            np.add.reduceat(np.square(self.audio, dtype=np.float64)[: lasts.sum()], first) / lasts
            if len(self.audio)
            else np.zeros(1)
        )
        # The root favours steady speech over one loud syllable.
        heard = np.convolve(np.sqrt(energy), np.ones(length), "valid") if len(energy) >= length else np.zeros(1)
        start = int(np.argmax(heard))
        return list(range(start, start + length, self.close_step))

    def wanted_frames(self) -> list[int]:
        """Numbers of all frames that a report shows."""
        return sorted({*self.spread_frames(), *self.close_frames()})


@dataclass(frozen=True)
class Portrait:
    """Head and mouth of one frame, each cut at the same scale in all frames of a video."""

    head: np.ndarray
    mouth: np.ndarray


def portraits(images: dict[int, np.ndarray], head_side: int = 200, mouth_width: int = 160) -> dict[int, Portrait]:
    """Close-ups of head and mouth; all at one scale, to compare how far they open.

    Args:
        images: frame number to (H, W, 3) uint8.
        head_side: side of the square around the head, pixels.
        mouth_width: of the mouth's close-up, pixels; its height is 0.65 of that.

    Returns:
        Frame number to close-ups; frames without a face are left out.
    """
    found: dict[int, np.ndarray] = {}
    with lip_reader() as (_, read):
        for frame, image in sorted(images.items()):
            points = read(image)
            if np.isfinite(points).all():
                found[frame] = points
    if not found:
        return {}
    tall = float(np.median([np.ptp(points[:, 1]) for points in found.values()]))
    wide = float(np.median([np.ptp(points[list(LIPS), 0]) for points in found.values()]))
    head, mouth = (head_side, head_side), (mouth_width, round(0.65 * mouth_width))
    return {
        frame: Portrait(
            _cut(images[frame], points, head, _HEAD_SHARE * tall),
            _cut(images[frame], points[list(LIPS)], mouth, 1.9 * wide),
        )
        for frame, points in found.items()
    }


def _cut(image: np.ndarray, around: np.ndarray, size: tuple[int, int], span: float) -> np.ndarray:
    """`size` (width, height) pixels about the middle of some points, `span` pixels of the image wide."""
    import cv2

    centre = (around.min(axis=0) + around.max(axis=0)) / 2
    scale = size[0] / span
    if scale < 1:  # Reduced first: warping alone would skip pixels.
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        centre, scale = centre * scale, 1.0
    matrix = np.array([[scale, 0, size[0] / 2 - scale * centre[0]], [0, scale, size[1] / 2 - scale * centre[1]]])
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
