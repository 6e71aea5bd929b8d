"""Operators of the Track panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from ..synctalk_blender import workspace_state
from ..synctalk_blender.facts import facts
from ..synctalk_blender.job import Job
from ..synctalk_blender.properties import settings_of
from ..synctalk_blender.scene import rig, scene_setup
from ..synctalk_blender.steps import Step
from ..synctalk_blender.work import track
from .common import UNDOABLE, JobOperator, Result, StepOperator

_ITEMS = (
    ("AUTO", "Automatic", "Set up a new scene for the clip; leave any other unchanged"),
    ("KEEP", "Keep This Scene", "Resolution, frame rate, frame range, camera and colours are not changed"),
    ("SETUP", "Set Up for the Clip", "Resolution, frame rate, frame range, camera and colours are set to the clip's"),
)
_EFFECTS = {name: text for name, _label, text in _ITEMS}


class SceneChoice:
    """Asks, before a head comes into a scene with other content, whether to set the scene up for the clip."""

    scene_setup: bpy.props.EnumProperty(
        name="Scene",
        description="Whether to set the scene up for the clip",
        items=_ITEMS,
        options={"SKIP_SAVE"},
    )
    start_frame: bpy.props.IntProperty(
        name="Start Frame",
        description="The scene frame of the clip's first frame",
        default=scene_setup.FIRST_FRAME,
        options={"SKIP_SAVE"},
    )

    bl_label: str
    layout: bpy.types.UILayout
    properties: bpy.types.OperatorProperties
    execute: Callable[[bpy.types.Context], Result]

    def choice(self) -> dict[str, Any]:
        """The arguments of `track.import_tracking`."""
        setup = {"AUTO": None, "KEEP": False, "SETUP": True}[self.scene_setup]
        return {
            "setup": setup,
            "start_frame": self.start_frame if self.properties.is_property_set("start_frame") else None,
        }

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> Result:
        """Ask where there is something to lose; else run at once."""
        scene = context.scene
        if _is_there(scene) or not scene_setup.content(scene):
            return self.execute(context)
        self.scene_setup, self.start_frame = "KEEP", scene.frame_start
        manager: Any = context.window_manager
        return manager.invoke_props_dialog(self, width=380, confirm_text=self.bl_label)

    def draw(self, context: bpy.types.Context) -> None:
        """The question."""
        layout = self.layout
        if not _is_there(context.scene):  # else this is the panel that adjusts what was done
            found, now = scene_setup.content(context.scene), scene_setup.settings(context.scene)
            column = layout.column(align=True)
            column.label(text=f"This scene has {' and '.join(found)}.", icon="QUESTION")
            column.label(text=f"{now['frame size']}, {now['frame rate']}, frames {now['frame range']}", icon="BLANK1")
        choices = layout.column(align=True)
        choices.prop_enum(self, "scene_setup", "KEEP")
        choices.prop_enum(self, "scene_setup", "SETUP")
        effect = layout.column()
        effect.active = False
        effect.label(text=_EFFECTS[self.scene_setup])
        layout.prop(self, "start_frame")


def _is_there(scene: bpy.types.Scene) -> bool:
    """Whether the scene holds the head of its workspace, complete or not."""
    root = settings_of(scene).workspace_path
    return root is not None and rig.find_collection(scene, root, workspace_state.workspace_state(root).id) is not None


class SYNCTALK_OT_process(SceneChoice, JobOperator, bpy.types.Operator):
    bl_idname = "synctalk.process"
    bl_label = "Track"
    bl_description = (
        "Track the head and its expression through the clip, segment the portrait, and send the result to the scene"
    )
    step = Step.TRACK

    def job(self, context: bpy.types.Context) -> Job:
        return track.process_job(context.scene, **self.choice())


class SYNCTALK_OT_import_tracking(SceneChoice, StepOperator, bpy.types.Operator):
    bl_idname = "synctalk.import_tracking"
    bl_label = "Send to Scene"
    bl_description = (
        "Create or update the camera, head, face mesh and keyframes from the tracking. Your own edits are kept"
    )
    bl_options = UNDOABLE

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        return "" if facts(context.scene).state.tracked else "Track the video first"

    def attempt(self, context: bpy.types.Context) -> str:
        return track.send_to_scene(context.scene, **self.choice())


class SYNCTALK_OT_use_camera(StepOperator, bpy.types.Operator):
    bl_idname = "synctalk.use_camera"
    bl_label = "Use Tracked Camera"
    bl_description = "Make the tracked camera the active one, to align the head with the footage"
    bl_options = UNDOABLE

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str:
        return "" if facts(context.scene).has_head else "Send the tracking to this scene first"

    def attempt(self, context: bpy.types.Context) -> str:
        track.use_camera(context.scene)
        return ""


CLASSES = (SYNCTALK_OT_process, SYNCTALK_OT_import_tracking, SYNCTALK_OT_use_camera)
