"""The motion of a camera from the background, which it moves: every frame is registered to a reference, not to the one before.

Transforms are 3 x 3 homographies between places, fractions of the working frame's side (`workspace.camera_path`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from .camera_motion import corners, person_mask

LONGEST_SIDE = 512
"""Of the images that are registered: a point is followed to a twentieth of a pixel, and some hundred of them are."""
_PATCHES_PX = 15, 31
"""Sides of the patches that are followed: small ones lie in gaps beside the person, large ones see detail that is out of focus."""
_AGREE_PX = 0.7
"""Points within this of the motion agree with it, at `LONGEST_SIDE`."""
_NEAR = 3.0 / LONGEST_SIDE
"""A guess that is off by less, as a share of the side, is not worth a second look."""
_RIM = np.ones((5, 5), np.uint8)
_MIN_POINTS, _MIN_SHARE, _MIN_SPREAD = 12, 0.45, 0.35
"""So many points must agree, such a share of all, and they must cover such a share of the frame's width."""
_RMS_OF_QUARTILE = np.sqrt(1.0 / np.log(4.0))
"""Of distances in the plane whose parts are normal (Rayleigh's distribution): their RMS over their upper quartile."""
_HOMOGRAPHY_POINTS = 40
_HOMOGRAPHY_GAIN = 0.8
"""A homography is taken where it leaves less than this of a similarity's residual."""
_OVERLAP = 0.7
"""A sample that shows less of every keyframe becomes one."""


@dataclass(frozen=True)
class View:
    """An image of the background: grey (h, w) uint8, 255 in `free` (h, w) uint8 where it is background, and the matrix from
    places to its pixels."""

    grey: np.ndarray
    free: np.ndarray
    to_pixels: np.ndarray

    @cached_property
    def points(self) -> np.ndarray:
        """(N, 2) places of corners in it."""
        halves = max(2, round(2 * self.grey.shape[1] / self.to_pixels[0, 0]))  # of a frame; a mosaic is wider
        found = corners(self.grey, cv2.erode(self.free, _RIM), halves)[:, 0]
        return moved_places(found, np.linalg.inv(self.to_pixels)) if len(found) else np.zeros((0, 2))

    @classmethod
    def of_frame(cls, frame: np.ndarray, probability: np.ndarray, shown: np.ndarray | None = None) -> View:
        """Of a working frame (S, S, 3) uint8 and its person probability; `shown` (S, S) uint8 is 0 beyond the source's edge."""
        side = min(LONGEST_SIDE, frame.shape[0])
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if side < frame.shape[0]:
            grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
        free = 255 - person_mask(probability, grey.shape)
        if shown is not None:
            free &= cv2.resize(shown, (side, side), interpolation=cv2.INTER_NEAREST)
        return cls(grey, free, pixels(side))


@dataclass(frozen=True)
class Match:
    """The motion from one view to another.

    Attributes:
        transform: places of the first to places of the second.
        residual: RMS of all points that were followed, by their upper quartile, as a share of the side: an odd one does not
            count, a part of the room that moves otherwise does.
        points: how many agree.
    """

    transform: np.ndarray
    residual: float
    points: int


def pixels(side: int) -> np.ndarray:
    """(3, 3) from places to an image's pixels as OpenCV counts them, the first one's centre at 0."""
    return np.array([[side, 0.0, -0.5], [0.0, side, -0.5], [0.0, 0.0, 1.0]])


def match(
    first: View,
    second: View,
    guess: np.ndarray,
    homography: bool = False,
    levels: int = 1,
    patches: tuple[int, ...] = _PATCHES_PX,
) -> Match | None:
    """The motion from `first` to `second`, which is near `guess`; None where too few points agree on one.

    Args:
        levels: of the image pyramid: 1 finds what is within 10 pixels of the guess, 3 within 50; but the coarse ones see the
            person beside a point, who moves otherwise.
        patches: sides to try, in pixels.
    """
    found = None
    for _ in range(2):  # a second time from closer by: patches that differ in scale or place are followed less exactly
        for patch in patches:
            if (found := _match_once(first, second, guess, homography, levels, patch)) is not None:
                patches = (patch,)
                break
        if found is None:
            return None
        levels = 1
        change, guess = _largest_change(found.transform, guess), found.transform
        if change < _NEAR:
            break
    return found


