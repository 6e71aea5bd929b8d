"""Operators of the panel Check a File."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..synctalk_blender.facts import facts
from ..synctalk_blender.job import Job
from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.steps import why_not_verify
from ..synctalk_blender.work.sign import sign_job
from ..synctalk_blender.work.verify import verify_job
from .common import JobOperator


class FileOperator(JobOperator):
    """Works on a file: the one that it is given, or the one that is chosen in the panel."""

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        return why_not_verify(facts(context.scene))

    @staticmethod
    def path(context: bpy.types.Context, given: str) -> Path:
        return Path(bpy.path.abspath(given or settings_of(context.scene).verify_file))


class SYNCTALK_OT_verify(FileOperator, bpy.types.Operator):
    bl_idname = "synctalk.verify"
    bl_label = "Check"
    bl_description = "Read a file's signature, watermark and note: was it made with SyncTalk, and is it unchanged?"

    filepath: bpy.props.StringProperty(
        name="File", description="The file to check; the one chosen in the panel when empty", options={"SKIP_SAVE"}
    )

    def job(self, context: bpy.types.Context) -> Job:
        return verify_job(context.scene, self.path(context, self.filepath))


class SYNCTALK_OT_sign(FileOperator, bpy.types.Operator):
    bl_idname = "synctalk.sign"
    bl_label = "Sign"
    bl_description = (
        "Give what Blender rendered with this subject's head the signed manifest that the backend's own videos have. "
        "It is the last step: saving the file again breaks the signature"
    )

    filepath: bpy.props.StringProperty(
        name="File",
        description="The file, or the folder of images, to sign; the one chosen in the panel when empty",
        options={"SKIP_SAVE"},
    )
    alone: bpy.props.BoolProperty(
        name="Head Alone", description="It shows none of the footage's own pixels", options={"SKIP_SAVE"}
    )

    def job(self, context: bpy.types.Context) -> Job:
        return sign_job(context.scene, self.path(context, self.filepath), self.alone)


CLASSES = (SYNCTALK_OT_verify, SYNCTALK_OT_sign)
