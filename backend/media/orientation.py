"""Which way up the person is in the image, for a clip that lost its rotation flag or has a wrong one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .faces import face_finder

SAMPLE_S = 1.0
"""Interval between sampled frames, seconds."""

SAMPLES = 12
"""Largest number of sampled frames with a face."""

LONGEST_S = 60.0
"""Search limit without a face, seconds: the image is not rotated then."""

UPRIGHT = 0.9
"""BlazeFace scores upright faces 0.90 to 0.97; the same turned by 90 degrees 0.57 to 0.92, by 180 at most 0.79."""

_SURE_AFTER = 3
_MARGIN = 0.05
_MOST_ROLL_DEG = 45.0


def find_rotation(images: Iterable[tuple[float, np.ndarray]]) -> int:
    """By how much the images must be turned clockwise for the face to be upright: 0, 90, 180 or 270 degrees.

    Args:
        images: (time in seconds, (H, W, 3) uint8 RGB), about `SAMPLE_S` apart. No more are taken than are needed: of a
            clip that is upright, three that show a face.
    """
    scores: list[list[float]] = []
    with face_finder() as finder:
        for time_s, image in images:
            found = [_score(finder, np.rot90(image, -turn)) for turn in range(4)]
            if max(found) > 0:
                scores.append(found)
            mean = np.mean(scores, axis=0) if scores else np.zeros(4)
            if len(scores) == SAMPLES or time_s > LONGEST_S or (len(scores) >= _SURE_AFTER and mean[0] >= UPRIGHT):
                break
    if len(scores) < _SURE_AFTER:
        return 0
    best = int(np.argmax(mean))
    return 90 * best if mean[best] > mean[0] + _MARGIN else 0


def _score(finder, image: np.ndarray) -> float:
    """Of the best upright face in an image, 0 where there is none."""
    faces = finder.find(np.ascontiguousarray(image), thorough=True)
    return max((face.score for face in faces if abs(face.roll_deg) < _MOST_ROLL_DEG), default=0.0)
