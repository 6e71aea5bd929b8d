"""Panel Track: track the head through the clip, and send the result to the scene."""

from __future__ import annotations

from typing import cast

import bpy

from ..synctalk_blender.facts import rig_of_workspace
from ..synctalk_blender.properties import SyncTalkSettings
from ..synctalk_blender.scene import rig
from ..synctalk_blender.steps import State, Step
from ..synctalk_blender.work import track
from ..synctalk_blender.workspace_state import STAGES
from .common import OptionsPanel, StepPanel, StepUi
from .text import Icon

_ICONS: dict[str, Icon] = {"done": "CHECKMARK", "partial": "SORTTIME"}


class SYNCTALK_PT_track(StepPanel, bpy.types.Panel):
    bl_label = "Track"
    bl_order = 2
    step = Step.TRACK

    def draw_step(self, ui: StepUi) -> None:
        state = ui.facts.state
        if ui.facts.heads > 1:
            ui.layout.prop(ui.settings, "active_head", text="", icon="USER")
        if state.tracked:
            delay = f", audio {state.audio_offset_ms:+.0f} ms" if abs(state.audio_offset_ms) >= 1 else ""
            ui.info(f"{state.frames} frames, {state.duration_s:.1f} s{delay}")
        elif state.stages:
            _draw_stages(ui)
        if ui.facts.head_problem:
            ui.text(ui.facts.head_problem, "ERROR", layout=ui.layout.box())
        if state.tracked and not ui.facts.has_head:
            ui.action("synctalk.import_tracking", "Send to Scene", "IMPORT")
        elif state.tracked and ui.status.state is not State.RUNNING:
            row = ui.layout.row(align=True)
            row.operator("synctalk.import_tracking", icon="IMPORT")
            row.operator("synctalk.process", text="", icon="FILE_REFRESH")
            if ui.facts.other_camera:
                ui.layout.operator("synctalk.use_camera", icon="CAMERA_DATA")
        else:
            ui.action("synctalk.process", "Resume Tracking" if state.stages else "Track", "TRACKER")


def _draw_stages(ui: StepUi) -> None:
    column = ui.layout.column(align=True)
    column.scale_y = 0.8
    for name in STAGES:
        state = ui.facts.state.stages.get(name, "")
        row = column.row()
        row.active = state != ""
        row.label(text=track.STAGES[name], icon=_ICONS.get(state, "RADIOBUT_OFF"))


class SYNCTALK_PT_track_options(OptionsPanel, bpy.types.Panel):
    bl_label = "Options"
    bl_parent_id = "SYNCTALK_PT_track"
    step = Step.TRACK

    def draw_options(self, layout: bpy.types.UILayout, settings: SyncTalkSettings) -> None:
        layout.prop(settings, "audio_delay")
        if settings.audio_delay == "GIVEN":
            layout.prop(settings, "audio_delay_ms", text="Delay (ms)")
        found = rig_of_workspace(cast("bpy.types.Scene", settings.id_data))
        if found is not None and found.collection.get(rig.START) is not None:
            layout.prop(found.collection, f'["{rig.START}"]', text="Start Frame")
        if found is not None and found.collection.get(rig.CAMERA_MOVES) is not None:
            layout.prop(found.collection, f'["{rig.CAMERA_MOVES}"]', text="Camera Moves")


CLASSES = (SYNCTALK_PT_track, SYNCTALK_PT_track_options)
