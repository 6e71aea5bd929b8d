"""Step Speak: audio into keyframes."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...backend.workspace.idle_part import calm_part
from ...backend.workspace.store import Workspace
from ..job import Job, Request, Work
from ..properties import settings_of
from ..scene import importer, paths, rig, shapes
from ..steps import Step
from .common import read_animation, require_rig_of, scene_of, workspace_of


def speak_job(scene: bpy.types.Scene) -> Job:
    """Turn the scene's speech into keyframes and a strip in the sequencer."""
    settings = settings_of(scene)
    workspace = workspace_of(settings)
    audio = bpy.path.abspath(settings.speech)
    params = {"workspace": str(workspace), "audio": audio, "head": settings.head, **settings.delivery()}

    def work() -> Work:
        spoken = yield Request("speak", params)
        lost = import_animation(scene_of(workspace), spoken["animation"], workspace=workspace)
        return f"{spoken['duration_s']:.1f} s of speech: {spoken['frames']} frames are keyed. {lost}".strip()

    return Job(Step.SPEAK, "Speaking", work())


def find_calm_part(scene: bpy.types.Scene) -> None:
    """Set the idle part to the calmest of the clip.

    Raises:
        SyncTalkError: no workspace, or one without a tracked head.
    """
    settings = settings_of(scene)
    workspace = Workspace.open_processed(workspace_of(settings))
    settings.idle_s = calm_part(workspace.head_track(), workspace.subject.rate)


def import_animation(
    scene: bpy.types.Scene, path: str | Path, *, workspace: Path | None = None, captured: bool = False
) -> str:
    """Replace the head's imported keyframes and audio by those of an `animation.npz`.

    Args:
        workspace: whose head; that which is rendered when absent.
        captured: it is a capture, which changes of its settings fit again.

    Returns:
        One sentence on shapes that the face has lost; empty where it has all.

    Raises:
        SceneError: the scene holds no such head, it is linked from another file, or the audio is missing.
        WorkspaceError: the file is damaged.
    """
    if workspace is None:
        found = rig.require_rig(scene)
        opened = Workspace.open_processed(found.workspace)
    else:
        opened = Workspace.open_processed(workspace)
        found = require_rig_of(scene, opened)
    animation = read_animation(opened, Path(path))
    importer.import_animation(scene, found, opened, animation)
    found.collection[rig.ON_TRACK] = animation.is_on_track(opened.head_track(head=settings_of(scene).head))
    found.collection[rig.CAPTURED] = captured
    paths.keep_animation(found.collection, Path(path))
    return shapes.lost_in_words(found.face)
