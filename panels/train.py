"""Panel Train: teach the head, and see how it looks meanwhile."""

from __future__ import annotations

import bpy

from ..synctalk_blender import previews, steps
from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.steps import Facts, State, Status, Step
from ..synctalk_blender.workspace_state import WorkspaceState
from .common import OptionsPanel, StepPanel, draw_action
from .text import label_lines


class SYNCTALK_PT_train(StepPanel, bpy.types.Panel):
    bl_label = "Train"
    bl_order = 3
    step = Step.TRAIN

    def draw_step(self, layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
        state = known.state
        if status.state is not State.RUNNING:
            _draw_head(layout, context, state)
        if previews.icon:
            layout.template_icon(previews.icon, scale=9.0)
        text = "Train Further" if state.trained_step else "Train"
        draw_action(layout, context, known, status, Step.TRAIN, "synctalk.train", text, "SHADERFX")


def _draw_head(layout: bpy.types.UILayout, context: bpy.types.Context, state: WorkspaceState) -> None:
    """Draw what is known of the trained head."""
    column = layout.column()
    for line in steps.head_lines(state):
        label_lines(column, context, line)
    if not state.trained_step:
        return
    details = layout.column()
    details.active = False
    spent = f" in {state.trained_minutes:.1f} min" if state.trained_minutes else ""
    sharp = f", frames match to {state.trained_psnr:.1f} dB" if state.trained_psnr else ""
    label_lines(details, context, f"{state.trained_step:,} steps{spent}{sharp}")
    if state.readiness is None:
        layout.operator("synctalk.measure", icon="VIEWZOOM")


class SYNCTALK_PT_train_options(OptionsPanel, bpy.types.Panel):
    bl_label = "Options"
    bl_parent_id = "SYNCTALK_PT_train"
    step = Step.TRAIN

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = settings_of(context.scene)
        layout.prop(settings, "preset")
        row = layout.row(heading="Stop After")
        row.prop(settings, "use_time_limit", text="")
        field = row.row()
        field.active = settings.use_time_limit
        field.prop(settings, "minutes", text="min")


CLASSES = (SYNCTALK_PT_train, SYNCTALK_PT_train_options)
