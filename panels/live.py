"""Sub-panel Live of the Speak panel: a face that is sent while it moves."""

from __future__ import annotations

import bpy

from ..synctalk_blender import engine, live
from ..synctalk_blender.properties import SyncTalkSettings
from ..synctalk_blender.steps import Step
from .common import OptionsPanel
from .text import label_lines


class SYNCTALK_PT_live(OptionsPanel, bpy.types.Panel):
    bl_label = "Live"
    bl_parent_id = "SYNCTALK_PT_speak"
    step = Step.SPEAK

    def draw(self, context: bpy.types.Context) -> None:
        OptionsPanel.draw(self, context)
        layout = self.layout
        is_on = live.is_on()
        row = layout.row(align=True)
        row.scale_y = 1.2
        row.operator("synctalk.live", text="Stop Live" if is_on else "Start Live", icon="PAUSE" if is_on else "PLAY")
        if is_on:
            recording = live.is_recording()
            text = "Stop and Key the Take" if recording else "Record"
            row = layout.row()
            row.alert = recording
            row.operator("synctalk.live_record", text=text, icon="REC")
            label_lines(layout, context, live.state_line())
            if context.scene.render.engine != engine.SyncTalkRenderEngine.bl_idname:
                label_lines(
                    layout, context, "The mesh moves. Build Composite (below) shows the head itself.", icon="INFO"
                )

    def draw_options(self, layout: bpy.types.UILayout, settings: SyncTalkSettings) -> None:
        column = layout.column()
        column.enabled = not live.is_on()
        column.prop(settings, "live_source")
        if settings.live_source_is_sent:
            column.prop(settings, "live_port")
            column.prop(settings, "live_network")
        elif settings.live_source == "webcam":
            column.prop(settings, "live_camera")


CLASSES = (SYNCTALK_PT_live,)
