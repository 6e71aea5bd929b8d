"""Panel Speak: audio becomes keyframes."""

from __future__ import annotations

import bpy

from ..synctalk_blender.properties import Delivery, SyncTalkSettings
from ..synctalk_blender.steps import Step, speak_line
from .common import OptionsPanel, StepPanel, StepUi


class SYNCTALK_PT_speak(StepPanel, bpy.types.Panel):
    bl_label = "Speak"
    bl_order = 4
    step = Step.SPEAK

    def draw_step(self, ui: StepUi) -> None:
        line = speak_line(ui.facts.state)
        if line:
            ui.text(line, "INFO")
        column = ui.layout.column()
        column.enabled = not ui.facts.running
        column.prop(ui.settings, "speech", text="", icon="SOUND", placeholder="Audio file")
        is_spoken = ui.facts.has_speech and not ui.facts.has_capture
        ui.action("synctalk.speak", "Speak Again" if is_spoken else "Speak", "SPEAKER")


class SYNCTALK_PT_speak_options(OptionsPanel, bpy.types.Panel):
    bl_label = "Delivery"
    bl_parent_id = "SYNCTALK_PT_speak"
    step = Step.SPEAK

    def draw_options(self, layout: bpy.types.UILayout, settings: SyncTalkSettings) -> None:
        for name in Delivery.__annotations__:
            is_toggle = settings.bl_rna.properties[name].type == "BOOLEAN"
            row = layout.column(heading="Mouth") if is_toggle else layout
            row.prop(settings, name, slider=not is_toggle)
        layout.operator("synctalk.find_calm_part", icon="VIEWZOOM")


CLASSES = (SYNCTALK_PT_speak, SYNCTALK_PT_speak_options)
