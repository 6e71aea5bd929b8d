"""Where the working frame lies in the source: a square around all the places the head goes."""

from __future__ import annotations

import numpy as np

from ..workspace.subject import Crop

FACE_SHARE = 0.40
"""Wanted height of the face box, forehead to chin, as a share of the working frame."""

# What belongs to a head beyond the detector's box, in heights of that box: hair above, neck and shoulders below.
_ABOVE, _BELOW, _BESIDE = 0.65, 0.5, 0.4

_WHOLE_IMAGE = 0.8
_NEARLY = 1.13
MULTIPLE = 16


def choose_crop(boxes: np.ndarray, width: int, height: int, limit: int) -> tuple[Crop, int]:
    """The square of the source that becomes the working frame, and the working frame's side.

    A head that already fills its frame keeps all of it, and a square no larger than `limit` is cut out pixel by
    pixel: resampling would cost sharpness for nothing.

    Args:
        boxes: (M, 4) left, top, right, bottom of the face box over the clip, source pixels.
        width, height: of the source as shown, pixels.
        limit: largest side of the working frame, pixels; a multiple of 16.

    Returns:
        The crop in source pixels, and the side S of the working frame: a multiple of 16, at most `limit` and at most
        the crop's own.
    """
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    # Outliers must not widen the crop.
    left, top = np.percentile(boxes[:, :2], 2, axis=0) - tall * np.array([_BESIDE, _ABOVE])
    right, bottom = np.percentile(boxes[:, 2:], 98, axis=0) + tall * np.array([_BESIDE, _BELOW])
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)

    needed = max(right - left, bottom - top)
    size = max(tall / FACE_SHARE, needed)
    short = min(width, height)
    if size > _WHOLE_IMAGE * short:
        size = max(short, needed)
    if limit / _NEARLY < size < limit * _NEARLY and needed <= limit <= short:
        size = limit
    if size <= limit:
        side = max(int(size) // MULTIPLE * MULTIPLE, MULTIPLE)
        size = side
    else:
        side, size = limit, round(size)

    x = _place((left + right) / 2, size, width)
    y = _place((top + bottom) / 2, size, height)
    return Crop(x, y, size), side


def _place(centre: float, size: int, length: int) -> int:
    """First pixel of an interval around `centre`, kept inside the image where it fits."""
    start = round(centre - size / 2)
    return round((length - size) / 2) if size >= length else min(max(start, 0), length - size)
