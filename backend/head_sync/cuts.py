"""Cuts in a clip, found in the motion of the face."""

from __future__ import annotations

import numpy as np

from ..workspace.landmarks import LEFT_PUPIL, RIGHT_PUPIL, RIGID
from .shapes import Frames, Marks, PerFrame

CUT_SHIFT, CUT_SCALE, CUT_RATIO = 0.05, 0.06, 8.0
"""A cut moves the face by at least `CUT_SHIFT` distances between the pupils, or changes its size (logarithm) or roll
(radians) by `CUT_SCALE`, and by `CUT_RATIO` times the change in the frames around it (the fastest real motion reaches 6;
cuts in real clips 13 to 67)."""


def find_cuts(landmarks_px: Marks, detected: Frames) -> Frames:
    """Frames that begin a new shot: the face jumps from one frame to the next and is calm before and after."""
    face = landmarks_px[:, RIGID].astype(np.float64)
    across = landmarks_px[detected][:, LEFT_PUPIL] - landmarks_px[detected][:, RIGHT_PUPIL]
    shift = np.median(np.linalg.norm(np.diff(face, axis=0), axis=-1), axis=1)
    shift /= np.median(np.linalg.norm(across, axis=-1))
    # As complex numbers about their mean, one face is the next times one factor: size and roll.
    spread = (face - face.mean(1, keepdims=True)) @ np.array([1, 1j])
    factor = (spread[:-1].conj() * spread[1:]).sum(1) / np.maximum((np.abs(spread[:-1]) ** 2).sum(1), 1e-9)
    zoom = np.abs(np.log(np.where(factor == 0, 1, factor)))
    both = detected[1:] & detected[:-1]
    cuts = np.zeros(len(detected), bool)
    cuts[1:] = _outliers(np.where(both, shift, 0), CUT_SHIFT) | _outliers(np.where(both, zoom, 0), CUT_SCALE)
    return cuts


def _outliers(change: PerFrame, least: float) -> Frames:
    """Changes that are large and `CUT_RATIO` times those around them."""
    # The third largest of eight neighbours: a second cut close by does not hide the first.
    padded = np.pad(change, 4, mode="edge")
    around = np.stack([padded[4 + shift : 4 + shift + len(change)] for shift in (-4, -3, -2, -1, 1, 2, 3, 4)])
    return change > np.maximum(least, CUT_RATIO * np.sort(around, axis=0)[5])
