"""A head that an image cuts off, continued beyond the image."""

from __future__ import annotations

import numpy as np

from ..workspace.shapes import Float, UInt8
from .fill import push_pull

BORDER, BAND = 0.12, 0.04
"""How far a head that the image cuts off is continued at most, and the band at the border that is mirrored for it, of the image's width."""
CROWN_BAND = 0.08
"""The band below a cut that is mirrored for a crown, where the face's height is known: in face heights."""
NEAR = 0.7
"""Outline that is within so many widths of a cut's middle says how round it is."""
MIDDLES = (0.2, 8.0)
"""How far below the cut a head's middle may be, in halves of the cut's width."""


def completed(rgba: Float[np.ndarray, "height width 4"], last_row: int) -> tuple[np.ndarray, int]:
    """A head that the image cuts off at its top or sides, continued beyond the image: a crown, the hair beside a face.

    Each cut is closed by the circle through its two ends that fits the outline beside them; its colour is the image's border,
    mirrored.

    Args:
        rgba: premultiplied.
        last_row: sides are continued above it: the lips. What hangs below has no end that is known.

    Returns:
        The image with a border on all sides, and how wide that is in pixels.
    """
    height, width = rgba.shape[:2]
    margin, band = round(BORDER * width), max(1, round(BAND * width))
    alpha = np.clip(rgba[..., 3], 0, 1)
    sides = alpha.copy()
    sides[max(last_row, 0) :] = 0
    whole = np.pad(alpha, margin)
    inner = slice(margin, -margin)
    whole[:margin, inner] = _closed(alpha, margin)
    whole[inner, :margin] = _closed(sides.T, margin).T
    whole[inner, -margin:] = _closed(sides.T[::-1], margin)[::-1].T
    straight = push_pull(rgba[..., :3] / np.maximum(alpha, 1e-3)[..., None], alpha)
    rows, columns = _mirrored(height, margin, band), _mirrored(width, margin, band)
    return np.concatenate([straight[rows][:, columns] * whole[..., None], whole[..., None]], -1), margin


def crown_above(
    head: UInt8[np.ndarray, "rows columns 4"], margin: int, band: int
) -> UInt8[np.ndarray, "margin columns 4"]:
    """What `completed` has above an image's first row.

    Args:
        head: premultiplied.
        margin, band: how far it is continued at most, and the rows that are mirrored for it.
    """
    alpha = head[..., 3].astype(np.float32) / 255
    above, known = _closed(alpha, margin), alpha[:band]
    straight = push_pull(head[:band, :, :3] / np.maximum(known, 1e-3)[..., None], known)
    colour = straight[_deep(margin, len(known))[::-1]] * above[..., None]
    return np.rint(np.concatenate([np.minimum(colour, 255 * above[..., None]), 255 * above[..., None]], -1)).astype(
        np.uint8
    )


def _closed(alpha: Float[np.ndarray, "h w"], margin: int) -> Float[np.ndarray, "margin w"]:
    """What is above the first row of a matte, in [0, 1], so that each run of it which that row cuts ends round."""
    result = np.zeros((margin, alpha.shape[1]), np.float32)
    solid = alpha > 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[False], solid[0], [False]]).astype(np.int8)))
    deep = np.where(solid.any(0), solid.argmax(0), len(alpha))  # of the outline below the row, in each column
    rows = margin - np.arange(margin) - 0.5  # how far above it, pixels
    for first, last in edges.reshape(-1, 2):
        columns = np.arange(alpha.shape[1]) + 0.5
        beside = (columns - first) * (columns - last)  # negative within the run
        near = (beside > 0) & (np.abs(columns - (first + last) / 2) < NEAR * (last - first)) & (deep < len(alpha))
        if not near.any():
            continue
        # A head only gets wider below a cut: what is higher again is another piece, of the wall maybe.
        left = np.maximum.accumulate(deep[:first][::-1])[::-1]
        outline = np.concatenate([left, deep[first:last], np.maximum.accumulate(deep[last:])])
        above = np.clip(_round(beside, outline[near], beside[near]), 0, margin)
        result = np.maximum(result, np.clip(above - rows[:, None] + 0.5, 0, 1))
    return result


def _round(
    wanted: Float[np.ndarray, " w"], deep: Float[np.ndarray, " n"], beside: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " w"]:
    """How high a circle is above a cut that goes through it, by the outline below the cut; pixels, not above 0 beside it.

    With x² - x0² = `beside`, of a place as far from the middle as x and of the cut's ends, a circle whose middle is c below the cut is
    at depth c - √(c² - (x² - x0²)). That c is taken whose depths differ least in the mean: a piece of wall beside the head, of which
    there is less, does not count. (An ellipse has a second unknown, which so short a piece of an outline hardly says: it was twice as
    high in one frame as in the next.)

    Args:
        wanted: `beside` where it is asked for.
        deep, beside: of the outline.
    """
    c = np.sqrt(-wanted.min()) * np.geomspace(*MIDDLES, 97)[:, None]
    depths = c - np.sqrt(np.maximum(c**2 - beside, 0))
    c = c[np.abs(depths - deep).mean(1).argmin(), 0]
    return np.sqrt(np.maximum(c**2 - wanted, 0)) - c


def _mirrored(side: int, margin: int, band: int) -> np.ndarray:
    """Indices of a side that a margin continues by its outermost `band` pixels, forth and back."""
    deep = _deep(margin, band)
    return np.concatenate([deep[::-1], np.arange(side), side - 1 - deep])


def _deep(margin: int, band: int) -> np.ndarray:
    """How deep within a band is what a margin shows, from the border outwards."""
    beyond = np.arange(margin) % (2 * band)
    return np.minimum(beyond, 2 * band - 1 - beyond)
