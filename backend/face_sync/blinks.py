"""Blinks where the footage beneath speech has none, and in the right direction where it is played backwards."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

from ..workspace.frame_rate import frames_of
from ..workspace.idle_part import BLINKS
from ..workspace.intervals import intervals
from ..workspace.shapes import Float, Int

_SHUT, _OPENED = 0.35, 0.08
"""How far above the open lids' level a blink reaches, and where it begins and ends."""
_LONGEST_S = 0.6
"""Of a blink."""
_USUAL_S = (2.5, 6.0)
"""Between two blinks; a clip's own measure is kept inside (Bentivoglio et al. 1997: 26 a minute when talking, 17 at rest)."""
_LATE = 2.0
"""So many times the usual time without a blink is too long."""


def blinking(
    shapes: Float[np.ndarray, "n 52"], path: Int[np.ndarray, " n"], clip: Float[np.ndarray, "m 52"], rate: Fraction
) -> Float[np.ndarray, "n 52"]:
    """Lids of `shapes` along a path over the footage, as a person blinks.

    A lid shuts about twice as fast as it opens: a blink that was played backwards is turned round. A calm part may have no blink,
    which after half a minute is a stare: where it lasts, the clip's own blinks are put in, at times that vary.

    Args:
        shapes: as the path took them from the footage.
        path: the footage's frames.
        clip: all of the footage's shapes.
        rate: frames a second.
    """
    shapes = shapes.copy()
    lids = shapes[:, BLINKS]
    level = np.median(clip[:, BLINKS].max(1))
    backwards = np.diff(path, append=path[-1] + 1) < 0
    longest = frames_of(_LONGEST_S, rate)
    found = _blinks(lids.max(1), level, longest)
    for start, stop in found:
        if backwards[start:stop].all():
            shapes[start:stop, BLINKS] = lids[start:stop][::-1]
    own = _blinks(clip[:, BLINKS].max(1), level, longest)
    if not own:
        return shapes
    usual = np.clip(float(len(clip) / rate) / len(own), *_USUAL_S) * float(rate)
    rng = np.random.default_rng(0)  # the same speech blinks the same
    edges = [0, *(start for start, _ in found), len(shapes)]
    for last, following in itertools.pairwise(edges):
        at = last + _pause(rng, usual)
        while following - last > _LATE * usual and at + longest < following - usual / 2:
            start, stop = own[rng.integers(len(own))]
            shown = slice(at, at + stop - start)
            shapes[shown, BLINKS] = np.maximum(shapes[shown, BLINKS], clip[start:stop, BLINKS])
            at += _pause(rng, usual)
    return shapes


def _pause(rng: np.random.Generator, usual: float) -> int:
    return round(usual * rng.uniform(0.6, 1.4))


def _blinks(lids: np.ndarray, level: float, longest: int) -> list[tuple[int, int]]:
    """First and one-past-last frame of each complete blink, from open to open, in (n,) of the lids."""
    return [
        (start, stop)
        for start, stop in intervals(lids > level + _OPENED)
        if lids[start:stop].max() > level + _SHUT and stop - start <= longest and start > 0 and stop < len(lids)
    ]
