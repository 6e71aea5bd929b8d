"""Operators of the Train panel."""

from __future__ import annotations

import bpy

from ..synctalk_blender.job import Job
from ..synctalk_blender.steps import Step
from ..synctalk_blender.work.train import measure_job, train_job
from .common import JobOperator


class SYNCTALK_OT_train(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.train"
    bl_label = "Train"
    bl_description = "Train the neural head on the tracked clip. Training again resumes from where it stopped"
    step = Step.TRAIN

    def job(self, context: bpy.types.Context) -> Job:
        return train_job(context.scene)


class SYNCTALK_OT_measure(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.measure"
    bl_label = "Measure"
    bl_description = "Render frames of the trained head and track them, to see whether its mouth and eyes move"
    step = Step.TRAIN

    def job(self, context: bpy.types.Context) -> Job:
        return measure_job(context.scene)


CLASSES = (SYNCTALK_OT_train, SYNCTALK_OT_measure)
