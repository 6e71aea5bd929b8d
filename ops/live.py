"""Operators of the Live sub-panel."""

from __future__ import annotations

import bpy

from ..synctalk_blender import jobs, live, steps
from ..synctalk_blender.facts import facts
from ..synctalk_blender.steps import Step
from .common import StepOperator, run_or_start


class SYNCTALK_OT_live(StepOperator, bpy.types.Operator):
    bl_idname = "synctalk.live"
    bl_label = "Live"
    bl_description = (
        "Let a face that is sent from an app, a phone or a camera move the head, until this is pressed again"
    )
    step = Step.SPEAK

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        return steps.blocked(cls.step, facts(context.scene))

    def attempt(self, context: bpy.types.Context) -> str:
        if live.is_on():
            live.stop()
        else:
            jobs.runtime.errors.pop(Step.SPEAK, None)
            live.start(context.scene)
        return ""


class SYNCTALK_OT_live_record(StepOperator, bpy.types.Operator):
    bl_idname = "synctalk.live_record"
    bl_label = "Record"
    bl_description = "Record the live face; pressed again, the take is keyed as speech is, and live ends"

    @classmethod
    def why_not(cls, _context: bpy.types.Context) -> str:
        return "" if live.is_on() else "Start live first"

    def attempt(self, context: bpy.types.Context) -> str:
        if live.is_recording():
            return run_or_start(live.keep_job(context.scene))
        live.record()
        return ""


CLASSES = (SYNCTALK_OT_live, SYNCTALK_OT_live_record)
