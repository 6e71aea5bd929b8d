"""The operator of the panel Export and of File, Export."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..synctalk_blender.facts import facts
from ..synctalk_blender.job import Job
from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.steps import why_not_export
from ..synctalk_blender.work.common import workspace_of
from ..synctalk_blender.work.export import export_job
from .common import JobOperator, Result

_FORMATS = (
    (".glb", "glTF", "Binary glTF 2.0: morph targets, one animation, the camera"),
    (".usda", "USD", "Text, with UsdSkel's blend shapes; the camera with its principal point"),
    (".fbx", "FBX", "Binary, with blend shape channels; a value a frame"),
)


class SYNCTALK_OT_export(JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.export"
    bl_label = "Export Face"
    bl_description = (
        "Write the face mesh with its 52 shapes, their motion, the head and the camera for another program, "
        "with the audio beside"
    )
    layout: bpy.types.UILayout
    properties: bpy.types.OperatorProperties

    filepath: bpy.props.StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: bpy.props.StringProperty(default="*.glb;*.usda;*.fbx", options={"HIDDEN"})
    check_existing: bpy.props.BoolProperty(default=True, options={"HIDDEN"})
    file_format: bpy.props.EnumProperty(name="Format", items=_FORMATS)
    frame_start: bpy.props.IntProperty(
        name="Start", description="The first frame, which is at time 0 in the file", options={"SKIP_SAVE"}
    )
    frame_end: bpy.props.IntProperty(name="End", description="The last frame", options={"SKIP_SAVE"})
    with_audio: bpy.props.BoolProperty(
        name="Audio", description="Write the audio of these frames beside the file, as a WAV", default=True
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        return why_not_export(facts(context.scene))

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        scene = context.scene
        workspace = workspace_of(settings_of(scene))
        self.filepath = str(workspace / "exports" / f"{workspace.stem}{self.file_format}")
        self.frame_start, self.frame_end = scene.frame_start, scene.frame_end
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, _context: bpy.types.Context) -> bool:
        """The file's name follows the format."""
        path = Path(self.filepath)
        if path.suffix == self.file_format:
            return False
        is_of_another = path.suffix in {suffix for suffix, _, _ in _FORMATS}
        self.filepath = str(path.with_suffix(self.file_format) if is_of_another else f"{path}{self.file_format}")
        return True

    def draw(self, _context: bpy.types.Context) -> None:
        self.layout.use_property_split = True
        self.layout.use_property_decorate = False
        self.layout.prop(self, "file_format")
        frames = self.layout.column(align=True)
        frames.prop(self, "frame_start")
        frames.prop(self, "frame_end")
        self.layout.prop(self, "with_audio")

    def job(self, context: bpy.types.Context) -> Job:
        scene, given = context.scene, self.properties.is_property_set
        frames = (
            self.frame_start if given("frame_start") else scene.frame_start,
            self.frame_end if given("frame_end") else scene.frame_end,
        )
        path = Path(bpy.path.abspath(self.filepath))
        return export_job(scene, path, frames, with_audio=self.with_audio)


CLASSES = (SYNCTALK_OT_export,)
