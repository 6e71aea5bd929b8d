"""Finds the watermark in a piece of a video: where its tile lies, how large it is, and what it carries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import scipy.fft

from ...media.samples import LUMINANCE
from .message import CODED_BITS, Message, decode, encode
from .pattern import MAX_CYCLES, PUBLIC_KEY, TILE_PX, Pattern, pattern_of, tile_side

PIECE_FRAMES = 50
"""Frames of a piece: two seconds."""
MOST_PIECES = 16
"""Pieces of a video that are read at most."""

_GROUP_FRAMES = 10
"""Frames whose mean is whitened at a time: what moves has its edges elsewhere later."""
_MAX_SIDE = 512
"""Shorter side that is searched; larger frames are reduced to it."""
_PERIODS = (0.15, 0.75)
"""Tile sides that are searched, parts of the shorter side: from a video within a larger frame to one of 256 pixels cropped to 70 %, or a
larger one to half."""
_MIN_PERIOD_PX = 43
"""Tile sides that are searched at least: a frame of 256 pixels at 45 %."""
_PERIOD_STEP = 0.0043
"""Relative: the fastest frequency then shifts by less than a quarter of its line's width over a frame of 512 pixels."""
_CANDIDATES = 24
_FINE_STEPS = (-0.0065, -0.0043, -0.0028, -0.0014, 0.0, 0.0014, 0.0028, 0.0043, 0.0065)
_ASPECT_STEP = 0.0028
_USUAL = (1.0, 0.75, 2 / 3, 0.5)
"""Scales of a tile of `TILE_PX` that are tried whatever the search finds."""
_ATTEMPTS = 192
"""Places at which the message is read."""
_SHIFTS, _USUAL_SHIFTS, _APART = 4, 8, 5
"""Shifts of a tile at which the message is read, of usual tiles, and their distance, steps of `_FINE_SURFACE`."""
_BLUE_WEIGHT = 1.5
"""Of a single image's blue beside its luminance: `marker.BLUE_GAIN`."""
_BLUE_LESS_LUMINANCE = np.array([[0, 0, 1]], np.float32) - LUMINANCE
_SURFACE, _FINE_SURFACE = 64, 192
"""Shifts of a tile that are tried in each direction."""
_BANDS = (8, 10, 12)
"""Frequencies, cycles in a tile, that part the bands whose reliability is measured."""
_CLIP = 1.2
"""A frequency counts at most so many times its ring's RMS: stripes in the frame are lines in the spectrum."""
_AROUND_PX, _AROUND_SIDES = (1.2, 2.0), (128, 180)
"""Standard deviation of what the covariance of the gradient is averaged over, at shorter sides up to the first and from the second on."""
_QUIET, _QUIET_IN_A_STILL = 0.3, 1.5
"""Gradient below which quieter places count no more, of the frame's median; more in a single image, whose quiet places may be beside the
head that carries the mark."""
_LEAST_GRADIENT = 0.03
"""The same at least, levels of 255 in a pixel: rounding has as much."""
MIN_SYNC, MIN_USUAL_SYNC = 4.5, 3.2
"""Standard deviations by which the known values must agree for the message to be read there: at the usual sizes, which are few, by less."""
MIN_CONFIDENCE = 10.2
"""Standard deviations by which all values, the known ones too, must agree with a message.

In noise at most one piece in two million has such a message anywhere: of 2^49 messages at some 400,000 places each does with a chance
of 2e-27, which is exp(n / 2 log(1 - c^2 / n)) / (c sqrt(2 pi)) for c = 10.2 and n = 504. That counts every message whose check is
right, however long the list that is searched for them."""
_BEFORE_REFINEMENT = 9.8
"""The same where the known values alone have found the place: the message's own then correct it."""
MIN_EXPECTED = 8.5
"""Standard deviations at which an expected message is there: its complete pattern is looked for, no check is left."""


