"""Panel Composite: the head over the footage, rendered live or from baked frames."""

from __future__ import annotations

import bpy

from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.scene import marking
from ..synctalk_blender.steps import Facts, State, Status, Step, composite_line
from .common import OptionsPanel, StepPanel, draw_action
from .text import label_lines


class SYNCTALK_PT_composite(StepPanel, bpy.types.Panel):
    bl_label = "Composite"
    bl_order = 5
    step = Step.COMPOSITE

    def draw_step(self, layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
        if status.state is State.RUNNING or not known.has_composite:
            label_lines(layout, context, "The head over the footage, as nodes that stay yours to edit.")
            draw_action(layout, context, known, status, self.step, "synctalk.composite", "Build Composite", "NODETREE")
            return
        line = composite_line(known.state)
        if line:
            label_lines(layout, context, line, icon="INFO")
        row = layout.row(align=True)
        row.scale_y = 1.4
        picture = row.row(align=True)
        picture.active_default = not known.running
        picture.operator("render.render", text="Picture", icon="RENDER_STILL")
        row.operator("render.render", text="Animation", icon="RENDER_ANIMATION").animation = True
        layout.operator("synctalk.composite", text="Build Again", icon="FILE_REFRESH")
        output = layout.column(align=True)
        output.label(text="Animation goes to")
        output.prop(context.scene.render, "filepath", text="")
        unmarked = marking.missing_note(context.scene)
        if unmarked:
            label_lines(layout, context, unmarked, icon="ERROR")


class SYNCTALK_PT_bake(OptionsPanel, bpy.types.Panel):
    bl_label = "Bake"
    bl_parent_id = "SYNCTALK_PT_composite"
    step = Step.COMPOSITE

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        label_lines(
            layout,
            context,
            "The head as image files: the way for a render farm, or a computer without backend or extension.",
        )
        layout.prop(settings_of(context.scene), "bake_folder", text="", placeholder="In the workspace")
        layout.operator("synctalk.bake", icon="RENDER_ANIMATION")


class SYNCTALK_PT_unmarked_output(bpy.types.Panel):
    """In Blender's own Output panel, below the format: said only where that has no place for the note."""

    bl_label = "SyncTalk"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "output"
    bl_parent_id = "RENDER_PT_output"
    bl_options = {"HIDE_HEADER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(context.scene.get(marking.PROPERTY)) and bool(marking.missing_note(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        label_lines(self.layout, context, marking.missing_note(context.scene), icon="ERROR")


CLASSES = (SYNCTALK_PT_composite, SYNCTALK_PT_bake, SYNCTALK_PT_unmarked_output)
