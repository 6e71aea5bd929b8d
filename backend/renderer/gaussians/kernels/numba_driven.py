"""A head prepared for drawing, compiled: driven block by block and projected at once, so that no frame's attributes are kept.

Codes and view drive place, opacity and colour alone. The axes of the Gaussians, with their exponentials and rotations, are
computed once a head, and all that a frame reads is in the order in which it is drawn.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ....compilation.kernel_cache import njit
from ....workspace.shapes import Float, Int
from .constants import ATTRIBUTES
from .numba_bins import gather, pack_and_count
from .numba_buffers import BLOCK, PROJECTED
from .numba_maths import OPTIONS, F
from .numba_project import axes_of, project

DRIVEN_ROWS, PLACE_ROWS = 7, 3
"""x, y, z, opacity, red, green and blue, and how many of them are the place."""


class Bases(NamedTuple):
    """What codes add to the Gaussians that they drive, block by block.

    Attributes:
        starts: the first of each block's driven Gaussians; the last entry is the number of all.
        slots: each driven Gaussian's place in its block.
        values: of each block, for each code, the DRIVEN_ROWS of its driven Gaussians.
    """

    starts: Int[np.ndarray, " blocks1"]
    slots: Int[np.ndarray, " driven"]
    values: Float[np.ndarray, " all"]


class PreparedHead(NamedTuple):
    """A head in blocks of `BLOCK` Gaussians, in the order in which they are blended.

    Attributes:
        order: that order, of the head's Gaussians.
        base: DRIVEN_ROWS x BLOCK of each block.
        axes: 9 x BLOCK of each block, see `numba_project.axes_of`.
        by_view: 3 colours x 2 directions x BLOCK of each block.
    """

    order: Int[np.ndarray, " n"]
    base: Float[np.ndarray, "blocks rows"]
    axes: Float[np.ndarray, "blocks axes"]
    by_view: Float[np.ndarray, "blocks views"]
    lips: Bases
    expressions: Bases


def prepare_head(
    base: Float[np.ndarray, "14 n"],
    lip_bases: Float[np.ndarray, "7 lip_codes lips"],
    expression_bases: Float[np.ndarray, "7 expression_codes expressions"],
    view_bases: Float[np.ndarray, "3 2 n"],
    order: Int[np.ndarray, " n"],
) -> PreparedHead:
    """See `interface.HeadRasteriser.prepare`."""
    count, lips = len(order), lip_bases.shape[2]
    order = np.array(order, np.int32)
    places = np.empty(count, np.int64)
    places[order] = np.arange(count)
    base = np.array(base, np.float32, order="C")
    axes = np.zeros((-(-count // BLOCK), 9 * BLOCK), np.float32)
    fill_axes(base, order, axes)
    return PreparedHead(
        order,
        _blocks(base[[0, 1, 2, 10, 11, 12, 13]], order),
        axes,
        _blocks(view_bases.reshape(6, count), order),
        _bases(lip_bases, places[:lips]),
        _bases(expression_bases, places[lips : lips + expression_bases.shape[2]]),
    )


def _blocks(rows: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Rows (rows, n) in order and in blocks (blocks, rows * BLOCK); the last block is filled with 0."""
    count, blocks = len(order), -(-len(order) // BLOCK)
    padded = np.zeros((len(rows), blocks * BLOCK), np.float32)
    padded[:, :count] = rows[:, order]
    return np.ascontiguousarray(padded.reshape(len(rows), blocks, BLOCK).swapaxes(0, 1)).reshape(blocks, -1)


def _bases(bases: np.ndarray, places: np.ndarray) -> Bases:
    """Bases (7, codes, driven) of Gaussians that are drawn at `places`."""
    ordered = np.argsort(places)
    block, slots = np.divmod(places[ordered], BLOCK)
    starts = np.searchsorted(block, np.arange(block.max(initial=-1) + 2))
    parts = [bases[:, :, ordered[a:b]].swapaxes(0, 1).ravel() for a, b in pairwise(starts)]
    return Bases(starts, slots.astype(np.int32), np.concatenate([*parts, np.zeros(0)]).astype(np.float32))


@njit(**OPTIONS)
def fill_axes(attributes, order, axes):
    """The axes of all Gaussians, in blocks in their order."""
    total = order.shape[0]
    block = np.empty(ATTRIBUTES * BLOCK, np.float32)
    for first in range(0, total, BLOCK):
        count = min(BLOCK, total - first)
        gather(attributes, ATTRIBUTES, order, first, count, block)
        axes_of(block[3 * BLOCK : 10 * BLOCK], count, axes[first // BLOCK])


@njit(**OPTIONS)
def drive_and_count(part, parts, head, lip_codes, expression_codes, towards, lens, packed, tiles):
    """As `numba_bins.project_and_count`, of a prepared head in a frame."""
    tiles.counts[part, :] = 0
    total, blocks = head.order.shape[0], head.base.shape[0]
    block, out = np.empty(DRIVEN_ROWS * BLOCK, np.float32), np.empty(PROJECTED * BLOCK, np.float32)
    added = np.empty(DRIVEN_ROWS * BLOCK, np.float32)
    used = 0
    for index in range(part * blocks // parts, (part + 1) * blocks // parts):
        count = min(BLOCK, total - index * BLOCK)
        _turn(head.base[index], head.by_view[index], towards, block)
        _add(index, head.lips, lip_codes, added, block)
        _add(index, head.expressions, expression_codes, added, block)
        for i in range(4 * BLOCK, 7 * BLOCK):
            block[i] = min(max(block[i], F(0.0)), F(1.0))
        project(block[: 3 * BLOCK], block[3 * BLOCK :], head.axes[index], count, lens, out)
        used = pack_and_count(part, index * BLOCK, count, out, packed, tiles, used)
    tiles.used[part] = used
    return used


@njit(**OPTIONS)
def _turn(base, by_view, towards, block):
    """The base of a block with its colours as seen from `towards` (2)."""
    x, y = towards[0], towards[1]
    for i in range(4 * BLOCK):
        block[i] = base[i]
    for row in range(3):
        for n in range(BLOCK):
            change = x * by_view[2 * row * BLOCK + n] + y * by_view[(2 * row + 1) * BLOCK + n]
            block[(4 + row) * BLOCK + n] = base[(4 + row) * BLOCK + n] + change


@njit(**OPTIONS)
def _add(index, bases, codes, added, block):
    """Add to a block what `codes` (2 x codes: of place, then of opacity and colour) do to its driven Gaussians."""
    if index + 1 >= bases.starts.shape[0]:
        return
    start = bases.starts[index]
    driven = bases.starts[index + 1] - start
    length = DRIVEN_ROWS * driven
    begin = start * DRIVEN_ROWS * codes.shape[1]
    added[:length] = F(0.0)
    places = PLACE_ROWS * driven
    paired = codes.shape[1] // 2 * 2
    for code in range(0, paired, 2):
        one = bases.values[begin + code * length : begin + (code + 1) * length]
        other = bases.values[begin + (code + 1) * length : begin + (code + 2) * length]
        by_one, by_other = codes[0, code], codes[0, code + 1]
        for i in range(places):
            added[i] += by_one * one[i] + by_other * other[i]
        by_one, by_other = codes[1, code], codes[1, code + 1]
        for i in range(places, length):
            added[i] += by_one * one[i] + by_other * other[i]
    for code in range(paired, codes.shape[1]):
        one = bases.values[begin + code * length : begin + (code + 1) * length]
        for i in range(places):
            added[i] += codes[0, code] * one[i]
        for i in range(places, length):
            added[i] += codes[1, code] * one[i]
    for row in range(DRIVEN_ROWS):
        for n in range(driven):
            block[row * BLOCK + bases.slots[start + n]] += added[row * driven + n]
