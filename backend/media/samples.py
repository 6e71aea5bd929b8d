"""Frames as planes of samples, in any depth, matrix and range: what is not touched keeps the values that it was stored with.

FFmpeg's scaler is not used: to 16-bit RGB it truncates (108 of 65,535 too dark in the mean, FFmpeg 8), and what it does to the
depth of full range depends on the formats.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

RGB = 0
"""The matrix of R'G'B' itself, ITU-T H.273."""
FLOAT = 32
_ROWS = 32
"""Rows worked on at once: few enough to stay in the processor's cache."""
_LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Share of red and of blue in luma, by ITU-T H.273's matrix coefficients."""

LUMINANCE = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
"""Shares of R, G, B by ITU-R BT.709."""

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Y', Cb, Cr or R', G', B': (H, W) each, chroma as its subsampling has it, rounded up."""


@dataclass(frozen=True)
class SampleFormat:
    """How the samples of a frame are stored.

    Attributes:
        bits: of a sample: 8 to 16 as integers; `FLOAT`: R'G'B' as float32 in [0, 1] and beyond.
        chroma: by which powers of two chroma has fewer columns and rows.
        matrix: of Y'CbCr by ITU-T H.273, or `RGB`.
        full_range: else limited, as in video.
    """

    bits: int = 8
    chroma: tuple[int, int] = (1, 1)
    matrix: int = 1
    full_range: bool = False

    @property
    def pixels(self) -> str:
        """FFmpeg's name of the planar format."""
        depth = "" if self.bits == 8 else f"{self.bits}le"
        names = {(1, 1): "420", (1, 0): "422", (0, 0): "444", (2, 0): "411", (2, 2): "410", (0, 1): "440"}
        return f"gbrp{depth}" if self.matrix == RGB else f"yuv{names[self.chroma]}p{depth}"

    @property
    def dtype(self) -> type:
        return {FLOAT: np.float32, 8: np.uint8}.get(self.bits, np.uint16)

    @property
    def peak(self) -> float:
        """The largest value."""
        return 1.0 if self.bits == FLOAT else 2.0**self.bits - 1

    def levels(self, is_chroma: bool) -> tuple[float, float]:
        """The value of 0 (of chroma: of no colour), and the distance to that of 1 (of chroma: from -0.5 to 0.5)."""
        if self.full_range or self.matrix == RGB:
            return (2.0 ** (self.bits - 1) if is_chroma else 0.0), self.peak
        unit = 2.0 ** (self.bits - 8)
        return (128 * unit, 224 * unit) if is_chroma else (16 * unit, 219 * unit)

    @functools.cached_property
    def to_rgb(self) -> np.ndarray:
        """(3, 4): from stored values of Y', Cb, Cr, and 1, to R'G'B' in [0, 1]."""
        red, blue = _LUMA[self.matrix]
        green = 1 - red - blue
        mix = np.array(
            [
                [1, 0, 2 * (1 - red)],
                [1, -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green],
                [1, 2 * (1 - blue), 0],
            ]
        )
        (black, luma), (grey, chroma) = self.levels(False), self.levels(True)
        mix = mix / [luma, chroma, chroma]
        return np.column_stack([mix, -mix @ [black, grey, grey]])

    @functools.cached_property
    def from_rgb(self) -> np.ndarray:
        """(3, 4): the inverse of `to_rgb`."""
        inverse = np.linalg.inv(self.to_rgb[:, :3])
        return np.column_stack([inverse, -inverse @ self.to_rgb[:, 3]])


@dataclass(frozen=True)
class StoredFormat:
    """How the frames of a clip are stored, or those of a delivery.

    Attributes:
        width, height: in stored pixels, upright.
        pixel_aspect: width of a pixel over its height.
        primaries, transfer: by ITU-T H.273; 2 where that has none.
        encoding: of `encodings.encoding_of`, or empty for an ordinary image.
    """

    samples: SampleFormat
    width: int
    height: int
    pixel_aspect: Fraction = Fraction(1)
    primaries: int = 1
    transfer: int = 1
    encoding: str = ""


SIGNAL = SampleFormat(FLOAT, (0, 0), RGB, True)
"""R'G'B' as floating point."""
RGB8, RGB16 = SampleFormat(8, (0, 0), RGB, True), SampleFormat(16, (0, 0), RGB, True)


def converted(planes: Planes, source: SampleFormat, target: SampleFormat) -> Planes:
    """Planes of one format in another; the same ones where nothing changes.

    Depths of one range and matrix are exact multiples, and between ranges the nearest values. Chroma lies with the even
    columns and between rows (H.273's location 0, the usual one); it is interpolated linearly, and averaged by [1, 2, 1] and [1, 1].
    """
    if source == target:
        return planes
    if target.matrix == RGB and source.matrix != RGB and target.bits != FLOAT:
        return _to_rgb(planes, source, target)
    if RGB in (source.matrix, target.matrix) or source.matrix != target.matrix:
        return from_signal(signal(planes, source), target)
    luma, *chroma = planes
    if source.chroma != target.chroma:
        chroma = [_subsampled(_full_size(plane, source, luma.shape), target) for plane in chroma]
    rescaled = [_rescaled(plane, source, target, is_chroma=index > 0) for index, plane in enumerate((luma, *chroma))]
    return rescaled[0], rescaled[1], rescaled[2]


