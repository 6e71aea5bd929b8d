"""Which landmark is which other one's mirror image."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from backend.workspace.landmarks import COUNT, LEFT, RIGHT, HalfFace


def mirror_indices() -> np.ndarray:
    """(478,) int: for each landmark named in `LEFT` or `RIGHT` its counterpart; -1 for those that have no name here."""
    mirror = np.full(COUNT, -1)
    for item in fields(HalfFace):
        for left, right in zip(np.ravel(getattr(LEFT, item.name)), np.ravel(getattr(RIGHT, item.name)), strict=True):
            mirror[left], mirror[right] = right, left
    return mirror
