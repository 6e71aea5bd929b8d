"""Panel Train: train the head, and see a preview of it."""

from __future__ import annotations

import bpy

from ..synctalk_blender import previews, steps
from ..synctalk_blender.properties import SyncTalkSettings
from ..synctalk_blender.steps import State, Step
from .common import OptionsPanel, StepPanel, StepUi


class SYNCTALK_PT_train(StepPanel, bpy.types.Panel):
    bl_label = "Train"
    bl_order = 3
    step = Step.TRAIN

    def draw_step(self, ui: StepUi) -> None:
        trained = ui.facts.state.trained_step
        if trained and ui.status.state is not State.RUNNING:
            _draw_head(ui)
        if previews.icon:
            ui.layout.template_icon(previews.icon, scale=9.0)
        ui.action("synctalk.train", "Train Further" if trained else "Train", "SHADERFX")


def _draw_head(ui: StepUi) -> None:
    """Draw what is known of the trained head."""
    state = ui.facts.state
    for line in steps.head_lines(state):
        ui.text(line)
    duration = f" in {state.trained_minutes:.1f} min" if state.trained_minutes else ""
    psnr = f", PSNR {state.trained_psnr:.1f} dB" if state.trained_psnr else ""
    ui.text(f"{state.trained_step:,} steps{duration}{psnr}", dim=True)
    if state.readiness is None:
        ui.layout.operator("synctalk.measure", icon="VIEWZOOM")


class SYNCTALK_PT_train_options(OptionsPanel, bpy.types.Panel):
    bl_label = "Options"
    bl_parent_id = "SYNCTALK_PT_train"
    step = Step.TRAIN

    def draw_options(self, layout: bpy.types.UILayout, settings: SyncTalkSettings) -> None:
        layout.prop(settings, "preset")
        row = layout.row(heading="Stop After")
        row.prop(settings, "use_time_limit", text="")
        field = row.row()
        field.active = settings.use_time_limit
        field.prop(settings, "minutes", text="min")


CLASSES = (SYNCTALK_PT_train, SYNCTALK_PT_train_options)
