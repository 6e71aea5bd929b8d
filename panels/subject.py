"""Panel Subject: the clip, the folder of its work, and the permission of the person shown."""

from __future__ import annotations

import bpy

from ..synctalk_blender.properties import SyncTalkSettings, settings_of
from ..synctalk_blender.steps import Facts, Status, Step
from .common import StepPanel
from .text import label_lines


class SYNCTALK_PT_subject(StepPanel, bpy.types.Panel):
    bl_label = "Subject"
    bl_order = 1
    step = Step.SUBJECT

    def draw_step(self, layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
        settings = settings_of(context.scene)
        layout.enabled = not known.running
        if not settings.video and not known.state.exists:
            label_lines(layout, context, "A clip of one person who speaks to a camera that stands still.")
            button = layout.column()
            button.scale_y = 1.4
            button.active_default = status.is_next
            button.operator("synctalk.choose_video", icon="FILE_MOVIE")
        else:
            layout.prop(settings, "video", text="", icon="FILE_MOVIE")
        column = layout.column()
        column.prop(settings, "workspace", text="", icon="WORKSPACE", placeholder="Workspace folder")
        if known.state.problem:
            column.alert = True
            label_lines(column, context, known.state.problem, icon="ERROR")
        if settings.video and not known.video_exists and not known.state.exists:
            column.alert = True
            label_lines(column, context, f"There is no file {settings.video}.", icon="ERROR")
        if settings.video or known.state.exists:
            _draw_consent(layout, context, known, settings)


def _draw_consent(
    layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, settings: SyncTalkSettings
) -> None:
    box = layout.box()
    if known.state.consent_by:
        label_lines(
            box, context, f"Permission given by “{known.state.consent_by}” is recorded.", icon="CHECKMARK", inset=0.6
        )
        return
    row = box.row(align=True)
    tick = row.column()
    tick.ui_units_x = 1.0
    tick.prop(settings, "consent_given", text="")
    label_lines(row, context, settings.bl_rna.properties["consent_given"].name, inset=1.6)
    if settings.consent_given:
        box.prop(settings, "consent_by", text="", placeholder="Who gave it")
    else:
        column = box.column()
        column.active = False
        label_lines(column, context, "Without it the clip can be tracked, but no head is trained.", inset=0.6)


CLASSES = (SYNCTALK_PT_subject,)
