"""The footage without its head, which a rendered head is composited over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..media.footage import write_footage
from ..portrait_sync.blend import place
from ..progress import Reporter
from ..workspace.images import read_image
from ..workspace.store import Workspace
from ..workspace.subject import Subject


class Footage:
    """Source frames without the head, at any size, in any order."""

    def __init__(self, workspace: Workspace, width: int, height: int, reporter: Reporter) -> None:
        self._workspace, self._size = workspace, (width, height)
        self._pattern = None if workspace.subject.is_full_frame else write_footage(workspace, reporter)

    def plate(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8."""
        plate = self._workspace.read_plate(index)
        if self._pattern is not None:
            plate = place(plate, self._workspace.subject.place, read_image(Path(str(self._pattern) % index)))
        return resized(plate, self._size)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image at (width, height)."""
    if image.shape[1::-1] == size:
        return image
    smaller = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def output_size(subject: Subject, size: int | None) -> tuple[int, int]:
    """Width and height of a video: the source's, or with `size` as its longer side."""
    width, height = subject.source_size
    if size is None:
        return width, height
    return max(2, round(width * size / max(width, height))), max(2, round(height * size / max(width, height)))
