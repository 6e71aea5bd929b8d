"""How a capture becomes a person's: options that every source of face data has."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...protocol import BLENDSHAPE_NAMES, BROWS_PART, CAPTURE_PARTS, EYES_PART, MOUTH_PART
from ..option import CheckedOptions, option

if TYPE_CHECKING:
    from ...capture.retarget import Fit


@dataclass(frozen=True)
class Fitting(CheckedOptions):
    """What is taken, and how far it moves."""

    take: tuple[str, ...] = option(
        "what the capture drives; the footage drives the rest",
        (MOUTH_PART, BROWS_PART, EYES_PART),
        choices=CAPTURE_PARTS,
        nargs="+",
    )
    strength: float = option("scale of the face's motion about its rest: 0 still, 1 natural", 1.0)
    gains: str | None = option(
        'factors on top, by part or shape: {"mouth": 1.2, "jawOpen": 0.9, "head": 0.5}, or a JSON file of them', None
    )
    as_is: bool = option(
        "the capture's own values: no neutral, gain by range or limit by what the head has seen", False
    )

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: nothing to take, or a strength that is no number from 0 on.
        """
        super().__post_init__()
        if not self.take:
            raise UsageError(f"take must name at least one of {', '.join(CAPTURE_PARTS)}")
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise UsageError("strength must be a number, 0 or more")

    def fit(self) -> Fit:
        """The options as the retargeting takes them.

        Raises:
            UsageError: the gains cannot be read, or name something else.
        """
        from ...capture.retarget import Fit

        return Fit(tuple(dict.fromkeys(self.take)), self.strength, _gains(self.gains), self.as_is)


def _gains(given: str | None) -> dict[str, float]:
    if given is None:
        return {}
    is_object = given.lstrip().startswith("{")
    where = "gains" if is_object else given
    try:
        read = json.loads(given if is_object else Path(given).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{where} cannot be read as JSON ({error}): give an object of names and factors.") from error
    if not isinstance(read, dict):
        raise UsageError(f'{where} is no object of names and factors, such as {{"jawOpen": 0.9}}.')
    known = (*CAPTURE_PARTS, *BLENDSHAPE_NAMES)
    for name, value in read.items():
        if name not in known:
            raise UsageError(
                f"{where} names {name!r}, which is no part ({', '.join(CAPTURE_PARTS)}) and no blendshape."
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
            raise UsageError(f"{where}: {name} is {value!r}: give a factor from 0 to 10.")
    return {name: float(value) for name, value in read.items()}
