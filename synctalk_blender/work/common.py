"""What the steps share: the workspace, the scene that works on it, and the rig in that."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...backend.workspace.animation import Animation
from ...backend.workspace.store import Workspace
from ..client.errors import BackendError
from ..properties import SyncTalkSettings, settings_of
from ..scene import paths, rig
from ..scene.errors import SceneError


def workspace_of(settings: SyncTalkSettings) -> Path:
    """The workspace that was chosen.

    Raises:
        BackendError: of kind `scene`, when none was.
    """
    if settings.workspace_path is None:
        raise BackendError(
            "No workspace is chosen: choose a video, or a workspace folder, in the Subject panel.", "scene"
        )
    return settings.workspace_path


def scene_of(workspace: Path) -> bpy.types.Scene:
    """The scene that works on `workspace`, the current one first: another file may have been opened meanwhile.

    Raises:
        BackendError: of kind `scene`, when no scene of this file does.
    """
    for scene in (bpy.context.scene, *bpy.data.scenes):
        root = settings_of(scene).workspace_path
        if root is not None and paths.same_place(root, workspace):
            return scene
    raise BackendError(
        f"Finished. No scene uses {workspace.name}: select it as the workspace and press Send to Scene.",
        "scene",
    )


def require_rig_of(scene: bpy.types.Scene, workspace: Workspace) -> rig.Rig:
    """The rig of the workspace's subject, which becomes the one that is rendered.

    Raises:
        BackendError: of kind `scene`, when the scene does not hold it.
    """
    found = rig.find_rig(scene, workspace.root, workspace.subject.id)
    if found is None:
        raise BackendError("The head is no longer in the scene: press Send to Scene in the Track panel.", "scene")
    rig.use_workspace(scene, found, workspace.root)
    return found


def subject_in(scene: bpy.types.Scene) -> tuple[rig.Rig, Workspace, Animation]:
    """The rig of `scene`, its workspace, and the animation that was imported last.

    Raises:
        SceneError: there is no rig, or the animation's audio is missing.
        WorkspaceError: files of its workspace are missing or damaged.
    """
    found = rig.require_rig(scene)
    workspace = Workspace.open_processed(found.workspace)
    return found, workspace, animation_of(scene, found, workspace)


def animation_of(scene: bpy.types.Scene, found: rig.Rig, workspace: Workspace) -> Animation:
    """What moves `found`: the footage's own movement, or what was imported last.

    Where the head was that of the footage, poses and lens are those of the newest track, which training refines: that of the
    head which `scene` draws.

    Raises:
        SceneError: the animation's audio is missing.
        WorkspaceError: files are missing or damaged.
    """
    track = workspace.head_track(head=settings_of(scene).head)
    if not found.animation:
        return workspace.footage_animation(track)
    animation = read_animation(workspace, Path(found.animation))
    return animation.on_track(track) if found.collection.get(rig.ON_TRACK, True) else animation


def read_animation(workspace: Workspace, path: Path) -> Animation:
    """An `animation.npz` with its audio; a frame beyond a clip that has become shorter lies over its last one.

    Raises:
        SceneError: its audio is missing: Blender would add a silent strip without an error.
        WorkspaceError: the file is missing or damaged.
    """
    animation = workspace.animation(path, hold_last=True)
    if animation.audio is not None and not animation.audio.exists():
        raise SceneError(f"{animation.audio}, the audio of {path.name}, is missing: speak again.")
    return animation


def other_camera_in_words(scene: bpy.types.Scene, found: rig.Rig) -> str:
    """One sentence where the scene looks through another camera than the head's own; else empty."""
    if scene.camera is None or scene.camera == found.camera:
        return ""
    return f"The scene's camera is “{scene.camera.name}”: “{found.camera.name}” is the one that matches the footage."
