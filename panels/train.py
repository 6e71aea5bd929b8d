"""Panel Train: teach the head, and see how it looks meanwhile."""

from __future__ import annotations

import bpy

from ..synctalk_blender import jobs
from ..synctalk_blender.steps import Facts, Status, Step
from .common import OptionsPanel, StepPanel, draw_action, draw_info


class SYNCTALK_PT_train(StepPanel, bpy.types.Panel):
    bl_label = "Train"
    bl_order = 3
    step = Step.TRAIN

    def draw_step(self, layout: bpy.types.UILayout, context: bpy.types.Context, known: Facts, status: Status) -> None:
        state = known.state
        if state.trained_step:
            quality = f", {state.trained_psnr:.1f} dB" if state.trained_psnr else ""
            draw_info(layout, context, self.step, f"{state.trained_step:,} steps learnt{quality}")
        if jobs.runtime.preview_icon:
            layout.template_icon(jobs.runtime.preview_icon, scale=9.0)
        text = "Train Further" if state.trained_step else "Train"
        draw_action(layout, context, known, status, Step.TRAIN, "synctalk.train", text, "SHADERFX")


class SYNCTALK_PT_train_options(OptionsPanel, bpy.types.Panel):
    bl_label = "Options"
    bl_parent_id = "SYNCTALK_PT_train"
    step = Step.TRAIN

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = context.scene.synctalk
        layout.prop(settings, "preset")
        row = layout.row(heading="Stop After")
        row.prop(settings, "use_time_limit", text="")
        field = row.row()
        field.active = settings.use_time_limit
        field.prop(settings, "minutes", text="min")


CLASSES = (SYNCTALK_PT_train, SYNCTALK_PT_train_options)
