"""What complete frames are delivered as: the clip's own format as far as a codec or an image format has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np

from ..media.codecs import CODECS, EXR, H264, PNG, Codec
from ..media.encodings import encoding_of
from ..media.samples import RGB, RGB8, RGB16, SIGNAL, Planes, SampleFormat, StoredFormat
from ..media.stored import Wanted
from .plane_kernels import shown_box
from .planes import composite

STEP = 4
"""Layers begin and end at multiples of this, or at the frame's edge: chroma has at most so many times fewer columns."""
_BT709 = 1


@dataclass(frozen=True)
class Layer:
    """An image over a frame: x and y of its corner in the frame as it is shown, and (h, w, 4) float32, premultiplied, as a BT.709
    image shows it."""

    x: int
    y: int
    rgba: np.ndarray


@dataclass(frozen=True)
class Canvas:
    """
    Attributes:
        stored: the format of the frames.
        shown: their width and height with square pixels.
        is_bt709: a clip of another encoding is brought to BT.709.
    """

    stored: StoredFormat
    shown: tuple[int, int]
    is_bt709: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in stored pixels."""
        return self.stored.width, self.stored.height

    @property
    def wanted(self) -> Wanted:
        """What is taken of the clip's frames."""
        return Wanted(self.stored.samples, self.size, self.is_bt709)

    def composite(self, planes: Planes, layer: Layer) -> None:
        """Composite a layer over a frame in place; where its alpha is 0 the frame's values stay."""
        x, y, rgba = self._as_stored(_tight(layer))
        encoding = encoding_of(self.stored.encoding)
        if encoding is not None and rgba.size:
            alpha = rgba[..., 3:]
            rgba = np.concatenate([encoding.from_working(rgba[..., :3] / np.maximum(alpha, 1e-6)) * alpha, alpha], -1)
        if rgba.size:
            composite(planes, self.stored.samples, (x, y), rgba)

    def _as_stored(self, layer: Layer) -> tuple[int, int, np.ndarray]:
        """In stored pixels; what is beyond the frame is cut off."""
        stored, (height, width) = self.size, layer.rgba.shape[:2]
        scale = [length / shown for length, shown in zip(stored, self.shown, strict=True)]
        box = []
        for start, length, factor, limit in zip((layer.x, layer.y), (width, height), scale, stored, strict=True):
            first = max(0, int(np.floor(start * factor)) // STEP * STEP)
            last = min(limit, -int(-np.ceil((start + length) * factor) // STEP) * STEP)
            box.append((first, max(last, first)))
        (left, right), (top, bottom) = box
        if right == left or bottom == top:
            return left, top, np.zeros((0, 0, 4), np.float32)
        if scale == [1, 1]:
            beyond = (layer.y - top, bottom - layer.y - height), (layer.x - left, right - layer.x - width), (0, 0)
            rgba = layer.rgba[max(0, -beyond[0][0]) :, max(0, -beyond[1][0]) :][: bottom - top, : right - left]
            if rgba.shape[:2] != (bottom - top, right - left):
                rgba = np.pad(rgba, [(max(0, before), max(0, after)) for before, after in beyond])
            return left, top, np.ascontiguousarray(rgba, np.float32)
        # From the middle of a stored pixel to the layer's place.
        matrix = np.array(
            [
                [1 / scale[0], 0, (left + 0.5) / scale[0] - layer.x - 0.5],
                [0, 1 / scale[1], (top + 0.5) / scale[1] - layer.y - 0.5],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (right - left, bottom - top)
        return left, top, cv2.warpAffine(layer.rgba, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)


def codec_for_clip(clip: StoredFormat) -> str:
    """The codec of a delivery for which none is named: one that has the clip's depth."""
    return "hevc" if clip.samples.bits > 8 or clip.encoding else H264


def video_canvas(clip: StoredFormat, codec: str, shown: tuple[int, int], is_own_size: bool) -> Canvas:
    """For a codec of `CODECS`.

    Args:
        shown: width and height of the frames with square pixels.
        is_own_size: they are the clip's: then its pixels are taken as they are.
    """
    chosen = CODECS[codec]
    bits, chroma = _planes_of(chosen)
    matrix = clip.samples.matrix or _BT709
    if "dnxhr" in codec:
        matrix = _BT709  # FFmpeg reads DNxHR of any other as BT.709.
    full_range = clip.samples.full_range and clip.samples.matrix != RGB and chosen.has_full_range
    return _canvas(clip, SampleFormat(bits, chroma, matrix, full_range), shown, is_own_size)


def sequence_canvas(clip: StoredFormat, kind: str, shown: tuple[int, int], is_own_size: bool) -> Canvas:
    """For a format of `codecs.FORMATS`; other arguments as `video_canvas` has them."""
    return _canvas(clip, {PNG: RGB8, EXR: SIGNAL}.get(kind, RGB16), shown, is_own_size)


def _canvas(clip: StoredFormat, samples: SampleFormat, shown: tuple[int, int], is_own_size: bool) -> Canvas:
    is_bt709 = bool(clip.encoding) and samples.bits == 8
    if is_bt709:  # 8 bits would show steps
        samples = samples if samples.matrix == RGB else replace(samples, matrix=_BT709, full_range=False)
        clip = replace(clip, primaries=1, transfer=1, encoding="")
    stored = replace(clip, samples=samples)
    if not is_own_size:
        stored = replace(stored, width=shown[0], height=shown[1], pixel_aspect=Fraction(1))
    return Canvas(stored, shown, is_bt709)


def _planes_of(codec: Codec) -> tuple[int, tuple[int, int]]:
    """Depth and chroma of a codec."""
    for bits in (8, 10):
        for chroma in ((1, 1), (1, 0), (0, 0)):
            if SampleFormat(bits, chroma).pixels == codec.pixels:
                return bits, chroma
    raise ValueError(f"{codec.title} has no planes of Y'CbCr alone")


def whole_steps(first: int, last: int, origin: int, length: int) -> slice:
    """Pixels of an image from `first` to `last`, widened to whole steps of a frame in which it begins at `origin`, within its `length`."""
    low, high = (first + origin) // STEP * STEP - origin, -(-(last + origin) // STEP) * STEP - origin
    return slice(max(0, low), min(length, high))


def _tight(layer: Layer) -> Layer:
    """Without rows and columns that show nothing, but for what completes steps."""
    rgba = np.ascontiguousarray(layer.rgba, np.float32)
    top, left, bottom, right = shown_box(rgba)
    if bottom == top:
        return Layer(layer.x, layer.y, rgba[:0, :0])
    rows, columns = (
        whole_steps(*ends, origin, length)
        for ends, origin, length in zip(((top, bottom), (left, right)), (layer.y, layer.x), rgba.shape[:2], strict=True)
    )
    return Layer(layer.x + columns.start, layer.y + rows.start, rgba[rows, columns])
