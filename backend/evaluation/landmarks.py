"""Face landmarks of predicted and true frames, found the same way in both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from ..head_sync.landmarks import FaceLandmarker, open_landmarker
from ..workspace.landmarks import COUNT


@contextlib.contextmanager
def lip_reader(landmarker: str = "auto") -> Iterator[tuple[FaceLandmarker, Callable[[np.ndarray], np.ndarray]]]:
    """A separate landmarker for one run of frames, and the function (H, W, 3) uint8 -> (478, 2) pixels.

    Args:
        landmarker: `task`, `mesh`, or `auto` for the task where its file is, else the mesh inside the mediapipe package.
            The task reads lips more accurately (docs/evaluation.md), and figures of the two are not to be compared.

    Yields:
        The landmarker, whose `source` names it, and the function, which gives NaN where no face is found.

    Raises:
        ModelError: what was asked for is missing or damaged.
    """
    opened = open_landmarker(landmarker)

    def read(image: np.ndarray) -> np.ndarray:
        faces = opened.detect(np.ascontiguousarray(image))
        if not faces:
            return np.full((COUNT, 2), np.nan, np.float32)
        return max(faces, key=lambda face: face.size_px).points_px

    try:
        yield opened, read
    finally:
        opened.close()
