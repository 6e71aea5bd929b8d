"""Whether the camera moved: from the background around the person."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

SHAKE = 0.003
"""Share of the frame's side by which a quarter of the samples differ from the one before, at least, where the camera
is held in the hand: 0.015 there, 0.0006 at most in eight clips from a tripod."""

DRIFT = 0.02
"""Share of the side that a slow pan or zoom adds up to over the clip; 0.007 at most from a tripod."""

_MIN_STEPS = 8
_MIN_POINTS = 8
_SPREAD = 0.5
"""Motion must cover this share of the width: an object that moves in the background is not the camera."""

_LARGE, _CONFIRMED = 0.01, 0.5
"""A step above this share of the side counts where one next to it is as large, or where the frames around differ by this share of it."""

_Step = tuple[float, float, float]

_MARGIN = 0.03
"""Share of the frame's side around the person that is excluded: hair and sleeves move with them."""

_BACKGROUND_PROBABILITY = 0.1
"""Person probability below which a place is background."""


def camera_motion(frames: np.ndarray, probabilities: list[np.ndarray]) -> float:
    """How far the camera moves the image, as a share of its side; 0 where it is still or the background has no texture.

    Args:
        frames: (N, S, S, 3) uint8, in order, some tenths of a second apart.
        probabilities: the network's person probability of each, (h, w) float32.
    """
    seen = []
    for frame, probability in zip(frames, probabilities, strict=True):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        seen.append((grey, person_mask(probability, grey.shape)))
    found = [_between(before, after) for before, after in itertools.pairwise(seen)]
    steps = []
    for index, step in enumerate(found):
        beside = [found[other] for other in (index - 1, index + 1) if 0 <= other < len(found)]
        if step and (_size(step) < _LARGE or _size(*beside) >= _LARGE or _stays(step, seen, index + 1)):
            steps.append(step)
    if len(steps) < _MIN_STEPS:
        return 0.0
    path = np.cumsum(steps, axis=0)
    reach = float(np.max(np.percentile(path, 98, axis=0) - np.percentile(path, 2, axis=0)))
    shakes = np.percentile(np.hypot(*np.transpose(steps)[:2]), 75) > SHAKE
    return reach if shakes or reach > DRIFT else 0.0


def _between(before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]) -> _Step | None:
    """Between two frames, each with what is not its background."""
    return _background_step(before[0], after[0], 255 - np.maximum(before[1], after[1]))


def _size(*steps: _Step | None) -> float:
    """The largest amount in any."""
    return max((abs(amount) for step in steps if step for amount in step), default=0.0)


def _stays(step: _Step, seen: list[tuple[np.ndarray, np.ndarray]], index: int) -> bool:
    """Whether the frames around those of a large step differ as well: corners that were taken for others do not stay so."""
    around = _between(seen[max(index - 2, 0)], seen[min(index + 1, len(seen) - 1)])
    largest = max(range(len(step)), key=lambda axis: abs(step[axis]))
    return around is not None and around[largest] / step[largest] > _CONFIRMED


def person_mask(probability: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """255 where the person or the border of the image is, (H, W) uint8."""
    size = 2 * round(_MARGIN * shape[0]) + 1
    mask = cv2.resize(
        (probability > _BACKGROUND_PROBABILITY).astype(np.uint8) * 255, shape[::-1], interpolation=cv2.INTER_NEAREST
    )
    mask = cv2.dilate(mask, np.ones((size, size), np.uint8))
    edge = max(shape[0] // 60, 2)
    mask[:edge] = mask[-edge:] = mask[:, :edge] = mask[:, -edge:] = 255
    return mask


def corners(grey: np.ndarray, mask: np.ndarray, halves: int = 2) -> np.ndarray:
    """Points to follow, (N, 1, 2) float32, chosen in each half separately: one with more texture must not take them all."""
    found = []
    for half in np.array_split(np.arange(grey.shape[1]), halves):
        part = np.zeros_like(mask)
        part[:, half] = mask[:, half]
        points = cv2.goodFeaturesToTrack(grey, 100, 0.02, 6, mask=part)
        found += [] if points is None else [points]
    return np.concatenate(found) if found else np.zeros((0, 1, 2), np.float32)


def _background_step(last: np.ndarray, grey: np.ndarray, mask: np.ndarray) -> _Step | None:
    """How far the background moved, right, down and by zoom at the edge, as shares of the width; None where it has too little
    texture."""
    points = corners(last, mask)
    if len(points) < _MIN_POINTS:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(last, grey, points, None, winSize=(21, 21), maxLevel=3)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(grey, last, moved, None, winSize=(21, 21), maxLevel=3)
    sure = (found & found_back)[:, 0].astype(bool) & (np.linalg.norm(back - points, axis=-1)[:, 0] < 0.5)
    if sure.sum() < _MIN_POINTS:
        return None
    points, moved = points[sure][:, 0], moved[sure][:, 0]
    transform, agree = cv2.estimateAffinePartial2D(points, moved, ransacReprojThreshold=0.7)
    if transform is None or agree.mean() < 0.6 or agree.sum() < _MIN_POINTS:
        return None
    height, width = grey.shape
    if np.ptp(points[agree[:, 0] > 0, 0]) < _SPREAD * width:
        return None
    step = transform @ np.array([width / 2, height / 2, 1.0]) - (width / 2, height / 2)
    zoom = float(np.log(np.hypot(transform[0, 0], transform[1, 0])))
    return float(step[0]) / width, float(step[1]) / width, 0.5 * zoom
