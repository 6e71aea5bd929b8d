"""Which of the 52 shapes a sender's name means: names are matched without case, in VRM's and other trackers' spellings."""

from __future__ import annotations

from functools import cache

from ...protocol import BLENDSHAPE_NAMES


@cache
def _known() -> dict[str, int]:
    known = {name.lower(): index for index, name in enumerate(BLENDSHAPE_NAMES)}
    for index, name in enumerate(BLENDSHAPE_NAMES):
        for side in ("Left", "Right"):  # eyeBlink_L, as iFacialMocap has it
            if name.endswith(side):
                known.setdefault(name.removesuffix(side).lower() + side[0].lower(), index)
    return known


def shape_index(name: str) -> int | None:
    """The index in `protocol.BLENDSHAPE_NAMES` of a name such as `jawOpen`, `JawOpen`, `BlendShape.JawOpen` or `jaw_open`;
    None for any other."""
    plain = name.rsplit(".", 1)[-1].translate(_DROPPED).lower()
    return _known().get(plain)


_DROPPED = str.maketrans("", "", "_- ")
