"""Step Composite: the head over the footage, rendered live or from baked frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import bpy

from ...backend.protocol import Stage
from ...backend.workspace.animation import Animation
from ...backend.workspace.store import Workspace
from .. import views
from ..client.errors import BackendError
from ..engine import SyncTalkRenderEngine
from ..job import Job, Request, Work
from ..properties import settings_of
from ..scene import bake as bake_scene
from ..scene import composite_mattes, compositor, importer, label, nodes, output, rig
from ..steps import Step
from .common import animation_of, other_camera_in_words, require_rig_of, scene_of, subject_in, workspace_of
from .reading import read_rig
from .track import write_footage

BAKE_STAGES: dict[str, str] = {"reading the rig": "Reading the rig", Stage.RENDERING: "Rendering the head"}


def composite_job(scene: bpy.types.Scene) -> Job:
    """Render the head with the engine “SyncTalk” and composite it over the footage."""
    workspace = workspace_of(settings_of(scene))

    def work() -> Work:
        yield from write_footage(workspace)
        target = scene_of(workspace)
        target.render.engine = cast(Any, SyncTalkRenderEngine.bl_idname)  # the stubs name Blender's own engines
        opened = Workspace.open_processed(workspace)
        found = require_rig_of(target, opened)
        compose(target, found, opened, animation_of(target, found, opened))
        views.show_composite(target)
        advice = [other_camera_in_words(target, found), _view_transform_in_words(target)]
        return " ".join(text for text in ("The composite is built: render an image or the animation.", *advice) if text)

    return Job(Step.COMPOSITE, "Building the composite", work())


def bake_job(scene: bpy.types.Scene, folder: Path) -> Job:
    """Write the head of every frame to `folder` as `000000.png` …, and let the composite take it from there.

    The rig is read as it is evaluated, edits and all, into `folder/directions.npz`; the same file renders on a farm with
    `python -m backend render WORKSPACE --directions FILE --out FOLDER`.
    """
    name = scene.name

    def work() -> Work:
        found, workspace, animation = subject_in(scene)
        timing = importer.timing_of(scene, found, animation.fps)
        shown = timing.shown(animation.plate_frame)
        read = yield from read_rig(scene, found, workspace.subject.frame_size, len(shown), timing.first_frame)
        path = bake_scene.write(
            folder / "directions.npz", read.directions, read.pinhole, workspace.subject, shown, timing.scene_fps
        )
        yield from write_footage(workspace.root)
        settings = settings_of(scene)
        sees_footage = scene.camera in (None, found.camera)
        chosen = {
            "head": settings.head,
            "fixed_neck": not (settings.neck_follows and sees_footage),
            "rendered_hair": not (settings.footage_hair and sees_footage),
        }
        out = {"out": str(folder), "directions": str(path)}
        yield Request("render", {"workspace": str(workspace.root), **chosen, **out})
        target: bpy.types.Scene | None = bpy.data.scenes.get(name)
        if target is None:
            raise BackendError(
                f"The frames are in {folder}, but the scene “{name}” is no longer in this file: open the "
                "file that has it and press Bake Head again.",
                "scene",
            )
        compose(target, *subject_in(target), frames=folder)
        return f"{len(shown)} frames of the head are in {folder}; the composite uses them."

    return Job(Step.COMPOSITE, "Baking", work(), BAKE_STAGES)


def mattes_job(scene: bpy.types.Scene) -> Job:
    """Write the footage's mattes to the workspace, and add a node that has them to the composite, where there is one."""
    workspace = workspace_of(settings_of(scene))

    def work() -> Work:
        result = yield Request("mattes", {"workspace": str(workspace)})
        written = f"The mattes of {result['frames']} frames are in {result['out']}"
        target = scene_of(workspace)
        tree = nodes.tree_of(target)
        if tree is None or not compositor.is_composed(target):
            return f"{written}. Press Build Composite, then Write Mattes again to have them in the compositor."
        opened = Workspace.open_processed(workspace)
        animation = animation_of(target, require_rig_of(target, opened), opened)
        timing = importer.timing_of(target, require_rig_of(target, opened), animation.fps)
        shown = timing.shown(animation.plate_frame)
        folder = Path(result["out"])
        composite_mattes.show(target, tree, opened.subject, folder, result["parts"], shown, timing.first_frame)
        return f"{written}, and the node “Mattes” of the composite has them."

    return Job(Step.COMPOSITE, "Writing mattes", work())


def bake_folder(scene: bpy.types.Scene) -> Path:
    """Where baked frames of the scene go: the folder chosen, else one in the workspace."""
    chosen = settings_of(scene).bake_folder
    return Path(bpy.path.abspath(chosen)) if chosen else workspace_of(settings_of(scene)) / "renders" / "baked"


def compose(
    scene: bpy.types.Scene, found: rig.Rig, workspace: Workspace, animation: Animation, *, frames: Path | None = None
) -> None:
    """Build or renew the composite of `found` over the footage of `animation`, at the scene's frame rate.

    Where the rate has changed since the movement was keyed, that is keyed again first. Where no output is chosen, animation
    renders write a video from now on.

    Raises:
        SceneError: frames are missing.
    """
    timing = importer.timing_of(scene, found, animation.fps)
    if abs(found.collection.get(rig.RATE, timing.scene_fps) - timing.scene_fps) > 1e-3:
        importer.import_animation(scene, found, workspace, animation)
    rig.set_active(scene, found)
    shown = timing.shown(animation.plate_frame)
    compositor.compose(scene, found, workspace, shown, frames=frames, first_frame=timing.first_frame)
    label.show_label(scene, settings_of(scene).visible_label)
    output.video_by_default(scene, workspace.subject.name, workspace.root.parent)


def _view_transform_in_words(scene: bpy.types.Scene) -> str:
    transform = scene.view_settings.view_transform
    if transform in ("Standard", "Raw"):
        return ""
    return f"The view transform {transform} changes the footage's colours: choose “Standard” to keep them."
