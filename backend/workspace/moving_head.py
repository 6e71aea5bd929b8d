"""A head that moves before a camera, with what is heard, as other programs take it. Both processes make one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .audio_cut import cut_audio
from .camera import Camera
from .shapes import Float


@dataclass(frozen=True)
class MovingHead:
    """What a head does in `n` frames; the first is at time 0.

    Attributes:
        blendshapes: weights of `protocol.BLENDSHAPE_NAMES`.
        head_to_world: of the head; which way its axes lie is its maker's choice.
        camera_to_world: of the camera, without scale.
        camera: of the image, pixels.
        rate: frames a second.
        audio: what is heard, and the time in it of the first frame, seconds; None where there is none.
    """

    blendshapes: Float[np.ndarray, "n 52"]
    head_to_world: Float[np.ndarray, "n 4 4"]
    camera_to_world: Float[np.ndarray, "n 4 4"]
    camera: Camera
    rate: Fraction
    audio: tuple[Path, float] | None = None

    @property
    def frames(self) -> int:
        return len(self.blendshapes)

    @property
    def duration_s(self) -> float:
        return float(self.frames / self.rate)

    @property
    def camera_moves(self) -> bool:
        return bool(np.ptp(self.camera_to_world, axis=0).max() > 0)

    def write_audio(self, path: Path) -> Path | None:
        """Write what is heard during these frames, where there is anything; `cut_audio`'s exceptions."""
        if self.audio is None:
            return None
        source, start_s = self.audio
        cut_audio(source, path, start_s, self.duration_s)
        return path
