"""A clip's frames as they are stored: planes in its own depth, matrix and range, upright, without bars, for a delivery."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from ..errors import MediaError
from ..workspace.images import read_image
from ..workspace.subject import FrameCorrections
from .alpha import has_alpha
from .conversion import Layout, encoding_of_frame
from .decode import FrameReader, frames_in
from .encodings import encoding_of
from .samples import RGB, RGB8, RGB16, Planes, SampleFormat, StoredFormat, converted, from_signal, resized, signal

_HELD_BYTES = 256 * 2**20
"""Frames that are held when their order is not the clip's."""
_SEEK_FRAMES = 100
"""Fewer frames that are not wanted are decoded and passed over."""
_UNSTATED = 2


@dataclass(frozen=True)
class Wanted:
    """What a delivery takes of the frames.

    Attributes:
        samples, size: width and height; those of the clip leave its values as they are.
        is_bt709: the clip's encoding is brought to BT.709.
    """

    samples: SampleFormat
    size: tuple[int, int]
    is_bt709: bool = False


def read_stored(path: Path, corrections: FrameCorrections) -> StoredFormat:
    """How a clip's frames are stored; of its first one.

    Raises:
        MediaError: as `probe`.
    """
    found = next(iter(_StoredReader(path, corrections)), None)
    if found is None:
        raise MediaError(f"No frame of {path} can be decoded: convert the clip to H.264 in an MP4 file.")
    return found[1].clip


