"""Panel Subject: the clip, the folder of its work, and the permission of the person shown."""

from __future__ import annotations

import bpy

from ..synctalk_blender.steps import Step
from .common import StepPanel, StepUi, large
from .text import label_lines


class SYNCTALK_PT_subject(StepPanel, bpy.types.Panel):
    bl_label = "Subject"
    bl_order = 1
    step = Step.SUBJECT

    def draw_step(self, ui: StepUi) -> None:
        layout, state, video = ui.layout, ui.facts.state, ui.settings.video
        layout.enabled = not ui.facts.running
        if not video and not state.exists:
            ui.text("A clip of one person speaking to a fixed camera.")
            button = large(layout)
            button.active_default = ui.status.is_next
            button.operator("synctalk.choose_video", icon="FILE_MOVIE")
        else:
            layout.prop(ui.settings, "video", text="", icon="FILE_MOVIE")
        column = layout.column()
        column.prop(ui.settings, "workspace", text="", icon="WORKSPACE", placeholder="Workspace folder")
        problems = [state.problem] if state.problem else []
        if video and not ui.facts.video_exists and not state.exists:
            problems.append(f"There is no file {video}.")
        for problem in problems:
            column.alert = True
            label_lines(column, ui.context, problem, icon="ERROR")
        if video or state.exists:
            _draw_consent(ui, layout.box())


def _draw_consent(ui: StepUi, box: bpy.types.UILayout) -> None:
    if ui.facts.state.consent_by:
        ui.text(f"Permission given by “{ui.facts.state.consent_by}” is recorded.", "CHECKMARK", layout=box)
        return
    row = box.row(align=True)
    tick = row.column()
    tick.ui_units_x = 1.0
    tick.prop(ui.settings, "consent_given", text="")
    label_lines(row, ui.context, ui.settings.bl_rna.properties["consent_given"].name, inset=1.6)
    if ui.settings.consent_given:
        box.prop(ui.settings, "consent_by", text="", placeholder="Who gave it")
    else:
        ui.text("Without permission the clip can be tracked, but no head can be trained.", layout=box, dim=True)


CLASSES = (SYNCTALK_PT_subject,)
