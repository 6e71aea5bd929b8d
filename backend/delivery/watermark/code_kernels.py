"""The loops of the watermark's decoder, compiled: Viterbi's recursion, and the list of the likeliest paths.

A state is the last bits that were coded, the newest lowest. The two states before one differ in their highest bit alone; the way
from the one without it is the first.
"""

from __future__ import annotations

import numpy as np

from ...compilation.kernel_cache import njit


@njit(nogil=True, error_model="numpy", fastmath=True)
def forward(soft, outputs, score, margins):
    """Fill in by how much the second way to each state is better than the first.

    The oldest and the newest bit of a register are in all coded bits, so that changing one of them changes the signs of all.

    Args:
        soft: (steps, n) float32, what each coded bit gains where it is 1.
        outputs: (n, states / 2) float32: the coded bits, as -1 and 1, of the registers whose oldest and newest bit are 0.
        score: (states) float32, of the paths to each state; changed in place.
        margins: (steps, states) float32, out.
    """
    half = score.size // 2
    following, gain = np.empty_like(score), np.empty(half, np.float32)
    for step in range(soft.shape[0]):
        gain[:] = 0
        for coded in range(soft.shape[1]):
            gain += soft[step, coded] * outputs[coded]
        margin, low, high = margins[step], score[:half], score[half:]
        for state in range(half):
            first, second, gained = low[state], high[state], gain[state]
            difference, twice = second - first, gained + gained
            margin[2 * state], margin[2 * state + 1] = difference - twice, difference + twice
            following[2 * state] = max(first + gained, second - gained)
            following[2 * state + 1] = max(first - gained, second + gained)
        score[:] = following


@njit(nogil=True, error_model="numpy")
def _push(losses, entries, size, loss, entry):
    """Put an entry into the heap, the least loss first; a full heap drops it."""
    if size == losses.size:
        return size
    at = size
    while at > 0 and losses[(at - 1) // 2] > loss:
        losses[at], entries[at] = losses[(at - 1) // 2], entries[(at - 1) // 2]
        at = (at - 1) // 2
    losses[at], entries[at] = loss, entry
    return size + 1


@njit(nogil=True, error_model="numpy")
def _pop(losses, entries, size):
    """Take the first entry out of the heap."""
    first, size = entries[0], size - 1
    loss, entry, at = losses[size], entries[size], 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and losses[child + 1] < losses[child]:
            child += 1
        if losses[child] >= loss:
            break
        losses[at], entries[at] = losses[child], entries[child]
        at = child
    losses[at], entries[at] = loss, entry
    return first, size


@njit(nogil=True, error_model="numpy")
def likeliest(margins, most, paths, bits):
    """The likeliest paths from state 0 to state 0, best first: the tree-trellis search of Soong and Huang (1991).

    Args:
        margins: (steps, states) of `forward`.
        most: how much less likely than the best a path may be.
        paths: (n) float32, out: by how much each is less likely.
        bits: (n, steps) uint8, out: what each codes.

    Returns:
        How many there are.
    """
    steps, half = margins.shape[0], margins.shape[1] // 2
    # A path leaves another one at a step: which one, where, and in which state it is before that step.
    parents = np.empty(paths.size * steps + 1, np.int32)
    leaves, states = np.empty_like(parents), np.empty_like(parents)
    losses, entries = np.empty(parents.size, np.float32), np.empty_like(parents)
    parents[0], leaves[0], states[0] = -1, steps, 0
    known, found = 1, 0
    size = _push(losses, entries, 0, np.float32(0), 0)
    while size > 0 and found < paths.size:
        loss = losses[0]
        entry, size = _pop(losses, entries, size)
        if parents[entry] >= 0:
            bits[found, leaves[entry] :] = bits[parents[entry], leaves[entry] :]
        paths[found] = loss
        state = states[entry]
        for step in range(leaves[entry] - 1, -1, -1):
            bits[found, step] = state & 1
            margin = margins[step, state]
            before = state >> 1
            other = loss + abs(margin)
            if other <= most and known < parents.size:
                parents[known], leaves[known], states[known] = found, step, before + (0 if margin > 0 else half)
                size = _push(losses, entries, size, other, known)
                known += 1
            state = before + (half if margin > 0 else 0)
        found += 1
    return found


def compile_kernels() -> None:
    """Compile or read what the decoder calls."""
    margins, one = np.zeros((1, 2), np.float32), np.zeros((1, 1), np.float32)
    forward(one, one, np.zeros(2, np.float32), margins)
    likeliest(margins, 0.0, np.empty(1, np.float32), np.empty((1, 1), np.uint8))
