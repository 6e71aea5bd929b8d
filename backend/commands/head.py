"""The options of every command that moves or draws a head."""

from __future__ import annotations

from typing import Any

from ..protocol import AUTO, HEADS
from .option import option


def head_option() -> Any:
    """Which head to draw: a field of `Options`."""
    return option(
        "the head to draw: its Gaussian twin, the field, or auto: the twin where there is one that was not measured worse",
        AUTO,
        choices=HEADS,
    )


def neck_option() -> Any:
    """Whether the neck follows the head: a field of `Options`."""
    return option("leave neck, collar and hanging hair where the footage has them, however the head moves", False)


def hair_option() -> Any:
    """Whose hair a head shows: a field of `Options`."""
    return option(
        "leave the hair as it is rendered, also where the head is turned by less than 14 degrees, and has the footage's own hair",
        False,
    )


def idle_option(default: tuple[float, ...]) -> Any:
    """Where in the clip the head stays: a field of `Options`."""
    return option(
        "the part of the clip to stay in, seconds; 0 0 is all of it",
        default,
        flag="--idle",
        metavar=("FROM", "TO"),
        nargs=2,
    )