def stored_frames(
    path: Path, corrections: FrameCorrections, rate: Fraction, wanted: Wanted, plan: Sequence[int]
) -> Generator[Planes, None, None]:
    """Frames of a clip in any order, one for each number of `plan`; memory does not grow with their number.

    Args:
        rate: by which frames are numbered.

    Raises:
        MediaError: as `probe`, or the clip is shorter than it was.
    """
    size = wanted.samples.bits // 8 * 3 * wanted.size[0] * wanted.size[1]
    together = max(2, _HELD_BYTES // size)
    clip: _StoredReader | None = None
    frames: Iterator[tuple[float, _StoredFrame]] = iter(())
    position, held = 0, dict[int, Planes]()
    for place, number in enumerate(plan):
        if number not in held:
            soon = set(plan[place : place + together])
            missing = sorted(other for other in soon - held.keys() if other <= number)
            in_reach = [other for other in missing if other >= position]
            if clip is None or not in_reach or in_reach[0] - position > _SEEK_FRAMES:
                position, clip, frames = missing[0], None, iter(())
                gc.collect()  # PyAV's container and its tracks hold each other, and with them a decoder's frames
                clip = _StoredReader(path, corrections, float(position / rate), rate)
                frames, in_reach = iter(clip), missing
            for other in in_reach:
                found = next(itertools.islice(frames, other - position, None), None)
                if found is None:
                    end = frames_in(clip.end_s, rate)
                    raise MediaError(f"{path} ends at frame {end}, before frame {other}: process it again.")
                held[other], position = found[1].delivered(wanted), other + 1
        yield held[number]
        if number not in plan[place + 1 : place + 1 + together]:
            del held[number]  # its memory is the decoder's, which takes it for the next frame


def image_frames(pattern: Path, wanted: Wanted, plan: Sequence[int]) -> Generator[Planes, None, None]:
    """The same from 8-bit images, `%06d` for the frame's number: of a clip that is no longer there."""
    for number in plan:
        red, green, blue = cv2.split(read_image(Path(str(pattern) % number)))
        planes = resized((red, green, blue), RGB8, wanted.size)
        yield converted(planes, RGB8, wanted.samples)


@dataclass(frozen=True)
class _StoredFrame:
    """A decoded frame with what says how it is shown; converted only when it is asked for."""

    frame: av.VideoFrame
    layout: Layout
    reader: _StoredReader

    @property
    def clip(self) -> StoredFormat:
        """What its clip is, by this frame."""
        samples, (width, height) = self._samples, self._size
        primaries, transfer = int(self.frame.color_primaries), int(self.frame.color_trc)
        is_log = bool(self.reader.corrections.colour)
        if not is_log:
            usual = {RGB: 1, 5: 5, 6: 6}.get(samples.matrix, samples.matrix if samples.matrix in (1, 7, 9) else 1)
            primaries = usual if primaries == _UNSTATED else primaries
            transfer = (14 if usual == 9 else 6 if usual in (5, 6) else 1) if transfer == _UNSTATED else transfer
        shown = self.layout.width, self.layout.height
        aspect = Fraction(shown[0] * self._turned_size[1], shown[1] * self._turned_size[0]).limit_denominator(255)
        encoding = encoding_of_frame(self.frame, self.reader.corrections)
        return StoredFormat(samples, width, height, aspect, primaries, transfer, encoding)

    def delivered(self, wanted: Wanted) -> Planes:
        planes, samples = self._planes(), self._samples
        encoding = encoding_of(encoding_of_frame(self.frame, self.reader.corrections)) if wanted.is_bt709 else None
        if encoding is not None:
            deep = np.rint(np.clip(signal(planes, samples), 0, 1) * 65535).astype(np.uint16)
            red, green, blue = cv2.split(encoding.to_working(deep))
            planes, samples = (red, green, blue), RGB8
        (left, top), layout = self.reader.corrections.bars_px, self.layout
        shown = layout.width - 2 * left, layout.height - 2 * top
        is_alike = any(abs(w * wanted.size[1] / h - wanted.size[0]) < 1.5 for w, h in (self._size, shown))
        fit = resized if is_alike else _fitted
        planes = converted(fit(planes, samples, wanted.size), samples, wanted.samples)
        first, second, third = (np.ascontiguousarray(plane) for plane in planes)
        return first, second, third

    @property
    def _samples(self) -> SampleFormat:
        pixels = self.frame.format
        if self._is_keyed:
            return RGB8
        bits = max(component.bits for component in pixels.components)
        if pixels.is_rgb or len(pixels.components) < 3 or "pal" in pixels.name:
            return RGB16 if bits > 8 else RGB8
        across, down = (int(np.log2(64 // length(64))) for length in (pixels.chroma_width, pixels.chroma_height))
        full_range = int(self.frame.color_range) == 2 or pixels.name.startswith("yuvj")
        stated = int(self.frame.colorspace)
        is_601 = self.layout.matrix == 5
        matrix = (
            (stated if stated in (5, 6) else 5 if self.frame.height == 576 else 6) if is_601 else self.layout.matrix
        )
        return SampleFormat(bits, (across, down), int(matrix), full_range)

    @property
    def _is_keyed(self) -> bool:
        return has_alpha(self.frame) and not self.reader.corrections.ignore_alpha

    @property
    def _turned_size(self) -> tuple[int, int]:
        """Width and height of the upright frame, bars included, in stored pixels."""
        size = self.frame.width, self.frame.height
        return size[::-1] if self.layout.swap else size

    @property
    def _bars(self) -> tuple[int, int]:
        """In stored pixels."""
        (left, top), (width, height) = self.reader.corrections.bars_px, self._turned_size
        return round(left * width / self.layout.width), round(top * height / self.layout.height)

    @property
    def _size(self) -> tuple[int, int]:
        (width, height), (left, top) = self._turned_size, self._bars
        return width - 2 * left, height - 2 * top

    def _planes(self) -> Planes:
        """Upright, without bars."""
        if self._is_keyed:
            image = self.reader.image_of(self.frame, self.layout)
            image = cv2.resize(image[..., :3], self._size) if image.shape[1::-1] != self._size else image[..., :3]
            red, green, blue = cv2.split(image)
            return red, green, blue
        samples, layout, (left, top) = self._samples, self.layout, self._bars
        planes = _planes_of(self.frame, samples, layout.matrix)
        across, down = samples.chroma if samples.matrix != RGB else (0, 0)
        turns = layout.swap or layout.flip_x or layout.flip_y
        full = SampleFormat(samples.bits, (0, 0), samples.matrix, samples.full_range)
        # Chroma lies beside its pixels: turned or cut between them it has to be interpolated. Luma stays as it is.
        between = (across or down) and (turns or left % (1 << across) or top % (1 << down))
        if between:
            planes = converted(planes, samples, full)
            across = down = 0
        cut = []
        for index, plane in enumerate(planes):
            x, y = (left >> across, top >> down) if index else (left, top)
            plane = layout.upright(plane)
            cut.append(plane[y : plane.shape[0] - y, x : plane.shape[1] - x])
        upright = cut[0], cut[1], cut[2]
        return converted(upright, full, samples) if between else upright


class _StoredReader(FrameReader):
    """Yields frames that are not converted yet."""

    def __init__(
        self, path: Path, corrections: FrameCorrections, start_s: float = 0.0, rate: Fraction | None = None
    ) -> None:
        super().__init__(path, start_s=start_s, corrections=corrections, rate=rate)
        self.image_of = super()._conversion()

    def _conversion(self) -> Callable[[av.VideoFrame, Layout], Any]:
        return lambda frame, layout: _StoredFrame(frame, layout, self)


def _planes_of(frame: av.VideoFrame, samples: SampleFormat, matrix: int) -> Planes:
    """The planes of a decoded frame, once FFmpeg has sorted its samples; their values stay."""
    if frame.format.name.replace("yuvj", "yuv") != samples.pixels:
        frame = VideoReformatter().reformat(
            frame,
            format=samples.pixels,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=2 if samples.full_range else 1,
            dst_color_range=2 if samples.full_range else 1,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            threads=1,
        )
    planes = [np.frombuffer(plane, samples.dtype).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]
    if samples.matrix == RGB:  # FFmpeg's order is G, B, R.
        planes = [planes[2], planes[0], planes[1]]
    return planes[0], planes[1], planes[2]


def _fitted(planes: Planes, samples: SampleFormat, size: tuple[int, int]) -> Planes:
    """A frame of another size in the middle of one of `size`, the rest black."""
    image = signal(planes, samples)
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = (max(round(side * scale), 1) for side in image.shape[1::-1])
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    beyond_x, beyond_y = size[0] - width, size[1] - height
    left, top = beyond_x // 2, beyond_y // 2
    image = cv2.copyMakeBorder(image, top, beyond_y - top, left, beyond_x - left, cv2.BORDER_CONSTANT)
    return from_signal(image, samples)
