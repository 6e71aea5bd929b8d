"""Operators of the sub-panel Face Data, of File, Import, and of a file that is dropped on the 3D View."""

from __future__ import annotations

from typing import cast

import bpy

from ..synctalk_blender.facts import facts
from ..synctalk_blender.job import Job
from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.scene import paths
from ..synctalk_blender.steps import Step, why_not_capture
from ..synctalk_blender.work.capture import FACE_SUFFIXES, VIDEO_SUFFIXES, capture_job
from .common import JobOperator, Result


class _CaptureOperator(JobOperator):
    """Takes the file that it is given; without one it asks for it, or from a script takes the one chosen before."""

    step = Step.SPEAK
    filepath: str
    properties: bpy.types.OperatorProperties

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        return why_not_capture(facts(context.scene))

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(cast(bpy.types.Operator, self))
        return {"RUNNING_MODAL"}

    def job(self, context: bpy.types.Context) -> Job:
        if self.filepath:
            settings_of(context.scene).capture.file = paths.stored(self.filepath)
        return capture_job(context.scene, again=not self.filepath)


class SYNCTALK_OT_import_capture(_CaptureOperator, bpy.types.Operator):
    bl_idname = "synctalk.import_capture"
    bl_label = "Import Face Data"
    bl_description = "Let face data of another program move the head: Live Link Face, Audio2Face, USD, BVH, CSV or JSON of ARKit's names"

    filepath: bpy.props.StringProperty(
        name="File",
        description="The face data; the file chosen in the panel when empty",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: bpy.props.StringProperty(
        default=";".join(f"*{suffix}" for suffix in FACE_SUFFIXES), options={"HIDDEN", "SKIP_SAVE"}
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """The hint beside the files."""
        column = self.layout.column(align=True)
        column.label(text="A take of Live Link Face:", icon="INFO")
        column.label(text="open its folder, choose no file", icon="BLANK1")


class SYNCTALK_OT_follow_video(_CaptureOperator, bpy.types.Operator):
    bl_idname = "synctalk.follow_video"
    bl_label = "Follow a Video"
    bl_description = "Track another person's face in a video, and let it move this head"

    filepath: bpy.props.StringProperty(
        name="Video",
        description="The video; the one chosen in the panel when empty",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: bpy.props.StringProperty(
        default=";".join(f"*{suffix}" for suffix in VIDEO_SUFFIXES), options={"HIDDEN", "SKIP_SAVE"}
    )


class SYNCTALK_FH_capture(bpy.types.FileHandler):
    bl_idname = "SYNCTALK_FH_capture"
    bl_label = "SyncTalk Face Data"
    bl_import_operator = SYNCTALK_OT_import_capture.bl_idname
    bl_file_extensions = ";".join(FACE_SUFFIXES)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        # Where there is no head to move, Blender's own importers are not to be asked beside.
        in_view = context.area is not None and context.area.type == "VIEW_3D"
        return in_view and not why_not_capture(facts(context.scene))


CLASSES = (SYNCTALK_OT_import_capture, SYNCTALK_OT_follow_video, SYNCTALK_FH_capture)
