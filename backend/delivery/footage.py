"""The images of a clip that a rendered head is put into, at any size: its frames, the same without the head, its background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..portrait_sync.blend import resample, unit_blur, working_ramp
from ..portrait_sync.clip_background import ClipBackground
from ..portrait_sync.fill import dilated
from ..portrait_sync.taps import Taps
from ..workspace.store import Workspace
from ..workspace.subject import Subject
from .canvas import Layer, whole_steps
from .covers import cover_in
from .layers import LastImages
from .place import Place
from .plane_kernels import largest_difference, over_plate, pad_plate, shown_box

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
        images: of the workspace, where others read them too.
    """

    def __init__(self, workspace: Workspace, place: Place, window: Window, images: LastImages | None = None) -> None:
        self._workspace, self._place, self._window = workspace, place, window
        self._images = images or LastImages(workspace)
        self._shape = window.height, window.width
        # New memory for each frame costs as much as the layer.
        self._pixels = np.empty(4 * window.height * window.width, np.float32)
        self._plate = np.empty((*[workspace.subject.size + 2 * self._reach] * 2, 4), np.float32)
        self._background = ClipBackground(workspace)

    def frame(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8."""
        return self._placed(self._images.frame(index))

    def plate(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8, without the head."""
        return self._placed(self._images.plate(index))

    def background(self, index: int) -> np.ndarray:
        """(height, width, 3) uint8, without the person."""
        return self._placed(self._background.at(index))

    def cover(self, index: int) -> np.ndarray | None:
        """(height, width) float32: how much of a pixel is before the head; None where nothing is."""
        return cover_in(self._workspace, index, self._place, self._shape)

    def to_image(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the working frame in pixels of the window."""
        return points_px * self._place.scale + np.array([self._place.x, self._place.y])

    def over_plate(self, head: np.ndarray, index: int) -> Layer:
        """A head over the plate, as far as that shows something else than the frame; valid until the next layer.

        Args:
            head: (height, width, 4) float32, premultiplied, display-encoded.
        """
        plate = self._images.plate(index)
        return self._over(head, plate, plate_coverage(self._images.frame(index), plate))

    def over_background(self, head: np.ndarray, index: int) -> Layer:
        """A head over the background, which fades at those borders of the working frame that the source continues beyond; likewise."""
        return self._over(head, self._background.at(index), working_ramp(self._workspace.subject))

    def _over(self, head: np.ndarray, image: np.ndarray, share: np.ndarray) -> Layer:
        """Over the image, (S, S, 3) uint8 of the working frame, as far as `share`, (S, S) float32, has it."""
        head, step = np.ascontiguousarray(head, np.float32), 1.0 / self._place.scale
        rows, columns = self._part(shown_box(head), share)
        margin = self._reach
        plate = self._plate
        pad_plate(image, np.ascontiguousarray(share), margin, plate)
        if step > 1.0:
            plate = cv2.GaussianBlur(plate, (0, 0), unit_blur(step))
        taps = [
            Taps.at(margin + (part.start - at) * step, step, part.stop - part.start, length)
            for part, at, length in zip((rows, columns), (self._place.y, self._place.x), plate.shape[:2], strict=True)
        ]
        shape = rows.stop - rows.start, columns.stop - columns.start, 4
        out = self._pixels[: shape[0] * shape[1] * 4].reshape(shape)
        over_plate(head, rows.start, columns.start, plate, *taps, out)
        return Layer(self._window.x + columns.start, self._window.y + rows.start, out)

    @property
    def _reach(self) -> int:
        """How far beyond its own a pixel of the working frame is seen, in its pixels."""
        step = 1.0 / self._place.scale
        return 2 if step <= 1.0 else 2 + int(np.ceil(4 * unit_blur(step)))

    def _part(self, shown: tuple[int, int, int, int], share: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns of the window, in whole steps of a layer, that show a head, which has this box, or a share of the plate."""
        x, y, width, height = cv2.boundingRect((share > 0).astype(np.uint8))
        place, window = self._place, self._window
        parts = []
        for at, first, length, head, origin, limit in (
            (place.y, y, height, shown[::2], window.y, window.height),
            (place.x, x, width, shown[1::2], window.x, window.width),
        ):
            ends = [head] if head[1] else []
            if length:
                low, high = first - self._reach, first + length + self._reach
                ends += [(int(at + place.scale * low), int(at + place.scale * high) + 1)]
            starts, stops = zip(*ends, strict=True) if ends else ((0,), (0,))
            parts.append(whole_steps(max(0, min(starts)), min(limit, max(stops)), origin, limit))
        return parts[0], parts[1]

    def _placed(self, image: np.ndarray) -> np.ndarray:
        step = 1.0 / self._place.scale
        return resample(image, (-self._place.x * step, -self._place.y * step), step, self._shape[::-1])


def plate_coverage(frame: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """(S, S) float32 in [0, 1]: 1 where a plate shows something else than its frame, 0 where it repeats it.

    Both are JPEG images and so differ a little everywhere.
    """
    apart = np.empty(frame.shape[:2], np.uint8)
    largest_difference(frame, plate, apart)
    changed = (cv2.blur(apart, (3, 3)) > _JPEG_LEVELS).astype(np.uint8)
    changed = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    reach = max(1, round(_COVERAGE_REACH * len(frame)))
    changed = 1 - dilated(1 - dilated(changed, 4 * reach), 4 * reach)
    wide = cv2.GaussianBlur(dilated(changed, 2 * reach).astype(np.float32), (0, 0), 0.6 * reach)
    return np.clip(wide, 0, 1) * dilated(changed, 4 * reach)


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
