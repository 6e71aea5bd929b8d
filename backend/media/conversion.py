"""Decoded frames as images: upright, with square pixels, in the colours that were meant, all of one size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from ..workspace.subject import ALPHA_BACKGROUND, FrameCorrections
from .alpha import composited, has_alpha
from .colour import ColourTags
from .encodings import SDR, encoding_of, tagged_encoding

_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class Converter:
    """Decoded frames to upright RGB with square pixels, over grey and with alpha where they have any; keeps the
    scaler's tables between frames.

    Args:
        size: (width, height) of the images; a frame of another size is fitted in, its borders black.
        max_side: make them no larger than this on their longer side.
        corrections: those of the alpha channel are applied.
    """

    def __init__(self, size: tuple[int, int], max_side: int | None, corrections: FrameCorrections) -> None:
        scale = min(max_side / max(size), 1.0) if max_side else 1.0
        self._size = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
        self._corrections = corrections
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, layout: Layout) -> np.ndarray:
        scale = min(self._size[0] / layout.width, self._size[1] / layout.height)
        shown = [
            side if abs(length * scale - side) < 1.5 else max(round(length * scale), 1)
            for side, length in zip(self._size, (layout.width, layout.height), strict=True)
        ]
        width, height = shown[::-1] if layout.swap else shown
        encoding = encoding_of(encoding_of_frame(frame, self._corrections))
        alpha = has_alpha(frame) and not self._corrections.ignore_alpha
        deep, plain = ("rgba64le", "rgba") if alpha else ("rgb48le", "rgb24")
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=deep if encoding else plain,
            src_colorspace=layout.matrix,
            interpolation=_CONVERSION,
            threads=1,
        )
        image = converted.to_ndarray()
        if encoding:
            opacity = (image[..., 3:] >> 8).astype(np.uint8)
            image = np.dstack([encoding.to_working(image[..., :3]), opacity])
        if alpha:
            image = composited(image, self._corrections.premultiplied)
        return _centred(layout.upright(image), self._size)


def encoding_of_frame(frame: av.VideoFrame, corrections: FrameCorrections) -> str:
    """The encoding that the corrections name, else that of the frame's tag; empty for an ordinary image."""
    if corrections.colour:
        return "" if corrections.colour == SDR else corrections.colour
    return tagged_encoding(int(frame.color_trc))


def _centred(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image in the middle of one of `size`, the rest black, or transparent where it has alpha."""
    beyond_x, beyond_y = size[0] - image.shape[1], size[1] - image.shape[0]
    if not beyond_x and not beyond_y:
        return image
    beyond = (ALPHA_BACKGROUND,) * 3 + (0,) if image.shape[2] == 4 else (0,) * 3
    top, left = beyond_y // 2, beyond_x // 2
    return cv2.copyMakeBorder(image, top, beyond_y - top, left, beyond_x - left, cv2.BORDER_CONSTANT, value=beyond)


@dataclass(frozen=True)
class Layout:
    """How a stored image is to be shown: its matrix, its size with square pixels, then the quarter turn or mirror."""

    stored: tuple[int, int]
    swap: bool
    flip_x: bool
    flip_y: bool
    matrix: int = Colorspace.DEFAULT

    @classmethod
    def of(cls, frame: av.VideoFrame, aspect: Fraction | None, colours: ColourTags) -> Layout:
        width, height = frame.width, frame.height
        aspect = aspect or Fraction(1)
        if aspect > 1:  # Stretch, never shrink: nothing that was recorded is lost.
            width = round(width * aspect)
        elif 0 < aspect < 1:
            height = round(height / aspect)
        return cls((width, height), *_display_turn(frame), colours.matrix_of(frame))

    def turned(self, degrees: int) -> Layout:
        """The same, then turned clockwise by quarter turns."""
        layout = self
        for _ in range(degrees // 90):  # Clockwise: the axes change places, then left and right do.
            layout = replace(layout, swap=not layout.swap, flip_x=not layout.flip_y, flip_y=layout.flip_x)
        return layout

    @property
    def width(self) -> int:
        return self.stored[1] if self.swap else self.stored[0]

    @property
    def height(self) -> int:
        return self.stored[0] if self.swap else self.stored[1]

    def upright(self, image: np.ndarray) -> np.ndarray:
        if self.swap:
            image = cv2.transpose(image)
        if self.flip_x or self.flip_y:
            image = cv2.flip(image, -1 if self.flip_x and self.flip_y else (1 if self.flip_x else 0))
        return image


def _display_turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """The display matrix as (swap axes, then mirror x, mirror y).

    ISO/IEC 14496-12, 6.2.2: a stored point (p, q) is shown at (a p + c q + x, b p + d q + y). Cameras write quarter
    turns and mirrors; the translation only brings the image back to the origin.
    """
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(float) / 65536
    if abs(a) + abs(d) < abs(b) + abs(c):
        return True, c < 0, b < 0
    return False, a < 0, d < 0
