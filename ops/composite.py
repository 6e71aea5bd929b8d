"""Operators of the Composite panel."""

from __future__ import annotations

import bpy

from ..synctalk_blender import api
from ..synctalk_blender.job import Job
from ..synctalk_blender.steps import Step
from ..synctalk_blender.work.composite import bake_folder, bake_job, composite_job, mattes_job
from .common import UNDOABLE, JobOperator, StepOperator


class SYNCTALK_OT_composite(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.composite"
    bl_label = "Build Composite"
    bl_description = "Render with SyncTalk and composite the head over the footage with nodes. Your own nodes are kept"
    step = Step.COMPOSITE

    def job(self, context: bpy.types.Context) -> Job:
        return composite_job(context.scene)


class SYNCTALK_OT_composite_objects(StepOperator, bpy.types.Operator):
    bl_idname = "synctalk.composite_objects"
    bl_label = "Add Scene Objects"
    bl_description = (
        "Render what else this scene holds with Cycles, and composite it with the head: "
        "objects hide the head and are hidden by it"
    )
    bl_options = UNDOABLE
    step = Step.COMPOSITE

    def attempt(self, context: bpy.types.Context) -> str:
        rendered = api.composite_objects(scene=context.scene)
        return f"The objects are rendered by the scene “{rendered.name}”: its engine and samples are in its own properties."


class SYNCTALK_OT_bake(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.bake"
    bl_label = "Bake Head"
    bl_description = (
        "Render the head of every frame to image files, with all your edits, and composite from these: "
        "for a render farm, or a computer without the backend"
    )
    step = Step.COMPOSITE

    def job(self, context: bpy.types.Context) -> Job:
        return bake_job(context.scene, bake_folder(context.scene))


class SYNCTALK_OT_mattes(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.mattes"
    bl_label = "Write Mattes"
    bl_description = (
        "Write head, hair, neck, torso and background of the footage as mattes of their own, "
        "and add a node that has them to the composite"
    )
    step = Step.COMPOSITE

    def job(self, context: bpy.types.Context) -> Job:
        return mattes_job(context.scene)


CLASSES = (SYNCTALK_OT_composite, SYNCTALK_OT_composite_objects, SYNCTALK_OT_bake, SYNCTALK_OT_mattes)
