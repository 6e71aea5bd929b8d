"""Between the steps of speech, 25 a second whatever the video's rate, and the frames of a video.

The encoders were trained on steps of 40 ms and work in time. What they predict is taken to the frames by interpolation:
lips open and close 2 to 7 times a second (Chandrasekaran et al. 2009), which 25 steps a second hold, so rates of 50 and
60 need no encoder of their own.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from scipy.ndimage import spline_filter1d

from ..media.audio_rates import RATE
from ..workspace.shapes import Bool, Float
from .audio_features import HOP, PER_STEP

STEP_RATE = Fraction(RATE, HOP * PER_STEP)
"""Steps a second: 25."""


def steps_over(frames: int, rate: Fraction) -> int:
    """How many steps it takes to interpolate at each of `frames`: the last is not before the last frame."""
    return math.ceil((frames - 1) * STEP_RATE / rate) + 1 if frames > 0 else 0


def steps_before(frames: int, rate: Fraction) -> int:
    """How many steps begin before frame `frames`: of a clip of so many, those that have frames around them."""
    return math.ceil(frames * STEP_RATE / rate)


def at_frames(steps: Float[np.ndarray, "s d"], frames: int, rate: Fraction, ahead: int = 0) -> Float[np.ndarray, "n d"]:
    """Rows, one a step, at the times of frames: (frames, d) of the same type.

    Cubic splines through the steps (Unser 1999), so at 25 frames a second the rows themselves; level beyond the ends.

    Args:
        ahead: so many steps later than the frames.
    """
    last = len(steps) - 1
    at = np.clip(np.arange(frames) * float(STEP_RATE / rate) + ahead, 0, last)
    first = np.minimum(np.floor(at + 1e-6).astype(int), last)
    t = at - first
    if np.abs(t).max(initial=0) < 1e-5:
        return steps[first]
    weights = spline_filter1d(steps, 3, axis=0, output=steps.dtype, mode="mirror")
    basis = (1 - t) ** 3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - (1 - t) ** 2 + (1 - t) ** 3 / 2, t**3 / 6
    result = np.zeros((frames, steps.shape[1]), steps.dtype)
    for shift, share in zip((-1, 0, 1, 2), basis, strict=True):
        mirrored = last - np.abs(last - np.abs(first + shift))
        result += share[:, None].astype(steps.dtype) * weights[mirrored.clip(0)]
    return result


def at_steps(frames: Float[np.ndarray, "n d"], steps: int, rate: Fraction) -> Float[np.ndarray, "s d"]:
    """Rows, one a frame, at the times of steps: (steps, d), linear; frames at 25 a second are the rows themselves."""
    first, share = _beside(len(frames), steps, rate)
    following = np.minimum(first + 1, len(frames) - 1)
    return frames[first] + share[:, None] * (frames[following] - frames[first])


def all_at_steps(frames: Bool[np.ndarray, " n"], steps: int, rate: Fraction) -> Bool[np.ndarray, " s"]:
    """(steps,) whether it holds for the frames on both sides of each step."""
    first, share = _beside(len(frames), steps, rate)
    return frames[first] & (frames[np.minimum(first + 1, len(frames) - 1)] | (share == 0))


def _beside(frames: int, steps: int, rate: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """The frame at or before each step, and how far the step is on the way to the next."""
    at = np.minimum(np.arange(steps) * float(rate / STEP_RATE), frames - 1)
    first = np.floor(at + 1e-6).astype(int)
    share = at - first
    return first, np.where(np.abs(share) < 1e-5, 0.0, share)
