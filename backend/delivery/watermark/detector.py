"""Finds the watermark in a piece of a video: where its tile lies, how large it is, and what it carries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import scipy.fft

from .message import CODED_BITS, Message, decode, encode
from .pattern import MAX_CYCLES, MIN_TILE_PX, PUBLIC_KEY, Pattern, pattern_of

PIECE_FRAMES = 50
"""Frames of a piece: two seconds."""

_MAX_SIDE = 512
"""Shorter side that is searched; larger frames are reduced to it."""
_PERIODS_PX = (86.0, 306.0)
"""Tile sides that are searched: a frame at 45 %, to one cropped to 70 % and enlarged by 10 %."""
_PERIOD_STEP = 0.003
"""Relative: the fastest frequency then shifts by less than a quarter of its line's width over a frame of 512 pixels."""
_CANDIDATES = 6
_FINE_STEPS = (-0.0045, -0.003, -0.002, -0.001, 0.0, 0.001, 0.002, 0.003, 0.0045)
_ASPECT_STEP = 0.002
_USUAL = (1.0, 0.75, 2 / 3, 0.5)
"""Scales that are tried whatever the search finds."""
_ATTEMPTS = 64
"""Places at which the message is read."""
_SURFACE, _FINE_SURFACE = 64, 192
"""Shifts of a tile that are tried in each direction."""
_BANDS = (9, 13, 17)
"""Frequencies, cycles in a tile, that part the bands whose reliability is measured."""
_CLIP = 2.5
"""A frequency counts at most so many times its ring's RMS: stripes in the frame are lines in the spectrum."""
_LOCAL_PX = 5.0
MIN_SYNC, MIN_CONFIDENCE = 4.5, 10.0
"""What a message must reach beside its CRC, version and kind, which noise passes once in some two billion readings."""


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


def detect(frames: Iterable[np.ndarray], key: bytes = PUBLIC_KEY) -> Detection:
    """Look for the watermark in the first `PIECE_FRAMES` frames.

    One frame is enough where little was lost; the mean of two seconds suppresses what moves. Memory is that of a frame.

    Args:
        frames: (H, W, 3) uint8, RGB, all of one size; more are not read.
        key: that of `Marker`.

    Raises:
        ValueError: no frames, or frames of several sizes.
    """
    pattern = pattern_of(key)
    mean, scale = _mean(frames)
    residual = _whitened(mean)
    search = _Search(residual, pattern)
    best = 0.0
    for place in search.places():
        best = max(best, place.score)
        message, confidence = search.read(place)
        if message is not None and place.score >= MIN_SYNC and confidence >= MIN_CONFIDENCE:
            return Detection(message, confidence, place.score, (place.period_x / scale, place.period_y / scale))
    return Detection(None, 0.0, best, None)


def _mean(frames: Iterable[np.ndarray]) -> tuple[np.ndarray, float]:
    """Mean luminance of a piece at the size searched, and that size over the frames'."""
    total, count = None, 0
    for frame in islice(frames, PIECE_FRAMES):
        grey = cv2.cvtColor(np.ascontiguousarray(frame[..., :3]), cv2.COLOR_RGB2GRAY).astype(np.float32)
        if total is not None and grey.shape != total.shape:
            raise ValueError(f"frames of several sizes: {total.shape} and {grey.shape}")
        total, count = grey if total is None else total + grey, count + 1
    if total is None:
        raise ValueError("no frames")
    scale = min(1.0, _MAX_SIDE / min(total.shape))
    if scale < 1:
        size = (round(total.shape[1] * scale), round(total.shape[0] * scale))
        total = cv2.resize(total, size, interpolation=cv2.INTER_AREA)
    return total / count, scale


def _whitened(mean: np.ndarray) -> np.ndarray:
    """The piece with its slow waves removed and each place divided by its variance, as a matched filter does in noise."""
    residual = mean - cv2.GaussianBlur(mean, (0, 0), 2.5)
    local = np.sqrt(cv2.GaussianBlur(residual * residual, (0, 0), _LOCAL_PX))
    residual = np.clip(residual, -2 * local, 2 * local)
    return (residual / (local + 0.5) ** 1.5).astype(np.float32)


@dataclass(frozen=True)
class _Place:
    period_x: float
    period_y: float
    shift: tuple[float, float]
    score: float


