"""Runs of frames."""

from __future__ import annotations

import numpy as np


def intervals(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and one-past-last index of each run of True in a mask (N)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