def signal(planes: Planes, source: SampleFormat) -> np.ndarray:
    """R'G'B' of planes: (H, W, 3) float32, 0 to 1; Y'CbCr may reach beyond."""
    if source.matrix == RGB:
        return cv2.merge([plane.astype(np.float32) * np.float32(1 / source.peak) for plane in planes])
    luma, *chroma = planes
    full = [luma.astype(np.float32), *(_full_size(plane, source, luma.shape) for plane in chroma)]
    return cv2.transform(cv2.merge(full), source.to_rgb)


def _to_rgb(planes: Planes, source: SampleFormat, target: SampleFormat) -> Planes:
    """R'G'B' as integers, to the nearest one of 65,535: float32 is not precise enough."""
    luma, *chroma = planes
    full = [luma, *(_full_size(plane, source, luma.shape) for plane in chroma)]
    found = tuple(np.empty(luma.shape, target.dtype) for _ in range(3))
    matrix = source.to_rgb * target.peak
    for top in range(0, len(luma), _ROWS):
        rows = slice(top, top + _ROWS)
        image = cv2.transform(cv2.merge([plane[rows].astype(np.float64) for plane in full]), matrix)
        for plane, values in zip(found, cv2.split(image), strict=True):
            plane[rows] = _rounded(values, target)
    return found[0], found[1], found[2]


def from_signal(image: np.ndarray, target: SampleFormat) -> Planes:
    """Planes of R'G'B': (H, W, 3) float32, 0 to 1."""
    if target.matrix == RGB:
        red, green, blue = (_rounded(plane * np.float32(target.peak), target) for plane in cv2.split(image))
        return red, green, blue
    luma, *chroma = cv2.split(cv2.transform(image, target.from_rgb))
    cb, cr = (_rounded(_subsampled(plane, target), target) for plane in chroma)
    return _rounded(luma, target), cb, cr


def resized(planes: Planes, stored: SampleFormat, size: tuple[int, int]) -> Planes:
    """At another (width, height)."""
    height, width = planes[0].shape
    if (width, height) == size:
        return planes
    method = cv2.INTER_AREA if size[0] < width else cv2.INTER_CUBIC
    found = []
    for index, plane in enumerate(planes):
        plane = plane.astype(np.float32) if not index else _full_size(plane, stored, (height, width))
        plane = cv2.resize(plane, size, interpolation=method)
        found.append(_rounded(_subsampled(plane, stored) if index else plane, stored))
    return found[0], found[1], found[2]


def _rescaled(plane: np.ndarray, source: SampleFormat, target: SampleFormat, is_chroma: bool) -> np.ndarray:
    """Another depth or range."""
    (black, white), (new_black, new_white) = source.levels(is_chroma), target.levels(is_chroma)
    if (black, white) == (new_black, new_white):
        return _rounded(plane, target)
    if plane.dtype == np.float32:
        return _rounded((plane - np.float32(black)) * np.float32(new_white / white) + np.float32(new_black), target)
    values = (np.arange(source.peak + 1) - black) * (new_white / white) + new_black
    return np.take(_rounded(values, target), plane)


def _full_size(plane: np.ndarray, source: SampleFormat, shape: tuple[int, ...]) -> np.ndarray:
    """Chroma at every pixel, (H, W) float32."""
    across, down = (0, 0) if source.matrix == RGB else source.chroma
    plane = plane.astype(np.float32)
    for _ in range(down):
        above, below = np.vstack([plane[:1], plane[:-1]]), np.vstack([plane[1:], plane[-1:]])
        doubled = np.empty((2 * len(plane), plane.shape[1]), np.float32)
        doubled[::2], doubled[1::2] = 0.75 * plane + 0.25 * above, 0.75 * plane + 0.25 * below
        plane = doubled
    for _ in range(across):
        doubled = np.empty((len(plane), 2 * plane.shape[1]), np.float32)
        doubled[:, ::2] = plane
        doubled[:, 1:-1:2] = 0.5 * (plane[:, :-1] + plane[:, 1:])
        doubled[:, -1] = plane[:, -1]
        plane = doubled
    return plane[: shape[0], : shape[1]]


def _subsampled(plane: np.ndarray, target: SampleFormat) -> np.ndarray:
    """Chroma of every pixel at the chroma's own, (h, w) float32."""
    across, down = (0, 0) if target.matrix == RGB else target.chroma
    for _ in range(across):
        plane = np.hstack([plane[:, :1], plane, plane[:, -1:]])
        even = plane[:, 1:-1:2]
        plane = 0.5 * even + 0.25 * (plane[:, :-2:2] + plane[:, 2::2][:, : even.shape[1]])
    for _ in range(down):
        if len(plane) % 2:
            plane = np.vstack([plane, plane[-1:]])
        plane = 0.5 * (plane[::2] + plane[1::2])
    return plane


def _rounded(values: np.ndarray, target: SampleFormat) -> np.ndarray:
    if target.bits == FLOAT or values.dtype == target.dtype:
        return values.astype(np.float32) if target.bits == FLOAT else values
    return np.clip(np.rint(values), 0, target.peak).astype(target.dtype)
