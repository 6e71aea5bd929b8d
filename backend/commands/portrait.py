"""The option `portrait` of every command that puts a head into its footage."""

from __future__ import annotations

from typing import Any

from ..protocol import OURS, PORTRAITS
from .option import option


def portrait_option() -> Any:
    """How the head is put into the footage: a field of `Options`."""
    return option(
        "how the head is put into the footage: ours: over the frame without its head; paper: its face blended into the "
        "frame, whose hair stays; none: alone before the clip's "
        "background (docs/portrait-sync.md)",
        OURS,
        choices=PORTRAITS,
    )
