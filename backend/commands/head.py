"""The option `head` of every command that draws one."""

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
