"""Operators of the Live sub-panel."""

from __future__ import annotations

import bpy

from ..synctalk_blender import jobs, live, steps
from ..synctalk_blender.client.errors import BackendError
from ..synctalk_blender.facts import facts
from ..synctalk_blender.scene.errors import SyncTalkError
from ..synctalk_blender.steps import Step
from .common import Result, StepOperator


class SYNCTALK_OT_live(StepOperator, bpy.types.Operator):
    bl_idname = "synctalk.live"
    bl_label = "Live"
    bl_description = (
        "Let a face that is sent from an app, a phone or a camera move the head, until this is pressed again"
    )
    step = Step.SPEAK

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = steps.blocked(cls.step, facts(context.scene))
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            if live.is_on():
                live.stop()
            else:
                jobs.runtime.errors.pop(Step.SPEAK, None)
                live.start(context.scene)
        except (BackendError, SyncTalkError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class SYNCTALK_OT_live_record(StepOperator, bpy.types.Operator):
    bl_idname = "synctalk.live_record"
    bl_label = "Record"
    bl_description = "Record the live face; pressed again, the take is keyed as speech is, and live ends"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not live.is_on():
            cls.poll_message_set("Start live first")
        return live.is_on()

    def execute(self, context: bpy.types.Context) -> Result:
        try:
            if not live.is_recording():
                live.record()
            elif bpy.app.background:
                self.report({"INFO"}, jobs.run(live.keep_job(context.scene)))
            else:
                jobs.start(live.keep_job(context.scene))
        except (BackendError, SyncTalkError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (SYNCTALK_OT_live, SYNCTALK_OT_live_record)
