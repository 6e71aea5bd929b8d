"""Which shapes belong to which part of the face, and which two of them are one motion both ways."""

from __future__ import annotations

import numpy as np

from ..protocol import BLENDSHAPE_NAMES, BROWS_PART, EYES_PART, MOUTH_NAMES, MOUTH_PART


def _indices(*beginnings: str) -> np.ndarray:
    return np.array([index for index, name in enumerate(BLENDSHAPE_NAMES) if name.startswith(beginnings)])


PARTS: dict[str, np.ndarray] = {
    MOUTH_PART: np.array([BLENDSHAPE_NAMES.index(name) for name in MOUTH_NAMES]),
    BROWS_PART: _indices("brow", "noseSneer"),
    EYES_PART: _indices("eye", "cheekSquint"),
}
"""Indices in `protocol.BLENDSHAPE_NAMES`: together all of them. The nose wrinkles with the brows, the cheek with the eyes."""

OPPOSITES: tuple[tuple[int, int], ...] = tuple(
    (BLENDSHAPE_NAMES.index(one), BLENDSHAPE_NAMES.index(other))
    for one, other in (
        ("eyeLookInLeft", "eyeLookOutLeft"), ("eyeLookOutRight", "eyeLookInRight"), ("eyeLookUpLeft", "eyeLookDownLeft"),
        ("eyeLookUpRight", "eyeLookDownRight"), ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"),
        ("browOuterUpLeft", "browDownLeft"), ("browOuterUpRight", "browDownRight"),
    )
)  # fmt: skip
"""Pairs of shapes that are one motion: a face rests somewhere between, not at a low of each."""

MIRRORED: tuple[tuple[int, int], ...] = tuple(
    (index, BLENDSHAPE_NAMES.index(f"{name.removesuffix('Left')}Right"))
    for index, name in enumerate(BLENDSHAPE_NAMES)
    if name.endswith("Left") and not name.startswith("eyeLook") and name not in ("jawLeft", "mouthLeft")
)
"""The same shape on the subject's left and right."""

BLINKS = _indices("eyeBlink")
GAZE = _indices("eyeLook")
BROWS = _indices("brow")
BOTH_WAYS = np.array([one for one, _ in OPPOSITES] + [BLENDSHAPE_NAMES.index("browInnerUp")])
"""Motions that go up and down from where they rest, each in the place of its first shape."""
