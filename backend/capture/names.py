"""Names of blendshapes as other programs spell them."""

from __future__ import annotations

import re
from functools import lru_cache

from ..protocol import BLENDSHAPE_NAMES

_PLAIN = {name.lower(): index for index, name in enumerate(BLENDSHAPE_NAMES)}
_SIDES = {"l": "left", "r": "right"}
_SIDE_AT_END = re.compile(r"(?:[\s_.-]([lrLR])|(?<=[a-z])([LR]))$")
_OF_SOMETHING = re.compile(r"^(?:.*[|/:.](?=[^|/:.]{2})|arkit_)", re.IGNORECASE)


@lru_cache(512)
def shape_index(name: str) -> int | None:
    """The index in `protocol.BLENDSHAPE_NAMES` of a shape; None for what is none of ARKit's.

    Letters' case does not count, nor do separators (`jaw_open`), nor the object before the name (`Face|jawOpen`,
    `blendShape1.jawOpen`); a side may be `_L` and `_R` or a last capital `L` and `R`. Left is the subject's.
    """
    name = _OF_SOMETHING.sub("", name.strip())
    found = _PLAIN.get(_letters(name))
    if found is None and (side := _SIDE_AT_END.search(name)):
        found = _PLAIN.get(_letters(name[: side.start()]) + _SIDES[(side[1] or side[2]).lower()])
    return found


def _letters(name: str) -> str:
    return re.sub(r"[\s_.-]", "", name).lower()
