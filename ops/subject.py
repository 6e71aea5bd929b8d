"""Operators of the Subject panel."""

from __future__ import annotations

import bpy
from bpy_extras.io_utils import ImportHelper

from ..synctalk_blender.properties import default_workspace, settings_of
from ..synctalk_blender.scene import paths
from ..synctalk_blender.steps import Step
from ..synctalk_blender.work.capture import VIDEO_SUFFIXES
from .common import Result, StepOperator


class SYNCTALK_OT_choose_video(StepOperator, ImportHelper, bpy.types.Operator):
    bl_idname = "synctalk.choose_video"
    bl_label = "Choose Video"
    bl_description = (
        "Choose the clip of the person. Best: one to five minutes of speech to a fixed camera, in even light"
    )
    step = Step.SUBJECT

    filter_glob: bpy.props.StringProperty(
        default=";".join(f"*{suffix}" for suffix in VIDEO_SUFFIXES), options={"HIDDEN"}
    )

    def execute(self, context: bpy.types.Context) -> Result:
        settings = settings_of(context.scene)
        video: str = self.as_keywords()["filepath"]
        settings.video = paths.stored(video)
        settings.workspace = paths.stored(default_workspace(video))
        return {"FINISHED"}


CLASSES = (SYNCTALK_OT_choose_video,)
