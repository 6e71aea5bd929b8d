"""Operators of the Track panel."""

from __future__ import annotations

import bpy

from ..synctalk_blender import jobs, work
from ..synctalk_blender.facts import facts
from ..synctalk_blender.scene.errors import SceneError
from ..synctalk_blender.steps import Step
from .common import JobOperator


class SYNCTALK_OT_process(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.process"
    bl_label = "Track"
    bl_description = (
        "Follow the head and its expression through the clip, cut out the portrait, and send it all to the scene"
    )
    step = Step.TRACK

    def job(self, context: bpy.types.Context) -> jobs.Job:
        return work.process(context.scene)


class SYNCTALK_OT_import_tracking(bpy.types.Operator):
    bl_idname = "synctalk.import_tracking"
    bl_label = "Send to Scene"
    bl_description = (
        "Make or renew the camera, head, face mesh and keyframes from the tracking. Your own edits on top of them stay"
    )
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not facts(context.scene).state.tracked:
            cls.poll_message_set("Track the video first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            work.import_tracking(context.scene)
        except SceneError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (SYNCTALK_OT_process, SYNCTALK_OT_import_tracking)