@dataclass(frozen=True)
class Detection:
    """What was found in a piece."""

    message: Message | None
    """None where there is no mark."""
    confidence: float
    """Standard deviations by which the frames agree with the message's pattern; 0 where there is none."""
    sync: float
    """Standard deviations of the best place of the tile."""
    tile_px: tuple[float, float] | None
    """Width and height of the tile in the frames given; None where there is no mark."""

    @property
    def found(self) -> bool:
        return self.message is not None


def detect(
    frames: Iterable[np.ndarray], key: bytes = PUBLIC_KEY, expected: Message | None = None, count: int = PIECE_FRAMES
) -> Detection:
    """Look for the watermark in the first `count` frames: a `Detector`'s only piece."""
    return Detector(key, expected).piece(frames, count)


class Detector:
    """Looks for the watermark in the pieces of one video, in each by itself and in all of them together.

    Args:
        key: that of `Marker`.
        expected: a message that is looked for where none can be read; less of it has to be left.
    """

    def __init__(self, key: bytes = PUBLIC_KEY, expected: Message | None = None) -> None:
        self._pattern, self._expected = pattern_of(key), expected
        self._sum: np.ndarray | None = None
        self._scale, self._usual = 1.0, [0.0]

    def piece(self, frames: Iterable[np.ndarray], count: int = PIECE_FRAMES) -> Detection:
        """What the first `count` frames carry.

        One frame is enough where little was lost; means of several suppress what moves. Memory is that of a few frames. Where one frame
        is all there is, its blue is read with its luminance, as heads alone are marked in both.

        Args:
            frames: (H, W, 3) uint8 or float32 in levels of 255, RGB, all of one size; more are not read. They need not follow each other.

        Raises:
            ValueError: no frames, or frames of several sizes.
        """
        residuals, self._scale, self._usual = _residuals(islice(frames, count))
        if self._sum is not None and self._sum.shape != residuals[0].shape:
            raise ValueError(f"pieces of several sizes: {self._sum.shape} and {residuals[0].shape}")
        self._sum = residuals[0] if self._sum is None else self._sum + residuals[0]
        return self._detected(residuals)

    def together(self) -> Detection:
        """What all pieces so far carry: the mark is the same in each, so that less of it has to be left.

        Raises:
            ValueError: no pieces.
        """
        if self._sum is None:
            raise ValueError("no pieces")
        return self._detected([self._sum])

    def _detected(self, residuals: list[np.ndarray]) -> Detection:
        best = 0.0
        for residual in residuals:
            search = _Search(residual, self._pattern, self._usual)
            places = search.places()
            best = max(best, places[0].score)
            for place in search.worth_reading(places, MIN_USUAL_SYNC if len(residuals) == 1 else 0.0):
                message, exact = search.read(place)
                if message is not None:
                    return Detection(message, exact.score, place.score, exact.tile_px(self._scale))
        if self._expected is not None:
            place = search.looking_for(self._expected).places()[0]
            if place.score >= MIN_EXPECTED:
                return Detection(self._expected, place.score, place.score, place.tile_px(self._scale))
        return Detection(None, 0.0, best, None)


def _residuals(frames: Iterable[np.ndarray]) -> tuple[list[np.ndarray], float, list[float]]:
    """Sum of the whitened means of groups of frames, the size searched over the frames', and the tile's usual sides there.

    Of a single frame there are two sums, the second with its blue.
    """
    shape: tuple[int, ...] = ()
    residual: np.ndarray | float = 0.0
    frames, count = iter(frames), 0
    single = None
    while group := list(islice(frames, _GROUP_FRAMES)):
        for frame in group:
            if shape and frame.shape[:2] != shape:
                raise ValueError(f"frames of several sizes: {shape} and {frame.shape[:2]}")
            shape = frame.shape[:2]
        total = _total(group)
        count += len(group)
        residual = residual + _whitened(_reduced(cv2.transform(total, LUMINANCE / len(group))))
        single = total if count == 1 else None
    if not shape:
        raise ValueError("no frames")
    height, width = shape
    scale = min(1.0, _MAX_SIDE / min(shape))
    usual = [tile_side(width, height) * scale, tile_side(2 * width, 2 * height) / 2 * scale]
    found = [np.asarray(residual)]
    if single is not None:
        luminance, blue = (_reduced(cv2.transform(single, kind)) for kind in (LUMINANCE, _BLUE_LESS_LUMINANCE))
        found.append(_whitened(luminance, _QUIET_IN_A_STILL) + _BLUE_WEIGHT * _whitened(blue, _QUIET_IN_A_STILL))
    return found, scale, list(dict.fromkeys(usual + [TILE_PX * part for part in _USUAL]))


