"""Face landmarks of predicted and true frames, found the same way in both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from ..errors import ModelError
from ..head_sync.landmarks import LANDMARKS, FaceLandmarker, open_landmarker


@contextlib.contextmanager
def lip_reader() -> Iterator[tuple[FaceLandmarker, Callable[[np.ndarray], np.ndarray]]]:
    """A landmarker of its own for one run of frames, and the function (H, W, 3) uint8 -> (478, 2) pixels.

    The face mesh inside the mediapipe package is preferred to the downloaded task: figures then do not depend on what a
    machine has. The function gives NaN where no face is found.
    """
    try:
        landmarker = open_landmarker("mesh")
    except ModelError:
        landmarker = open_landmarker("auto")

    def read(picture: np.ndarray) -> np.ndarray:
        faces = landmarker.detect(np.ascontiguousarray(picture))
        if not faces:
            return np.full((LANDMARKS, 2), np.nan, np.float32)
        return max(faces, key=lambda face: face.size_px).points_px

    try:
        yield landmarker, read
    finally:
        landmarker.close()
