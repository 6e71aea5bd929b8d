"""Sub-panel Expression of the Speak panel: an offset for each of the 52 shapes."""

from __future__ import annotations

import re

import bpy

from ..backend.protocol import BLENDSHAPE_NAMES
from ..synctalk_blender.facts import rig_of_workspace
from ..synctalk_blender.steps import Step
from .common import OptionsPanel
from .text import label_lines

GROUPS = {
    "Mouth": ("mouth", "tongue"),
    "Jaw": ("jaw",),
    "Eyes": ("eye",),
    "Brows": ("brow",),
    "Cheeks and Nose": ("cheek", "nose"),
}
"""Parts of the face, and the prefixes of their shapes."""


def words(name: str) -> str:
    """The readable name of a shape: `jawOpen` gives `Jaw Open`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).title()


class SYNCTALK_PT_expression(OptionsPanel, bpy.types.Panel):
    bl_label = "Expression"
    bl_parent_id = "SYNCTALK_PT_speak"
    step = Step.SPEAK

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        found = rig_of_workspace(context.scene)
        if found is None or found.control.get(BLENDSHAPE_NAMES[0]) is None:
            label_lines(layout, context, "Press Send to Scene in the Track panel to get a slider for each shape.")
            return
        label_lines(layout, context, "Added to the speech at every frame. Press I over a slider to key it.")
        for title, prefixes in GROUPS.items():
            header, body = layout.panel(f"SYNCTALK_{title}", default_closed=True)
            header.label(text=title)
            if body is None:
                continue
            column = body.column(align=True)
            for name in BLENDSHAPE_NAMES:
                if name.startswith(prefixes):
                    column.prop(found.control, f'["{name}"]', text=words(name), slider=True)


CLASSES = (SYNCTALK_PT_expression,)
