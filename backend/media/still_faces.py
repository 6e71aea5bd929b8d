"""Second faces that never move: a portrait on the wall, a poster, a paused screen."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import cv2
import numpy as np

from .faces import SURE, Face, distinct

SIDE = 32
"""Faces are compared at this size."""

STILL = 4.0
"""8-bit levels by which a face differs from sample to sample, in the mean: 0 to 1 on a poster, 16 and more where
a person speaks."""

_MIN_SAMPLES = 3


@dataclass
class _Place:
    face: Face
    patches: list[np.ndarray] = field(default_factory=list)

    @functools.cached_property
    def still(self) -> bool:
        """Once all samples are taken."""
        return len(self.patches) >= _MIN_SAMPLES and _change(self.patches) < STILL


class StillFaces:
    """Watches the places where faces were seen."""

    def __init__(self) -> None:
        self._places: list[_Place] = []

    def see(self, image: np.ndarray, faces: list[Face]) -> None:
        """Take a sample, (H, W, 3) uint8, and the faces in it."""
        for face in faces:
            if face.score >= SURE and len(distinct([*(place.face for place in self._places), face])) > len(
                self._places
            ):
                self._places.append(_Place(face))
        for place in self._places:
            left, top, right, bottom = (max(round(side), 0) for side in place.face.box)
            patch = cv2.resize(image[top:bottom, left:right], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            place.patches.append(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY))

    def still(self, face: Face) -> bool:
        """Whether a face is one of those that never move, by its place; valid once all samples are taken."""
        place = next((place for place in self._places if len(distinct([place.face, face])) == 1), None)
        return place is not None and place.still


def _change(patches: list[np.ndarray]) -> float:
    """Mean difference to the median, of a quarter of the samples at least; without changes of light.

    It may be occluded briefly.
    """
    shown = np.stack(patches).astype(np.float32)
    shown -= shown.mean(axis=(1, 2), keepdims=True)
    difference = np.abs(shown - np.median(shown, axis=0)).mean(axis=(1, 2))
    return float(np.percentile(difference, 75))
