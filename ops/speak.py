"""Operators of the Speak panel."""

from __future__ import annotations

import bpy

from ..synctalk_blender.job import Job
from ..synctalk_blender.steps import Step
from ..synctalk_blender.work.speak import speak_job
from .common import JobOperator


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


CLASSES = (SYNCTALK_OT_speak,)
