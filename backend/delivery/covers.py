"""What covers the face in the footage, in an image that a head is rendered into (docs/portrait-sync.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..portrait_sync.blend import resample
from ..workspace.store import Workspace

if TYPE_CHECKING:
    from .place import Place


def cover_in(workspace: Workspace, frame: int, place: Place, shape: tuple[int, int]) -> np.ndarray | None:
    """(rows, columns) float32 in [0, 1] of an image of that shape; None where the frame of the footage shows no cover.

    Args:
        place: of the working frame in the image.
    """
    if not 0 <= frame < workspace.subject.frames:
        return None
    cover = workspace.read_cover(frame)
    if cover is None:
        return None
    step = 1.0 / place.scale
    padded = np.pad(cover, 1)  # beyond the working frame nothing is known to be a cover
    origin = 1.0 - place.x * step, 1.0 - place.y * step
    return resample(padded, origin, step, shape[::-1]).astype(np.float32) / 255.0
