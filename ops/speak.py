"""Operators of the Speak panel."""

from __future__ import annotations

import bpy

from ..synctalk_blender.job import Job
from ..synctalk_blender.steps import Step
from ..synctalk_blender.work.speak import find_calm_part, speak_job
from .common import UNDOABLE, JobOperator, StepOperator


class SYNCTALK_OT_speak(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.speak"
    bl_label = "Speak"
    bl_description = (
        "Turn the audio into mouth movement: keyframes on the face and a strip in the sequencer. Your own "
        "edits are kept"
    )
    step = Step.SPEAK

    def job(self, context: bpy.types.Context) -> Job:
        return speak_job(context.scene)


class SYNCTALK_OT_find_calm_part(StepOperator, bpy.types.Operator):
    bl_idname = "synctalk.find_calm_part"
    bl_label = "Find a Calm Part"
    bl_description = "Set the idle part to the six seconds of the clip in which the head moves least"
    bl_options = UNDOABLE

    @classmethod
    def why_not(cls, _context: bpy.types.Context) -> str:
        return ""

    def attempt(self, context: bpy.types.Context) -> str:
        find_calm_part(context.scene)
        return ""


CLASSES = (SYNCTALK_OT_speak, SYNCTALK_OT_find_calm_part)