def _match_once(
    first: View, second: View, guess: np.ndarray, homography: bool, levels: int, patch: int
) -> Match | None:
    side = second.grey.shape[1]
    warp = second.to_pixels @ guess @ np.linalg.inv(first.to_pixels)
    size = second.grey.shape[::-1]
    moved = cv2.warpPerspective(first.grey, warp, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    points = moved_places(first.points, second.to_pixels @ guess) if len(first.points) else first.points
    columns, rows = np.rint(points).astype(int).T
    inside = (columns >= 0) & (columns < size[0]) & (rows >= 0) & (rows < size[1])
    inside[inside] = second.free[rows[inside], columns[inside]] > 0
    points = points[inside][:, None].astype(np.float32)
    if len(points) < _MIN_POINTS:
        return None
    window = {"winSize": (patch, patch), "maxLevel": levels}
    there, found, _ = cv2.calcOpticalFlowPyrLK(moved, second.grey, points, None, **window)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(second.grey, moved, there, None, **window)
    sure = (found & found_back)[:, 0].astype(bool) & (np.linalg.norm(back - points, axis=-1)[:, 0] < 0.5)
    points, there = points[sure][:, 0], there[sure][:, 0]
    if len(points) < _MIN_POINTS:
        return None
    limit = _AGREE_PX * max(1.0, side / LONGEST_SIDE)
    rest = np.eye(3)
    if homography and len(points) >= _HOMOGRAPHY_POINTS:
        rest, agree = cv2.findHomography(points, there, cv2.RANSAC, limit)
    else:
        rest[:2], agree = cv2.estimateAffinePartial2D(points, there, ransacReprojThreshold=limit, refineIters=20)
    if rest is None or not np.isfinite(rest).all():
        return None
    agree = agree[:, 0] > 0
    if agree.sum() < max(_MIN_POINTS, _MIN_SHARE * len(points)) or np.ptp(points[agree, 0]) < _MIN_SPREAD * side:
        return None
    errors = np.linalg.norm(cv2.perspectiveTransform(points[None].astype(np.float64), rest)[0] - there, axis=1)
    residual = _RMS_OF_QUARTILE * float(np.percentile(errors, 75)) / side
    transform = np.linalg.inv(second.to_pixels) @ rest @ second.to_pixels @ guess
    return Match(transform / transform[2, 2], residual, int(agree.sum()))


def _largest_change(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(moved_places(_EDGE, one) - moved_places(_EDGE, other)).max())


def moved_places(places: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """(N, 2) places under a transform."""
    return cv2.perspectiveTransform(places[None].astype(np.float64), transform)[0]


_EDGE = np.array([[x, y] for x in (0.0, 0.25, 0.5, 0.75, 1.0) for y in (0.0, 0.25, 0.5, 0.75, 1.0)])


def wide_guess(first: View, second: View) -> np.ndarray | None:
    """A rough motion, however large, from features that are alike (Lowe 2004, SIFT); None where they do not agree."""
    sift = cv2.SIFT_create(500)
    (points, about), (others, about_others) = (sift.detectAndCompute(view.grey, view.free) for view in (first, second))
    if about is None or about_others is None or min(len(points), len(others)) < _MIN_POINTS:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(about, about_others, k=2)
    alike = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < 0.75 * pair[1].distance]
    if len(alike) < _MIN_POINTS:
        return None
    here = np.float32([points[pair.queryIdx].pt for pair in alike])
    there = np.float32([others[pair.trainIdx].pt for pair in alike])
    rough, agree = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=3.0)
    if rough is None or agree.sum() < max(_MIN_POINTS, 0.3 * len(alike)):
        return None
    return np.linalg.inv(second.to_pixels) @ np.vstack([rough, [0.0, 0.0, 1.0]]) @ first.to_pixels


def _motion(first: View, second: View, guess: np.ndarray, homography: bool = False) -> Match | None:
    """As `match`, and where that fails from no motion, or from `wide_guess`."""
    found = match(first, second, guess, homography) or match(first, second, np.eye(3), homography, levels=3)
    if found is None and (wide := wide_guess(first, second)) is not None:
        found = match(first, second, wide, homography)
    return found


