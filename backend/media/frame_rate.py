"""The frame rate of a clip, measured from its time stamps, and the rate at which its frames are kept."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..workspace.frame_rate import HIGHEST, LOWEST, STANDARD, exact_rate
from .timeline import NONE, Track

_OFF_GRID = 0.4
"""Frames by which jitter may move a time stamp: below half, so that it cannot be taken for its neighbour's."""

_OFF_FINE_GRID = 0.2
"""The same of rates that are higher than what most frames last, because many were dropped: few stamps lie so near by chance."""

_ON_GRID_SHARE = 0.98
_MOST_DROPPED = 3
_NEAR = 0.03
"""By how much the rate of a clip may differ from what its median frame lasts, as a share."""

_EXACT = 1.5
"""A rate that the file states is taken where its time stamps fit no other better than by this factor."""


def own_rate(track: Track) -> Fraction:
    """Frames a second: the constant rate that a track's time stamps follow, frames that were dropped or not; else their mean.

    Files state means, which dropped frames lower, and nominal rates, which their frames need not have.
    """
    stamps = np.unique(track.shown[(track.stamps != NONE) & ~track.hidden])
    if len(stamps) < 3:
        return track.rate
    time_s = (stamps - stamps[0]) * float(track.time_base)
    usual = 1 / float(np.median(np.diff(time_s)))
    fits = {
        rate: fit
        for rate in dict.fromkeys((track.rate, exact_rate(usual), *STANDARD))
        if abs(float(rate) / usual - 1) < _NEAR and (fit := _misfit(time_s, float(rate))) is not None
    }
    if not fits:
        higher = (rate for rate in STANDARD if usual < rate < _MOST_DROPPED * usual)
        mean = exact_rate((len(time_s) - 1) / float(time_s[-1]))
        return next((rate for rate in higher if _misfit(time_s, float(rate), _OFF_FINE_GRID) is not None), mean)
    best = min(fits, key=lambda rate: fits[rate])
    stated = fits.get(track.rate)
    return track.rate if stated is not None and stated <= _EXACT * fits[best] + 1e-3 else best


def is_constant(track: Track) -> bool:
    """Whether a track's time stamps follow the rate that `own_rate` gives, but for jitter and dropped frames."""
    stamps = np.unique(track.shown[(track.stamps != NONE) & ~track.hidden])
    time_s = (stamps - stamps[:1]) * float(track.time_base)
    return len(stamps) < 3 or _misfit(time_s, float(own_rate(track))) is not None


def kept_rate(track: Track) -> Fraction:
    """At which a clip's frames are kept: its own rate where that is constant and from 23.976 to 60.

    A variable rate becomes the standard one nearest to its mean. Of a higher one every second frame is kept, or every third
    or fourth; of a lower one each frame is kept twice or three times: where no standard rate makes that possible, the nearest is taken.
    """
    rate = own_rate(track)
    if LOWEST <= rate <= HIGHEST and is_constant(track):
        return rate
    whole = [standard for standard in STANDARD if max(rate / standard, standard / rate).denominator == 1]
    if rate > HIGHEST and whole:
        return whole[-1]
    if rate < LOWEST and whole and whole[0] <= 30:
        return whole[0]
    return min(STANDARD, key=lambda standard: abs(standard - rate))


def _misfit(time_s: np.ndarray, fps: float, most: float = _OFF_GRID) -> float | None:
    """RMS distance of times from those of a constant rate, in frames; None where they do not follow it."""
    at = time_s * fps
    off = at - np.round(at)
    middle = np.median(off)
    off = off - middle
    number = np.round(at - middle)
    if (np.abs(off) > most).mean() > 1 - _ON_GRID_SHARE or (np.diff(number) < 1).mean() > 1 - _ON_GRID_SHARE:
        return None
    return float(np.sqrt(np.square(off).mean()))
