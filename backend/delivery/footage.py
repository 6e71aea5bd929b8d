"""The images of a clip that a rendered head is put into, at any size: its frames, the same without the head, its background."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..media.footage import write_footage
from ..portrait_sync.blend import place
from ..portrait_sync.clip_background import ClipBackground
from ..progress import Reporter
from ..workspace.images import read_image
from ..workspace.store import Workspace
from ..workspace.subject import Subject
from .covers import cover_in
from .place import Place


class Footage:
    """Of the complete source frames, in any order; a `portrait_sync.portrait.Surroundings`."""

    def __init__(self, workspace: Workspace, width: int, height: int, reporter: Reporter) -> None:
        self._workspace, self._size = workspace, (width, height)
        self._background = ClipBackground(workspace)
        self._pattern = None if workspace.subject.is_full_frame else write_footage(workspace, reporter)

    def frame(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8."""
        return resized(self._source(index), self._size)

    def plate(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8, without the head."""
        return self._placed(self._workspace.read_plate(index), index)

    def background(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8, without the person where the working frame shows it."""
        return self._placed(self._background.at(index), index)

    def cover(self, index: int) -> np.ndarray | None:
        """(height, width) float32: how much of a pixel is before the head; None where nothing is."""
        place = Place.in_source(self._workspace.subject, self._size[0])
        return cover_in(self._workspace, index, place, self._size[::-1])

    def to_image(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the working frame in pixels of these images."""
        subject = self._workspace.subject
        source = points_px * subject.scale + np.array([subject.place.x, subject.place.y])
        return source * (np.array(self._size) / np.array(subject.source_size))

    def _source(self, index: int) -> np.ndarray:
        return (
            self._workspace.read_frame(index) if self._pattern is None else read_image(Path(str(self._pattern) % index))
        )

    def _placed(self, image: np.ndarray, index: int) -> np.ndarray:
        """An image of the working frame in the source frame."""
        if self._pattern is not None:
            image = place(image, self._workspace.subject.place, self._source(index))
        return resized(image, self._size)


class WorkingFrames:
    """Of the square working frames, in any order; a `portrait_sync.portrait.Surroundings`."""

    def __init__(self, workspace: Workspace, side: int) -> None:
        self._workspace, self._side = workspace, side
        self._background = ClipBackground(workspace)

    def frame(self, index: int) -> np.ndarray:
        """(side, side, 3) uint8."""
        return resized(self._workspace.read_frame(index), (self._side, self._side))

    def plate(self, index: int) -> np.ndarray:
        """(side, side, 3) uint8, without the head."""
        return resized(self._workspace.read_plate(index), (self._side, self._side))

    def background(self, index: int) -> np.ndarray:
        """(side, side, 3) uint8, without the person."""
        return resized(self._background.at(index), (self._side, self._side))

    def cover(self, index: int) -> np.ndarray | None:
        """(side, side) float32: how much of a pixel is before the head; None where nothing is."""
        place = Place(self._side / self._workspace.subject.size, 0.0, 0.0)
        return cover_in(self._workspace, index, place, (self._side, self._side))

    def matte(self, index: int, channel: int) -> np.ndarray:
        """(side, side) uint8: one channel of `Workspace.read_matte`."""
        matte = np.ascontiguousarray(self._workspace.read_matte(index)[..., channel])
        return resized(matte, (self._side, self._side))

    def to_image(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the working frame in pixels of these images."""
        return points_px * (self._side / self._workspace.subject.size)


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
