"""Where Gaussians are many: those that no image shows are removed, those that the images pull at most are split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.interface import LOG_SCALE, POSITION, ROTATION
from ...workspace.shapes import Bool, Float, Int

MIN_WEIGHT = 0.02
"""Largest sum of weights in any image below which a Gaussian is removed."""
MAX_GROWTH = 1 / 3
"""Of the Gaussians, at most this share is split at once."""
_SPLIT_DISTANCE, _SPLIT_SCALE = 0.6, 0.65
"""Of the longest standard deviation: how far both halves move apart, and their own."""


@dataclass(frozen=True)
class Refit:
    """The Gaussians after a change of density.

    Attributes:
        source: the old Gaussian that each new one is made of; ascending by group, as a head keeps them.
        fresh: which are the second halves of a split.
        base: their attributes.
    """

    source: Int[np.ndarray, " n"]
    fresh: Bool[np.ndarray, " n"]
    base: Float[np.ndarray, "14 n"]


def refit(
    head: GaussianHead,
    weight: Float[np.ndarray, " old"],
    pull: Float[np.ndarray, " old"],
    target: int,
    camera_m: Float[np.ndarray, " 3"],
) -> Refit:
    """Remove and split.

    In memory the Gaussians of a group are then in the order of their distance from `camera_m`, in which they are drawn: a
    rasteriser reads neighbours.

    Args:
        weight: largest sum of weights of each Gaussian in an image since the last change.
        pull: sum of `Gradients.pull` since then.
        target: grow to at most this many; none is split with 0.
    """
    base = head.base.numpy().copy()
    kept = np.flatnonzero(weight > MIN_WEIGHT)
    room = max(0, min(target - len(kept), int(len(kept) * MAX_GROWTH)))
    parents = kept[np.argsort(-pull[kept], kind="stable")[:room]]
    children = _split(base, parents)
    source = np.concatenate([kept, parents])
    fresh = np.arange(len(source)) >= len(kept)
    new_base = np.concatenate([base[:, kept], children], 1)
    group = np.searchsorted([head.lips, head.lips + head.expressions], source, side="right")
    place = np.lexsort([np.linalg.norm(new_base[POSITION].T - camera_m, axis=1), group])
    return Refit(source[place], fresh[place], np.ascontiguousarray(new_base[:, place]))


def kept_order(order: Int[np.ndarray, " old"], source: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """An order of blending after Gaussians were removed and none was split: that of the others stays.

    Args:
        source: see `Refit`.
    """
    place = np.full(len(order), -1, np.int32)
    place[source] = np.arange(len(source))
    places = place[order]
    return places[places >= 0]


def _split(base: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Move `parents` aside along their longest axis and return the other halves; both shrink along it."""
    quaternions = base[ROTATION, parents]
    w, x, y, z = quaternions / np.linalg.norm(quaternions, axis=0)
    axes = np.stack(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )  # (row, axis, parent)
    each = np.arange(len(parents))
    longest = base[LOG_SCALE, parents].argmax(0)
    scale_row = LOG_SCALE.start + longest
    apart = axes[:, longest, each] * np.exp(base[scale_row, parents]) * _SPLIT_DISTANCE
    base[scale_row, parents] += np.log(_SPLIT_SCALE)
    children = base[:, parents].copy()
    children[POSITION] += apart
    base[POSITION, parents] -= apart
    return children
