"""What covers the face in some frames: a microphone, a hand, glare on glasses (docs/portrait-sync.md).

Each frame is unwrapped to the head (`head_map`), where a face looks nearly the same in all frames: a place whose colour is far
from what the clip usually shows there is covered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from ...workspace.arrays import smoothstep
from ...workspace.frame_rate import frames_of
from ..fill import disc
from ..head_region import face_frame
from .head_map import SIDE, HeadMap

SAMPLES = 64
LEAST_FRAMES = 25
"""Fewer do not tell what is usual."""
_FLOOR = np.array([14.0, 5.0, 5.0], np.float32)
"""What is never a cover: differences of luma and chroma (8 bits) this far beyond the usual ones."""
_DEVIATIONS = 3.0
_SHORTEST = 0.4
"""Part of the samples, those that agree best, that tell what is usual: a cover may be there in half of the frames."""
_SHORTEST_SIGMAS = 1.05
"""Length of that part of a normal distribution."""
_UNIT = np.array([14.0, 5.0, 5.0], np.float32)
_LEAST_AREA, _LEAST_GLARE = 0.012, 0.004
"""Of the face's area."""
_GLARE_LUMA = 215.0
LEAST_RUN_S, _BRIDGED_S, CARRIED_S = 0.2, 0.08, 0.08
"""Time for which a cover is found, at least, for which it may be missed in between, and which is looked at before and after."""
_KERNEL = np.ones((3, 3), np.uint8)
_WIDE_KERNEL = disc(2)


@dataclass(frozen=True)
class _Usual:
    """What the clip usually shows: luma and chroma within (..., 3) float32 `low` and `high`, about `middle`."""

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def at(self, where: np.ndarray) -> _Usual:
        return _Usual(self.middle[where], self.low[where], self.high[where])


