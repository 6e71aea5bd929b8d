"""Panel Speak: a sound becomes keyframes."""

from __future__ import annotations

import bpy

from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.steps import Facts, Status, Step, speak_line
from .common import OptionsPanel, StepPanel, draw_action
from .text import label_lines


class SYNCTALK_PT_speak(StepPanel, bpy.types.Panel):
    bl_label = "Speak"
    bl_order = 4
    step = Step.SPEAK

    def draw_step(self, layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
        line = speak_line(known.state)
        if line:
            label_lines(layout, context, line, icon="INFO")
        column = layout.column()
        column.enabled = not known.running
        column.prop(settings_of(context.scene), "speech", text="", icon="SOUND", placeholder="Sound file")
        text = "Speak Again" if known.has_speech else "Speak"
        draw_action(layout, context, known, status, Step.SPEAK, "synctalk.speak", text, "PLAY_SOUND")


class SYNCTALK_PT_speak_options(OptionsPanel, bpy.types.Panel):
    bl_label = "Delivery"
    bl_parent_id = "SYNCTALK_PT_speak"
    step = Step.SPEAK

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = settings_of(context.scene)
        layout.prop(settings, "strength", slider=True)
        layout.prop(settings, "smoothing_ms", text="Smoothing (ms)")
        layout.prop(settings, "offset_ms", text="Offset (ms)")
        layout.column(heading="Mouth").prop(settings, "close_in_silence")


CLASSES = (SYNCTALK_PT_speak, SYNCTALK_PT_speak_options)