def _total(frames: list[np.ndarray]) -> np.ndarray:
    """(H, W, 3) float32."""
    total = np.zeros((*frames[0].shape[:2], 3), np.float32)
    for frame in frames:
        cv2.accumulate(np.ascontiguousarray(frame[..., :3]), total)
    return total


def _reduced(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    scale = _MAX_SIDE / min(height, width)
    if scale >= 1:
        return image
    return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def _whitened(mean: np.ndarray, quiet: float = _QUIET) -> np.ndarray:
    """The frame's gradient divided by its local covariance and differentiated again, as a matched filter does in such noise.

    What varies along an edge counts as much as it would in a flat place; only what varies across it is the frame's own.
    """
    around = float(np.interp(min(mean.shape), _AROUND_SIDES, _AROUND_PX))
    across, down = (cv2.Sobel(mean, cv2.CV_32F, *axis, ksize=1, scale=0.5) for axis in ((1, 0), (0, 1)))
    square, mixed, other = (
        cv2.GaussianBlur(product, (0, 0), around) for product in (across * across, across * down, down * down)
    )
    least = np.float32(max(quiet**2 * float(np.median(square + other)) / 2, _LEAST_GRADIENT**2))
    share = 1 / (np.maximum(square * other - mixed * mixed, 0) + least * (square + other + least))
    square, other = square + least, other + least
    across, down = (other * across - mixed * down) * share, (square * down - mixed * across) * share
    return -cv2.Sobel(across, cv2.CV_32F, 1, 0, ksize=1) - cv2.Sobel(down, cv2.CV_32F, 0, 1, ksize=1)


@dataclass(frozen=True)
class _Place:
    period_x: float
    period_y: float
    shift: tuple[float, float]
    score: float

    def tile_px(self, scale: float) -> tuple[float, float]:
        return self.period_x / scale, self.period_y / scale


class _Search:
    """Places in a whitened residual, (H, W), where known values of the pattern agree.

    Args:
        usual: sides of a tile that are tried whatever agrees.
    """

    def __init__(self, residual: np.ndarray, pattern: Pattern, usual: list[float]) -> None:
        self.residual, self.pattern, self.usual = residual, pattern, usual
        # Around the origin, so that the spectrum is smooth between its samples.
        self.side = cv2.getOptimalDFTSize(2 * max(residual.shape))
        padded = np.zeros((self.side, self.side), np.float32)
        padded[: residual.shape[0], : residual.shape[1]] = residual
        self.spectrum = scipy.fft.fft2(np.roll(padded, [-(length // 2) for length in residual.shape], (0, 1)))
        self.rings = np.round(np.hypot(pattern.fx, pattern.fy)).astype(int)
        members = np.eye(self.rings.max() + 1, dtype=np.float32)[self.rings]
        self.ring_means = members / np.maximum(members.sum(0), 1)
        self.known = _complex(np.where(pattern.bit < 0, pattern.signs, 0))

    def looking_for(self, message: Message) -> _Search:
        """The same residual, with all values of a message's pattern known."""
        other = copy(self)
        other.known = _complex(self.pattern.values(encode(message)))
        return other

    def candidates(self) -> list[float]:
        """The periods where the known values agree best, best first."""
        shorter = min(self.residual.shape)
        low, high = max(_MIN_PERIOD_PX, _PERIODS[0] * shorter), _PERIODS[1] * shorter
        periods = np.exp(np.arange(np.log(low), np.log(max(low, high)) + _PERIOD_STEP, _PERIOD_STEP))
        scores = self._peaks(self._interpolated(periods))[1]
        chosen: list[float] = []
        for index in scores.argsort()[::-1]:
            if all(abs(np.log(periods[index] / other)) > 2 * _PERIOD_STEP for other in chosen):
                chosen.append(float(periods[index]))
            if len(chosen) == _CANDIDATES:
                break
        return chosen

    def around(self, place: _Place) -> _Place:
        """The best place of nearly the same size, or of a usual one."""
        near = [place.period_x * (1 + step) for step in _FINE_STEPS]
        return max((self._place(period, period) for period in near + self.usual), key=lambda found: found.score)

    def places(self) -> list[_Place]:
        """Where the known values agree best, best first."""
        fine = [period * (1 + step) for period in self.candidates() for step in _FINE_STEPS]
        found = [place for period in fine + self.usual for place in self._several(period, _SHIFTS)]
        best = max(found, key=lambda place: place.score)
        wider = [(1 + x * _ASPECT_STEP, 1 + y * _ASPECT_STEP) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        found += [self._place(best.period_x * x, best.period_y * y) for x, y in wider]
        return sorted(found, key=lambda place: -place.score)[:_ATTEMPTS]

    def worth_reading(self, places: list[_Place], least_usual: float) -> Iterator[_Place]:
        """Of these places those that agree enough; only where none of them is read, usual ones are searched."""
        yield from (place for place in places if place.score >= MIN_SYNC)
        yield from (place for place in self.usual_places() if place.score >= least_usual)

    def usual_places(self) -> list[_Place]:
        """More shifts of tiles of usual sizes, best first: so little of a mark is known in advance that the best may be none."""
        found = [place for period in self.usual for place in self._several(period, _USUAL_SHIFTS)]
        return sorted(found, key=lambda place: -place.score)

    def _several(self, period: float, count: int) -> list[_Place]:
        """The best shifts of a tile, best first: the values known in advance are few, and noise may agree better elsewhere."""
        agreement, deviation = self._agreement(self._normalised(self._exact(period, period))[None], _FINE_SURFACE)
        scores = agreement[0] / deviation[0]
        rises = scores >= cv2.dilate(scores, np.ones((_APART, _APART), np.uint8), borderType=cv2.BORDER_REFLECT)
        peaks = np.argwhere(rises)
        heights = scores[rises]
        return [
            _Place(period, period, (x / _FINE_SURFACE, y / _FINE_SURFACE), float(score))
            for (y, x), score in sorted(zip(peaks.tolist(), heights, strict=True), key=lambda peak: -peak[1])[:count]
        ]

    def read(self, place: _Place) -> tuple[Message | None, _Place]:
        """The message at a place, None where its checks fail, and where all of its values agree best."""
        pattern = self.pattern
        phases = np.exp(2j * np.pi * (pattern.fx * place.shift[0] + pattern.fy * place.shift[1]))
        values = self._normalised(self._exact(place.period_x, place.period_y)) * phases
        # The spectrum of cos is its real part, that of sin the negative imaginary one.
        signed = np.concatenate([values.real, -values.imag]) * pattern.signs
        carries = pattern.bit >= 0
        signed *= self._reliability(signed, ~carries)
        least = _BEFORE_REFINEMENT * np.sqrt((signed**2).sum()) - signed[~carries].sum()
        message = decode(np.bincount(pattern.bit[carries], signed[carries], CODED_BITS), least)
        if message is not None:
            place = self.looking_for(message).around(place)
        return (message if place.score >= MIN_CONFIDENCE else None), place

    def _reliability(self, signed: np.ndarray, known: np.ndarray) -> np.ndarray:
        """A weight for each value: how far the known ones of its band agree, which encoders keep less of when faster."""
        band = np.digitize(np.tile(self.rings, 2), _BANDS)
        agreed = np.bincount(band[known], signed[known]) / np.bincount(band[known])
        return (np.clip(agreed, 0, None) + 1)[band]

    def _place(self, period_x: float, period_y: float) -> _Place:
        shifts, scores = self._peaks(self._normalised(self._exact(period_x, period_y))[None], _FINE_SURFACE)
        return _Place(period_x, period_y, (float(shifts[0, 0]), float(shifts[0, 1])), float(scores[0]))

    def _exact(self, period_x: float, period_y: float) -> np.ndarray:
        """The piece's spectrum at the tile's frequencies, (n,) complex."""
        limit = int(MAX_CYCLES)
        height, width = self.residual.shape
        across = _waves(np.arange(width), np.arange(limit + 1) / period_x)
        down = _waves(np.arange(limit + 1) / period_y, np.arange(height))
        rows = self.residual @ np.concatenate([across.real, across.imag], 1)
        # Of a real image, so the frequencies below 0 have the conjugate of those above it.
        upper = down @ rows
        forward, backward = (upper[:, : limit + 1] + sign * 1j * upper[:, limit + 1 :] for sign in (1, -1))
        fx, fy = self.pattern.fx, self.pattern.fy
        return np.where(fx >= 0, forward[fy, np.abs(fx)], backward[fy, np.abs(fx)])

    def _interpolated(self, periods: np.ndarray) -> np.ndarray:
        """The same for (k,) periods from the padded spectrum, between its samples, normalised: (k, n)."""
        x, y = (frequencies * (self.side / periods[:, None]) for frequencies in (self.pattern.fx, self.pattern.fy))
        x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
        u, v = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
        values = (1 - v) * ((1 - u) * self.spectrum[y0, x0] + u * self.spectrum[y0, x0 + 1])
        values += v * ((1 - u) * self.spectrum[y0 + 1, x0] + u * self.spectrum[y0 + 1, x0 + 1])
        turn = self.pattern.fx * (self.residual.shape[1] // 2) + self.pattern.fy * (self.residual.shape[0] // 2)
        return self._normalised(values * _waves(1 / periods, turn))

    def _normalised(self, values: np.ndarray) -> np.ndarray:
        """(..., n) with each ring of frequencies brought to RMS 1, single ones limited."""
        size = np.abs(values)
        ring = np.sqrt(np.square(size) @ self.ring_means)[..., self.rings]
        values = values / np.maximum(ring, 1e-9)
        return values * np.minimum(1, _CLIP / np.maximum(size / np.maximum(ring, 1e-9), 1e-9))

    def _peaks(self, values: np.ndarray, side: int = _SURFACE) -> tuple[np.ndarray, np.ndarray]:
        """For (k, n) values the shifts (k, 2), parts of a tile, where the known ones agree best, and by how many standard deviations."""
        surface, deviation = self._agreement(values, side)
        agreement = surface.reshape(len(values), -1)
        index = agreement.argmax(1)
        shifts = np.stack([index % side, index // side], 1) / side
        return shifts, agreement.max(1) / deviation

    def _agreement(self, values: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
        """For (k, n) values how the known ones agree at each shift, (k, side, side), and its standard deviation (k,)."""
        fx, fy = self.pattern.fx, self.pattern.fy
        known = values * self.known.conj()
        # Half of a real surface's spectrum: what lies on its edge counts twice, as the other half is added to the rest.
        half = np.zeros((len(values), side // 2 + 1, side), np.complex64)
        half[:, fy, fx] = known * np.where(fy == 0, 2, 1)
        # By Parseval: the surface's mean is 0.
        deviation = np.sqrt(2 * np.square(np.abs(known)).sum(1)) / side**2
        return scipy.fft.irfft2(half, (side, side), axes=(2, 1)), np.maximum(deviation, 1e-12)


def _waves(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """exp(-2 pi i a b), (a, b) complex64."""
    turns = np.outer(a, b)
    angle = ((turns - np.round(turns)) * (-2 * np.pi)).astype(np.float32)
    waves = np.empty(angle.shape, np.complex64)
    waves.real, waves.imag = np.cos(angle), np.sin(angle)
    return waves


def _complex(values: np.ndarray) -> np.ndarray:
    """(n,) complex spectrum of (2n,) values: that of cos is its real part, that of sin the negative imaginary one."""
    cosines, sines = np.split(values, 2)
    return cosines - 1j * sines
