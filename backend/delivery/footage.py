"""The images of a clip that a rendered head is put into, at any size: its frames, the same without the head, its background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..portrait_sync.blend import resample, working_ramp
from ..portrait_sync.clip_background import ClipBackground
from ..portrait_sync.fill import disc
from ..workspace.store import Workspace
from ..workspace.subject import Subject
from .covers import cover_in
from .place import Place

_JPEG_LEVELS = 4
"""Of 255: two images that repeat each other differ by up to 3."""
_COVERAGE_REACH = 0.004
"""Of the working frame's side."""


@dataclass(frozen=True)
class Window:
    """A part of a rendered image: its corner and size in pixels."""

    x: int
    y: int
    width: int
    height: int


class FootageWindow:
    """Of a window of the complete source frame, as far as the working frame shows it; a `portrait_sync.portrait.Surroundings`.

    Args:
        place: of the working frame in the window.
    """

    def __init__(self, workspace: Workspace, place: Place, window: Window) -> None:
        self._workspace, self._place, self._shape = workspace, place, (window.height, window.width)
        self._background = ClipBackground(workspace)

    def frame(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8."""
        return self._placed(self._workspace.read_frame(index))

    def plate(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8, without the head."""
        return self._placed(self._workspace.read_plate(index))

    def background(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8, without the person."""
        return self._placed(self._background.at(index))

    def cover(self, index: int) -> np.ndarray | None:
        """(height, width) float32: how much of a pixel is before the head; None where nothing is."""
        return cover_in(self._workspace, index, self._place, self._shape)

    def to_image(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the working frame in pixels of the window."""
        return points_px * self._place.scale + np.array([self._place.x, self._place.y])

    def deep_plate(self, index: int, part: tuple[slice, slice] | None = None) -> np.ndarray:
        """`plate`, (height, width, 3) float32, 0 to 1, or these rows and columns of it: enlarged, it has values between those of 8 bits."""
        plate = cv2.multiply(self._workspace.read_plate(index), (1 / 255,) * 4, dtype=cv2.CV_32F)
        return self._placed(plate, part=part)

    def deep_background(self, index: int) -> np.ndarray:
        """`background` likewise."""
        return self._placed(self._background.at(index).astype(np.float32)) * np.float32(1 / 255)

    def replaced(self, index: int) -> np.ndarray:
        """(height, width) float32 in [0, 1]: where the plate shows something else than the frame."""
        changed = plate_coverage(self._workspace.read_frame(index), self._workspace.read_plate(index))
        return self._placed(np.pad(changed, 1), margin=1)

    def inside(self) -> np.ndarray:
        """(height, width) float32: 1 in the working frame, falling to 0 at those of its borders that the source continues beyond."""
        return self._placed(np.pad(working_ramp(self._workspace.subject), 1), margin=1)

    def _placed(self, image: np.ndarray, margin: int = 0, part: tuple[slice, slice] | None = None) -> np.ndarray:
        step = 1.0 / self._place.scale
        rows, columns = part or tuple(slice(0, side) for side in self._shape)
        origin = margin + (columns.start - self._place.x) * step, margin + (rows.start - self._place.y) * step
        return resample(image, origin, step, (columns.stop - columns.start, rows.stop - rows.start))


def part_above_zero(share: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of an image (H, W) from the first to the last that has anything; one pixel where none has."""
    x, y, width, height = cv2.boundingRect((share > 0).astype(np.uint8))
    return slice(y, y + max(1, height)), slice(x, x + max(1, width))


def plate_coverage(frame: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """(S, S) float32 in [0, 1]: 1 where a plate shows something else than its frame, 0 where it repeats it.

    Both are JPEG images and so differ a little everywhere.
    """
    apart = cv2.blur(cv2.absdiff(frame, plate).max(axis=2), (3, 3))
    changed = cv2.morphologyEx((apart > _JPEG_LEVELS).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    reach = max(1, round(_COVERAGE_REACH * len(frame)))
    changed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, disc(4 * reach))
    wide = cv2.dilate(changed, disc(2 * reach)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(wide, (0, 0), 0.6 * reach), 0, 1) * (cv2.dilate(changed, disc(4 * reach)) > 0)


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
