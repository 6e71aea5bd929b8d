"""Face landmarks of predicted and true frames, found the same way in both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from ..head_sync.landmarks import FaceLandmarker, open_landmarker
from ..workspace.landmarks import COUNT
from ..workspace.shapes import Float


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


def box_around(
    points: Float[np.ndarray, "points 2"], size: tuple[int, int], margin: float
) -> tuple[slice, slice] | None:
    """Rows and columns around points in an image.

    Args:
        points: pixels.
        size: width and height of the image.
        margin: on each side, of the points' width.

    Returns:
        None where a point is NaN, or all of the box is outside of the image.
    """
    if not np.isfinite(points).all():
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    border = margin * (high[0] - low[0])
    left, top = np.maximum(np.floor(low - border), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high + border), size).astype(int)
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None
