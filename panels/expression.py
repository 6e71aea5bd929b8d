"""Sub-panel Expression of the Speak panel: what is added to each of the 52 shapes, by its whole name."""

from __future__ import annotations

import re

import bpy

from ..backend.protocol import BLENDSHAPE_NAMES
from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.scene import rig
from ..synctalk_blender.steps import Step
from ..synctalk_blender.workspace_state import workspace_state
from .common import OptionsPanel
from .text import label_lines

GROUPS = {
    "Mouth": ("mouth", "tongue"),
    "Jaw": ("jaw",),
    "Eyes": ("eye",),
    "Brows": ("brow",),
    "Cheeks and Nose": ("cheek", "nose"),
}
"""The parts of the face, and how the names of their shapes begin."""


def words(name: str) -> str:
    """The name of a shape as people read it: `jawOpen` gives `Jaw Open`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).title()


class SYNCTALK_PT_expression(OptionsPanel, bpy.types.Panel):
    bl_label = "Expression"
    bl_parent_id = "SYNCTALK_PT_speak"
    step = Step.SPEAK

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        root = settings_of(context.scene).workspace_path
        found = rig.find_rig(context.scene, root, workspace_state(root).id) if root else None
        if found is None or found.control.get(BLENDSHAPE_NAMES[0]) is None:
            label_lines(layout, context, "Press Send to Scene in the Track panel to have a slider for each shape.")
            return
        label_lines(layout, context, "Added to the speech at every frame. Press I over a slider to key it.")
        for title, beginnings in GROUPS.items():
            header, body = layout.panel(f"SYNCTALK_{title}", default_closed=True)
            header.label(text=title)
            if body is None:
                continue
            column = body.column(align=True)
            for name in BLENDSHAPE_NAMES:
                if name.startswith(beginnings):
                    column.prop(found.control, f'["{name}"]', text=words(name), slider=True)


CLASSES = (SYNCTALK_PT_expression,)
