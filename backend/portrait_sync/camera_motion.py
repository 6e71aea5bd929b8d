"""Whether the camera moved: from the background around the person."""

from __future__ import annotations

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
    steps = []
    last = None
    for frame, probability in zip(frames, probabilities, strict=True):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        person = person_mask(probability, grey.shape)
        if last is not None and (step := _background_step(last[0], grey, 255 - np.maximum(last[1], person))):
            steps.append(step)
        last = grey, person
    if len(steps) < _MIN_STEPS:
        return 0.0
    path = np.cumsum(steps, axis=0)
    reach = float(np.max(np.percentile(path, 98, axis=0) - np.percentile(path, 2, axis=0)))
    shakes = np.percentile(np.hypot(*np.transpose(steps)[:2]), 75) > SHAKE
    return reach if shakes or reach > DRIFT else 0.0


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


def _background_step(last: np.ndarray, grey: np.ndarray, mask: np.ndarray) -> tuple[float, float, float] | None:
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