def register_samples(views: Sequence[View]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Transforms of samples of a clip, in order, to the reference frame: the one nearest to the middle of the path.

    Neighbours give a first path. Then each sample is matched with the keyframe that shows most of it: the reference, or one that
    reaches beyond it. So a camera that returns finds the background where it was.

    Returns:
        (N, 3, 3); (N) bool, which are registered; and whether by homographies rather than similarities.
    """
    count = len(views)
    path = np.tile(np.eye(3), (count, 1, 1))
    step = np.eye(3)
    for index in range(1, count):
        found = _motion(views[index - 1], views[index], step)
        step = np.eye(3) if found is None else found.transform
        path[index] = path[index - 1] @ np.linalg.inv(step)
    middles = np.stack([moved_places(_EDGE, transform).ravel() for transform in path])
    distance = np.linalg.norm(middles - np.median(middles, axis=0), axis=1)
    reference = int(np.argmin(distance))
    order = np.argsort(np.linalg.norm(middles - middles[reference], axis=1)).tolist()
    homography = _bends(views, path, reference, order)
    result, known = np.tile(np.eye(3), (count, 1, 1)), np.zeros(count, bool)
    known[reference] = True
    keyframes = [reference]
    for index in order[1:]:
        overlaps = [_overlap(np.linalg.inv(path[key]) @ path[index]) for key in keyframes]
        best = int(np.argmax(overlaps))
        key = keyframes[best]
        guess = np.linalg.inv(path[index]) @ path[key]
        found = _motion(views[key], views[index], guess, homography)
        if found is None:
            continue
        transform = result[key] @ np.linalg.inv(found.transform)
        result[index], known[index] = transform / transform[2, 2], True
        if overlaps[best] < _OVERLAP:
            keyframes.append(index)
    return interpolated(result, known), known, homography


def _bends(views: Sequence[View], path: np.ndarray, reference: int, order: Sequence[int]) -> bool:
    """Whether homographies explain the motion clearly better than similarities: a wide lens that turns far."""
    ratios = []
    for index in order[1 :: max(1, len(order) // 16)]:
        guess = np.linalg.inv(path[index]) @ path[reference]
        plain, bent = (match(views[reference], views[index], guess, bend) for bend in (False, True))
        if plain is not None and bent is not None and plain.points >= _HOMOGRAPHY_POINTS:
            ratios.append(bent.residual * max(1.0, plain.points / bent.points) / max(plain.residual, 1e-9))
        elif plain is None and bent is not None:
            ratios.append(0.0)
    return bool(ratios) and float(np.median(ratios)) < _HOMOGRAPHY_GAIN


def _overlap(transform: np.ndarray) -> float:
    moved = moved_places(_EDGE, transform)
    return float(((moved >= 0.0) & (moved <= 1.0)).all(1).mean())


def interpolated(transforms: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(N, 3, 3) with those not `found` (N) between their neighbours in time; at least one must be."""
    return at_times(transforms[found], np.flatnonzero(found), np.arange(len(found)))


def at_times(transforms: np.ndarray, known: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(M, 3, 3) at `times` (M), entry by entry, from transforms at the times `known`."""
    flat = transforms.reshape(len(known), 9)
    return np.stack([np.interp(times, known, entry) for entry in flat.T], axis=-1).reshape(-1, 3, 3)


def register_to(
    mosaic: View, views: Callable[[int], View], guesses: np.ndarray, homography: bool, run: Callable[..., Iterable]
) -> tuple[np.ndarray, np.ndarray]:
    """Register frames to a mosaic, each by itself.

    Args:
        views: of the frames, by number.
        guesses: (N, 3, 3), about where each lies.
        run: `map`, or a pool's.

    Returns:
        (N, 3, 3) from their places to those of the mosaic; and (N) residuals, shares of the side, NaN where a frame is not
        registered and is interpolated.
    """

    def one(index: int) -> Match | None:
        return match(mosaic, views(index), np.linalg.inv(guesses[index]), homography)

    result, residual = guesses.copy(), np.full(len(guesses), np.nan)
    for index, found in enumerate(run(one, range(len(guesses)))):
        if found is not None:
            inverse = np.linalg.inv(found.transform)
            result[index], residual[index] = inverse / inverse[2, 2], found.residual
    known = np.isfinite(residual)
    return (interpolated(result, known) if known.any() else result), residual
