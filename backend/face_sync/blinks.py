"""Blinks where the footage beneath speech has none, and in the right direction where it is played backwards."""

from __future__ import annotations

import itertools

import numpy as np

from ..workspace.idle_part import BLINKS
from ..workspace.intervals import intervals
from ..workspace.shapes import Float, Int
from ..workspace.subject import FPS

_SHUT, _OPENED = 0.35, 0.08
"""How far above the open lids' level a blink reaches, and where it begins and ends."""
_LONGEST_FRAMES = 15
_USUAL_S = (2.5, 6.0)
"""Between two blinks; a clip's own measure is kept inside (Bentivoglio et al. 1997: 26 a minute when talking, 17 at rest)."""
_LATE = 2.0
"""So many times the usual time without a blink is too long."""


def blinking(
    shapes: Float[np.ndarray, "n 52"], path: Int[np.ndarray, " n"], clip: Float[np.ndarray, "m 52"]
) -> Float[np.ndarray, "n 52"]:
    """Lids of `shapes` along a path over the footage, as a person blinks.

    A lid shuts about twice as fast as it opens: a blink that was played backwards is turned round. A calm part may have no blink,
    which after half a minute is a stare: where it lasts, the clip's own blinks are put in, at times that vary.

    Args:
        shapes: as the path took them from the footage.
        path: the footage's frames.
        clip: all of the footage's shapes.
    """
    shapes = shapes.copy()
    lids = shapes[:, BLINKS]
    level = np.median(clip[:, BLINKS].max(1))
    backwards = np.diff(path, append=path[-1] + 1) < 0
    found = _blinks(lids.max(1), level)
    for start, stop in found:
        if backwards[start:stop].all():
            shapes[start:stop, BLINKS] = lids[start:stop][::-1]
    own = _blinks(clip[:, BLINKS].max(1), level)
    if not own:
        return shapes
    usual_s = np.clip(len(clip) / FPS / len(own), *_USUAL_S)
    rng = np.random.default_rng(0)  # the same speech blinks the same
    edges = [0, *(start for start, _ in found), len(shapes)]
    for last, following in itertools.pairwise(edges):
        at = last + _pause(rng, usual_s)
        while following - last > _LATE * usual_s * FPS and at + _LONGEST_FRAMES < following - usual_s * FPS / 2:
            start, stop = own[rng.integers(len(own))]
            shown = slice(at, at + stop - start)
            shapes[shown, BLINKS] = np.maximum(shapes[shown, BLINKS], clip[start:stop, BLINKS])
            at += _pause(rng, usual_s)
    return shapes


def _pause(rng: np.random.Generator, usual_s: float) -> int:
    return round(usual_s * FPS * rng.uniform(0.6, 1.4))


def _blinks(lids: np.ndarray, level: float) -> list[tuple[int, int]]:
    """First and one-past-last frame of each complete blink, from open to open, in (n,) of the lids."""
    return [
        (start, stop)
        for start, stop in intervals(lids > level + _OPENED)
        if lids[start:stop].max() > level + _SHUT and stop - start <= _LONGEST_FRAMES and start > 0 and stop < len(lids)
    ]
