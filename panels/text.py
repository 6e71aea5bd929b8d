"""Text that fits the sidebar: Blender's labels neither wrap nor say that they were cut."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import blf
import bpy

if TYPE_CHECKING:
    from bpy.stub_internal.rna_enums import IconItems as Icon
else:
    Icon = str


def wrapped(text: str, width_px: float, scale: float = 1.0) -> list[str]:
    """`text` in lines of at most `width_px`, at the size that labels have under the interface `scale`."""
    if bpy.app.background:  # no font is loaded to measure with
        return textwrap.wrap(text, 42)
    blf.size(0, 11.0 * scale)
    lines: list[str] = []
    line = ""
    for word in text.split():
        for part in _parts(word, width_px):
            longer = f"{line} {part}" if line else part
            if line and blf.dimensions(0, longer)[0] > width_px:
                lines.append(line)
                line = part
            else:
                line = longer
    return [*lines, line] if line else lines


def label_lines(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    text: str,
    icon: Icon = "NONE",
    inset: float = 0.0,
    *,
    dim: bool = False,
) -> None:
    """Draw `text` as labels, one a line, the icon before the first.

    Args:
        inset: how much narrower than the region the text's place is, in interface units of 20 pixels.
        dim: as what is said beside, not as what counts.
    """
    scale = context.preferences.system.ui_scale
    unit = 20.0 * scale
    column = layout.column(align=True)
    column.scale_y = 0.8
    column.active = not dim
    margin = 2.7 + inset + (1.4 if icon != "NONE" else 0.0)  # the icon and the gap behind it
    lines = wrapped(text, context.region.width - margin * unit if context.region else 240.0, scale)
    for index, line in enumerate(lines):
        column.label(text=line, icon=icon if index == 0 else "BLANK1" if icon != "NONE" else "NONE")


def _parts(word: str, width_px: float) -> list[str]:
    """A word that is too long for a line (a path) in pieces that fit."""
    parts = []
    while blf.dimensions(0, word)[0] > width_px and len(word) > 8:
        count = max(8, int(len(word) * width_px / blf.dimensions(0, word)[0]) - 1)
        parts.append(word[:count])
        word = word[count:]
    return [*parts, word]