class _Search:
    def __init__(self, residual: np.ndarray, pattern: Pattern) -> None:
        self.residual, self.pattern = residual, pattern
        # Around the origin, so that the spectrum is smooth between its samples.
        self.side = cv2.getOptimalDFTSize(2 * max(residual.shape))
        padded = np.zeros((self.side, self.side), np.float32)
        padded[: residual.shape[0], : residual.shape[1]] = residual
        self.spectrum = np.fft.fft2(np.roll(padded, [-(length // 2) for length in residual.shape], (0, 1)))
        n = len(pattern.fx)
        sync = np.where(pattern.bit < 0, pattern.signs, 0)
        self.sync = sync[:n] - 1j * sync[n:]
        self.rings = np.round(np.hypot(pattern.fx, pattern.fy)).astype(int)

    def candidates(self) -> list[float]:
        """The periods where the known values agree best, best first."""
        low, high = np.log(_PERIODS_PX)
        periods = np.exp(np.arange(low, high, _PERIOD_STEP))
        periods = periods[periods <= max(self.residual.shape)]
        scores = np.array([self._peak(self._interpolated(period))[1] for period in periods])
        chosen: list[float] = []
        for index in scores.argsort()[::-1]:
            if all(abs(np.log(periods[index] / other)) > 2 * _PERIOD_STEP for other in chosen):
                chosen.append(float(periods[index]))
            if len(chosen) == _CANDIDATES:
                break
        return chosen

    def places(self) -> list[_Place]:
        """Where the known values agree best, best first."""
        fine = [period * (1 + step) for period in self.candidates() for step in _FINE_STEPS]
        usual = [MIN_TILE_PX * part for part in _USUAL]
        found = sorted((self._place(period, period) for period in fine + usual), key=lambda place: -place.score)
        best = found[0]
        wider = [(1 + x * _ASPECT_STEP, 1 + y * _ASPECT_STEP) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        found += [self._place(best.period_x * x, best.period_y * y) for x, y in wider]
        return sorted(found, key=lambda place: -place.score)[:_ATTEMPTS]

    def read(self, place: _Place) -> tuple[Message | None, float]:
        """The message at a place, None where its checks fail, and how well the piece agrees with it."""
        pattern = self.pattern
        phases = np.exp(2j * np.pi * (pattern.fx * place.shift[0] + pattern.fy * place.shift[1]))
        values = self._normalised(self._exact(place.period_x, place.period_y)) * phases
        # The spectrum of cos is its real part, that of sin the negative imaginary one.
        signed = np.concatenate([values.real, -values.imag]) * pattern.signs
        carries = pattern.bit >= 0
        signed *= self._reliability(signed, ~carries)
        soft = np.bincount(pattern.bit[carries], signed[carries], CODED_BITS)
        message = decode(soft)
        if message is None:
            return None, 0.0
        agreed = signed * np.where(carries, encode(message)[pattern.bit], 1)
        return message, float(agreed.sum() / np.sqrt((agreed**2).sum()))

    def _reliability(self, signed: np.ndarray, known: np.ndarray) -> np.ndarray:
        """A weight for each value: how far the known ones of its band agree, which encoders keep less of when faster."""
        band = np.digitize(np.tile(self.rings, 2), _BANDS)
        agreed = np.bincount(band[known], signed[known]) / np.bincount(band[known])
        return (np.clip(agreed, 0, None) + 0.1)[band]

    def _place(self, period_x: float, period_y: float) -> _Place:
        shift, score = self._peak(self._normalised(self._exact(period_x, period_y)), _FINE_SURFACE)
        return _Place(period_x, period_y, shift, score)

    def _exact(self, period_x: float, period_y: float) -> np.ndarray:
        """The piece's spectrum at the tile's frequencies, (n,) complex."""
        limit = int(MAX_CYCLES)
        height, width = self.residual.shape
        across = np.exp(-2j * np.pi * np.outer(np.arange(width), np.arange(-limit, limit + 1)) / period_x)
        down = np.exp(-2j * np.pi * np.outer(np.arange(limit + 1), np.arange(height)) / period_y)
        rows = self.residual @ across.real.astype(np.float32) + 1j * (self.residual @ across.imag.astype(np.float32))
        spectrum = down.astype(np.complex64) @ rows.astype(np.complex64)
        return spectrum[self.pattern.fy, self.pattern.fx + limit]

    def _interpolated(self, period: float) -> np.ndarray:
        """The same from the padded spectrum, between its samples."""
        x, y = self.pattern.fx * (self.side / period), self.pattern.fy * (self.side / period)
        x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
        u, v = x - x0, y - y0
        values = (1 - v) * ((1 - u) * self.spectrum[y0, x0] + u * self.spectrum[y0, x0 + 1])
        values += v * ((1 - u) * self.spectrum[y0 + 1, x0] + u * self.spectrum[y0 + 1, x0 + 1])
        turn = self.pattern.fx * (self.residual.shape[1] // 2) + self.pattern.fy * (self.residual.shape[0] // 2)
        return self._normalised(values * np.exp(-2j * np.pi * turn / period))

    def _normalised(self, values: np.ndarray) -> np.ndarray:
        """Each ring of frequencies brought to RMS 1, single ones limited."""
        power = np.abs(values) ** 2
        count = np.bincount(self.rings)
        ring = np.sqrt(np.bincount(self.rings, power) / np.maximum(count, 1))[self.rings]
        values = values / np.maximum(ring, 1e-9)
        size = np.abs(values)
        return values * np.minimum(1, _CLIP / np.maximum(size, 1e-9))

    def _peak(self, values: np.ndarray, side: int = _SURFACE) -> tuple[tuple[float, float], float]:
        """The shift, in parts of a tile, where the known values agree best, and by how many standard deviations."""
        surface = np.zeros((side, side), np.complex64)
        surface[self.pattern.fy, self.pattern.fx] = values * self.sync.conj()
        agreement = scipy.fft.ifft2(surface).real
        index = int(agreement.argmax())
        y, x = divmod(index, side)
        return (x / side, y / side), float(agreement.flat[index] / max(agreement.std(), 1e-12))
