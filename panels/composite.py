"""Panel Composite: the head over the footage, rendered live or from baked frames."""

from __future__ import annotations

import bpy

from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.scene import marking
from ..synctalk_blender.steps import State, Step, composite_line
from .common import OptionsPanel, StepPanel, StepUi
from .text import label_lines


class SYNCTALK_PT_composite(StepPanel, bpy.types.Panel):
    bl_label = "Composite"
    bl_order = 5
    step = Step.COMPOSITE

    def draw_step(self, ui: StepUi) -> None:
        if ui.facts.state.trained_step:
            ui.layout.prop(ui.settings, "head")
            ui.layout.prop(ui.settings, "neck_follows")
            ui.layout.prop(ui.settings, "footage_hair")
        if ui.status.state is State.RUNNING or not ui.facts.has_composite:
            ui.text("The head over the footage, as compositor nodes that you can edit.")
            ui.action("synctalk.composite", "Build Composite", "NODETREE")
            return
        line = composite_line(ui.facts.state)
        if line:
            ui.text(line, "INFO")
        row = ui.layout.row(align=True)
        row.scale_y = 1.4
        image = row.row(align=True)
        image.active_default = not ui.facts.running
        image.operator("render.render", text="Image", icon="RENDER_STILL")
        row.operator("render.render", text="Animation", icon="RENDER_ANIMATION").animation = True
        ui.layout.prop(ui.settings, "visible_label")
        ui.layout.operator("synctalk.composite", text="Rebuild Composite", icon="FILE_REFRESH")
        ui.layout.operator("synctalk.composite_objects", icon="MOD_BOOLEAN")
        output = ui.layout.column(align=True)
        output.label(text="Animation Output")
        output.prop(ui.context.scene.render, "filepath", text="")
        unmarked = marking.missing_note(ui.context.scene)
        if unmarked:
            ui.text(unmarked, "ERROR")


class SYNCTALK_PT_bake(OptionsPanel, bpy.types.Panel):
    bl_label = "Bake"
    bl_parent_id = "SYNCTALK_PT_composite"
    step = Step.COMPOSITE

    def draw(self, context: bpy.types.Context) -> None:
        text = "The head as image files: for a render farm, or a computer without the backend or the extension."
        label_lines(self.layout, context, text)
        self.layout.prop(settings_of(context.scene), "bake_folder", text="", placeholder="In the workspace")
        self.layout.operator("synctalk.bake", icon="RENDER_ANIMATION")


class SYNCTALK_PT_mattes(OptionsPanel, bpy.types.Panel):
    bl_label = "Mattes"
    bl_parent_id = "SYNCTALK_PT_composite"
    step = Step.COMPOSITE

    def draw(self, context: bpy.types.Context) -> None:
        text = "Head, hair, neck, torso and background of the footage, to grade or replace each by itself."
        label_lines(self.layout, context, text)
        self.layout.operator("synctalk.mattes", icon="IMAGE_ALPHA")


class SYNCTALK_PT_unmarked_output(bpy.types.Panel):
    """In Blender's own Output panel, below the format: shown only where that format cannot hold the note."""

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


CLASSES = (SYNCTALK_PT_composite, SYNCTALK_PT_bake, SYNCTALK_PT_mattes, SYNCTALK_PT_unmarked_output)