class CoverFinder:
    """Finds covers in the frames of a clip; may be used from several threads once it has been fitted.

    Args:
        landmarks_px: (N, 478, 2), smooth.
        usable: (N) bool, at least `LEAST_FRAMES`.
    """

    def __init__(self, landmarks_px: np.ndarray, usable: np.ndarray) -> None:
        self._landmarks, self._usable = landmarks_px, usable
        self._map = HeadMap(landmarks_px, usable)
        known = np.flatnonzero(usable)
        height = float(np.median([face_frame(points).height for points in landmarks_px[known]]))
        self.divisor = 2 if height > 130 else 1
        """Frames are read at this part of their size: about two pixels for a texel."""
        self.samples = known[np.linspace(0, len(known) - 1, min(SAMPLES, len(known))).astype(int)].tolist()
        """Frames to fit to."""
        face = self._map.face
        rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE - 0.5
        self._ramps = np.stack([np.ones_like(rows), columns, rows], -1)
        self._face_ramps = self._ramps[face]
        inner = cv2.erode(face.astype(np.uint8), disc(4), borderValue=0) > 0
        self._rim = face & ~inner

    def fit(self, frames: Iterable[np.ndarray]) -> None:
        """Learn what is usual from the frames `samples`, (H, W, 3) uint8, reduced by `divisor`."""
        unwrapped = []
        for index, frame in zip(self.samples, frames, strict=True):
            places = self._map.places_px(self._landmarks[index])
            unwrapped.append(_luma_chroma(self._map.unwrapped(frame, places, self.divisor)))
        colours = np.stack(unwrapped)
        middle = np.median(colours, axis=0)
        for number, image in enumerate(colours):
            colours[number] = self._relit(image, middle, image[self._map.face], middle[self._map.face])
        self._usual = _usual(colours)
        self._usual_face = self._usual.at(self._map.face)

    def score_face(self, index: int, frame: np.ndarray) -> np.ndarray:
        """(SIDE, SIDE) float32 of a frame (H, W, 3) uint8: above 1 where the face is covered, 0 outside of it."""
        places = self._map.places_px(self._landmarks[index], face_only=True)
        colours = _luma_chroma(self._map.unwrapped(frame, places, self.divisor))[:, 0]
        usual = self._usual_face
        result = np.zeros((SIDE, SIDE), np.float32)
        relit = self._relit(colours, usual.middle, colours, usual.middle, self._face_ramps)
        result[self._map.face] = _beyond(relit, usual)
        return result

    def seeds(self, index: int, frame: np.ndarray) -> np.ndarray | None:
        """(SIDE, SIDE) bool, where the face is certainly covered; None where it is not.

        A cover comes in from outside, so it reaches the face's rim; only glare does not.
        """
        score = self.score_face(index, frame)
        strong = cv2.morphologyEx((score > 1.0).astype(np.uint8), cv2.MORPH_OPEN, _KERNEL)
        area = int(self._map.face.sum())
        if strong.sum() < _LEAST_GLARE * area:
            return None
        joined = cv2.morphologyEx(strong, cv2.MORPH_CLOSE, _WIDE_KERNEL)
        count, labels = cv2.connectedComponents(joined, connectivity=8)
        kept = np.zeros((SIDE, SIDE), bool)
        for label in range(1, count):
            part = (labels == label) & (strong > 0)
            size = int(part.sum())
            if (size >= _LEAST_AREA * area and (part & self._rim).any()) or (
                size >= _LEAST_GLARE * area and self._is_glare(index, frame, part)
            ):
                kept |= part
        return kept if kept.any() else None

    def _is_glare(self, index: int, frame: np.ndarray, part: np.ndarray) -> bool:
        image = self._map.unwrapped(frame, self._map.places_px(self._landmarks[index]), self.divisor)
        return float(np.median(_luma_chroma(image)[part][:, 0])) > _GLARE_LUMA

    def carried(self, index: int, frame: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """The seeds of a neighbouring frame where this one is unusual too."""
        return seeds & (self.score_face(index, frame) > 0.25)

    def matte(self, index: int, frame: np.ndarray, seeds: np.ndarray, side: int) -> tuple[np.ndarray, float]:
        """(side, side) uint8: how much of a pixel is cover; and the share of the face that is covered.

        Args:
            frame: (H, W, 3) uint8, reduced by `divisor`.
            seeds: (SIDE, SIDE) bool of this frame.
            side: of the full frame.
        """
        places = self._map.places_px(self._landmarks[index])
        image = _luma_chroma(self._map.unwrapped(frame, places, self.divisor))
        face = self._map.face
        relit = self._relit(image, self._usual.middle, image[face], self._usual.middle[face])
        grown = self._grown(image, _beyond(relit, self._usual), seeds)
        return _into_frame(grown, places, frame, side, self.divisor), float(grown[face].mean())

    def _grown(self, image: np.ndarray, score: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """The complete cover in the map, from its seeds: what is unusual, or has the cover's colours, connected to them."""
        near = cv2.dilate(seeds.astype(np.uint8), disc(SIDE / 7)) > 0
        free = self._map.face & ~cv2.dilate(seeds.astype(np.uint8), disc(4)).astype(bool) & (score <= 0)
        # Around the face much is usual, so there the colours tell: the cover's against those that the clip usually has near it.
        other = 0.5 * (_histogram(image[free]) + _histogram(self._usual.middle[near]))
        own = _histogram(image[seeds])
        alike = cv2.GaussianBlur((own / (own + other + 1e-6))[_bins(image)], (0, 0), 0.7)
        weak = (score > 0.25) | ((alike > 0.85) & near)
        weak = cv2.morphologyEx(weak.astype(np.uint8), cv2.MORPH_OPEN, _KERNEL) | seeds.astype(np.uint8)
        weak = cv2.morphologyEx(weak, cv2.MORPH_CLOSE, _WIDE_KERNEL)
        count, labels = cv2.connectedComponents(weak, connectivity=4)
        kept = np.zeros(count, bool)
        kept[labels[seeds]] = True
        kept[0] = False
        return _filled(kept[labels])

    def _relit(
        self,
        image: np.ndarray,
        middle: np.ndarray,
        face: np.ndarray,
        middle_face: np.ndarray,
        ramps: np.ndarray | None = None,
    ) -> np.ndarray:
        """With the light of the clip: a gain of luma that is linear across the face, and a shift of chroma.

        Fitted to (F, 3) of the face by iteratively reweighted least squares (Tukey's biweight), so a cover has no say.
        """
        step = slice(None, None, 11)
        change = np.log(np.maximum(face[step, 0], 0) + 20) - np.log(np.maximum(middle_face[step, 0], 0) + 20)
        basis = self._face_ramps[step].astype(np.float64)
        fitted = np.array([_median(change), 0.0, 0.0])
        for _ in range(3):
            residual = change - basis @ fitted
            scale = 4.685 * max(0.05, 1.4826 * float(_median(np.abs(residual))))
            weight = np.clip(1 - (residual / scale) ** 2, 0, 1) ** 2
            matrix = basis.T * weight
            fitted = np.linalg.solve(matrix @ basis + np.diag([1e-3, 4.0, 4.0]), matrix @ change)
        gain = np.exp(-((self._ramps if ramps is None else ramps) @ fitted.astype(np.float32)))
        result = image.copy()
        result[..., 0] = (image[..., 0] + 20) * gain - 20
        result[..., 1:] -= np.clip(_median(face[step, 1:] - middle_face[step, 1:]), -8, 8)
        return result


def bridged(rate: Fraction) -> int:
    """Frames from one in which a cover was found to the next of the same run, at most."""
    return frames_of(_BRIDGED_S, rate) + 1


def within(frames: Iterable[int], reach: int) -> set[int]:
    """Numbers at most `reach` away from one of `frames`."""
    return {index + away for index in frames for away in range(-reach, reach + 1)}


def runs_of(found: Iterable[int], rate: Fraction) -> list[list[int]]:
    """Frames in which a cover was found, in runs, `rate` a second; those that are too short to be one are left out."""
    runs: list[list[int]] = []
    for index in sorted(found):
        if runs and index - runs[-1][-1] <= bridged(rate):
            runs[-1].append(index)
        else:
            runs.append([index])
    return [run for run in runs if len(run) >= frames_of(LEAST_RUN_S, rate)]


def _usual(colours: np.ndarray) -> _Usual:
    """Of (n, SIDE, SIDE, 3): about the shortest interval that holds a part of the samples (Rousseeuw's least median of squares
    takes half of them)."""
    ordered = np.sort(colours, axis=0)
    held = max(2, round(_SHORTEST * len(ordered)))
    lengths = ordered[held - 1 :] - ordered[: len(ordered) - held + 1]
    first = lengths.argmin(axis=0)[None]
    length = np.take_along_axis(lengths, first, 0)[0]
    middle = (np.take_along_axis(ordered, first, 0)[0] + np.take_along_axis(ordered, first + held - 1, 0)[0]) / 2
    sigma = cv2.GaussianBlur(cv2.dilate(length, _KERNEL), (0, 0), 1.0) / _SHORTEST_SIGMAS
    reach = _DEVIATIONS * sigma + _FLOOR
    return _Usual(middle, cv2.erode(middle - reach, _WIDE_KERNEL), cv2.dilate(middle + reach, _WIDE_KERNEL))


def _median(values: np.ndarray) -> np.ndarray:
    """Of (n, ...) along the first axis; for some hundred values NumPy's takes ten times as long."""
    ordered, half = np.sort(values, axis=0), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / values.dtype.type(2)


def _luma_chroma(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32)


def _beyond(colours: np.ndarray, usual: _Usual) -> np.ndarray:
    """How far colours are beyond what is usual, in units that count."""
    beyond = np.maximum(np.maximum(usual.low - colours, colours - usual.high), 0) / _UNIT
    return np.sqrt((beyond * beyond).sum(-1))


def _bins(image: np.ndarray) -> np.ndarray:
    """16 levels of luma and 32 of each chroma, of the range that skin and cloth have."""
    luma = np.clip(image[..., 0] / 16, 0, 15).astype(int)
    red, blue = (np.clip((image[..., channel] - 64) / 4, 0, 31).astype(int) for channel in (1, 2))
    return (luma * 32 + red) * 32 + blue


def _histogram(colours: np.ndarray) -> np.ndarray:
    counts = np.bincount(_bins(colours).ravel(), minlength=16 * 32 * 32).astype(np.float32).reshape(16, 32, 32)
    for axis in range(3):
        counts = counts + 0.5 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    return counts.ravel() / max(float(counts.sum()), 1.0)


def _filled(mask: np.ndarray) -> np.ndarray:
    """With its holes; what the map's border encloses is no hole."""
    padded = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    cv2.floodFill(padded, None, (0, 0), 0)
    return mask | (padded[1:-1, 1:-1] > 0)


def _into_frame(mask: np.ndarray, places_px: np.ndarray, frame: np.ndarray, side: int, divisor: int) -> np.ndarray:
    """The map's mask as a soft matte (side, side) uint8 whose border is where the frame has an edge."""
    small = frame.shape[0]
    at = np.floor(places_px.reshape(-1, 2) / divisor).astype(int)
    inside = ((at >= 0) & (at < small)).all(1)
    flat = at[inside, 1] * small + at[inside, 0]
    total = np.bincount(flat, minlength=small**2).astype(np.float32).reshape(small, small)
    covered = np.bincount(flat, mask.ravel()[inside], small**2).astype(np.float32).reshape(small, small)
    # As wide as the gaps between the texels.
    gap = np.linalg.norm(places_px[SIDE // 2, SIDE // 2 + 4] - places_px[SIDE // 2, SIDE // 2]) / (4 * divisor)
    spread = max(1.0, 0.6 * float(gap))
    total, covered = (cv2.GaussianBlur(part, (0, 0), spread) for part in (total, covered))
    rough = covered / np.maximum(total, 1e-3)
    guide = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
    matte = smoothstep(0.25, 0.75, guided_filter(guide, rough, max(2, round(2 * spread)), 4e-4))
    full = cv2.resize(matte, (side, side), interpolation=cv2.INTER_LINEAR)
    return cv2.convertScaleAbs(full, alpha=255.0)


def guided_filter(guide: np.ndarray, image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """The image with the guide's edges (He, Sun, Tang 2010, Eq. 5, 6, 8): both (H, W) float32 in [0, 1]."""
    size = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean = cv2.blur(guide, size), cv2.blur(image, size)
    slope = (cv2.blur(guide * image, size) - mean_guide * mean) / (
        cv2.blur(guide * guide, size) - mean_guide**2 + epsilon
    )
    offset = mean - slope * mean_guide
    return np.clip(cv2.blur(slope, size) * guide + cv2.blur(offset, size), 0, 1)
