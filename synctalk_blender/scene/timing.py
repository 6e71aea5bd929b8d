"""Where the frames of an animation lie in a scene of any frame rate. Pure functions on numbers; no `bpy` here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_SAME_RATE = 1e-4
"""Rates that differ by less, as a share, are one: 24 and 23.976 are two, 29.97 and 30000/1001 are one."""


@dataclass(frozen=True)
class Timing:
    """An animation of `clip_fps` frames a second that begins at the scene's frame `first_frame`."""

    first_frame: int
    clip_fps: float
    scene_fps: float

    @property
    def step(self) -> float:
        """Scene frames for one frame of the animation."""
        ratio = self.scene_fps / self.clip_fps
        return 1.0 if abs(ratio - 1.0) < _SAME_RATE else ratio

    def frames(self, count: int) -> np.ndarray:
        """(count) float64: the scene frame that each frame of the animation lies at, between two where rates differ."""
        return self.first_frame + np.arange(count) * self.step

    def length(self, count: int) -> int:
        """How many scene frames begin within `count` frames of the animation."""
        return max(1, math.ceil(count * self.step - 1e-6))

    def last_frame(self, count: int) -> int:
        """The scene's last frame of `count` frames of the animation."""
        return self.first_frame + self.length(count) - 1

    def shown(self, values: np.ndarray) -> np.ndarray:
        """(N) values, one a frame of the animation, as (M) values, one a scene frame from `first_frame` on: the nearest."""
        nearest = np.floor(np.arange(self.length(len(values))) / self.step + 0.5).astype(np.int64)
        return np.asarray(values)[np.minimum(nearest, len(values) - 1)]
