"""Panel Track: follow the head through the clip, and send the result to the scene."""

from __future__ import annotations

import bpy

from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.scene import rig
from ..synctalk_blender.steps import Facts, State, Status, Step
from ..synctalk_blender.work import track
from ..synctalk_blender.workspace_state import STAGES, workspace_state
from .common import OptionsPanel, StepPanel, draw_action, draw_info
from .text import Icon, label_lines

_ICONS: dict[str, Icon] = {"done": "CHECKMARK", "partial": "SORTTIME"}


class SYNCTALK_PT_track(StepPanel, bpy.types.Panel):
    bl_label = "Track"
    bl_order = 2
    step = Step.TRACK

    def draw_step(self, layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
        state = known.state
        if known.heads > 1:
            layout.prop(settings_of(context.scene), "head", text="", icon="USER")
        if state.tracked:
            delay = f", sound {state.audio_offset_ms:+.0f} ms" if abs(state.audio_offset_ms) >= 1 else ""
            draw_info(layout, context, self.step, f"{state.frames} frames, {state.duration_s:.1f} s{delay}")
        elif state.stages:
            _draw_stages(layout, known)
        if known.head_problem:
            label_lines(layout.box(), context, known.head_problem, icon="ERROR", inset=0.6)
        if state.tracked and not known.has_head:
            draw_action(
                layout, context, known, status, Step.TRACK, "synctalk.import_tracking", "Send to Scene", "IMPORT"
            )
        elif state.tracked and status.state is not State.RUNNING:
            row = layout.row(align=True)
            row.operator("synctalk.import_tracking", icon="IMPORT")
            row.operator("synctalk.process", text="", icon="FILE_REFRESH")
            if known.other_camera:
                layout.operator("synctalk.use_camera", icon="CAMERA_DATA")
        else:
            text = "Go On Tracking" if state.stages else "Track"
            draw_action(layout, context, known, status, Step.TRACK, "synctalk.process", text, "TRACKER")


def _draw_stages(layout: bpy.types.UILayout, known: Facts) -> None:
    column = layout.column(align=True)
    column.scale_y = 0.8
    for name in STAGES:
        state = known.state.stages.get(name, "")
        row = column.row()
        row.active = state != ""
        row.label(text=track.STAGES[name], icon=_ICONS.get(state, "RADIOBUT_OFF"))


class SYNCTALK_PT_track_options(OptionsPanel, bpy.types.Panel):
    bl_label = "Options"
    bl_parent_id = "SYNCTALK_PT_track"
    step = Step.TRACK

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = settings_of(context.scene)
        layout.prop(settings, "audio_delay")
        if settings.audio_delay == "GIVEN":
            layout.prop(settings, "audio_delay_ms", text="Delay (ms)")
        root = settings.workspace_path
        found = rig.find_rig(context.scene, root, workspace_state(root).id) if root else None
        if found is not None and found.collection.get(rig.START) is not None:
            layout.prop(found.collection, f'["{rig.START}"]', text="Start Frame")


CLASSES = (SYNCTALK_PT_track, SYNCTALK_PT_track_options)
