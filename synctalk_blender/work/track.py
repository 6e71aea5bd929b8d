"""Step Track: the video into the workspace, and the tracked head into the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ...backend.protocol import Stage
from ...backend.workspace.store import Workspace
from .. import jobs, views, workspace_state
from ..job import Job, Request, Work
from ..properties import SyncTalkSettings, settings_of
from ..scene import importer, rig, scene_setup
from ..steps import Step
from .common import other_camera_in_words, require_rig_of, scene_of, workspace_of

STAGES: dict[str, str] = {
    Stage.MEDIA: "Reading the video",
    Stage.LANDMARKS: "Finding the face",
    Stage.HEAD_SYNC: "Tracking the head",
    Stage.FACE_SYNC: "Capturing the expression",
    Stage.PORTRAIT_SYNC: "Segmenting the portrait",
    Stage.FOOTAGE: "Writing the footage",
}
"""Readable names of the stages of `process`."""


def process_job(scene: bpy.types.Scene, *, setup: bool | None = None, start_frame: int | None = None) -> Job:
    """Track the scene's video into its workspace, then send the result to the scene (see `import_tracking`)."""
    workspace = workspace_of(settings_of(scene))
    params = process_params(settings_of(scene), workspace)

    def work() -> Work:
        info = yield Request("process", {**params, "footage": True})
        if jobs.runtime.job is not None:
            jobs.runtime.job.warn([str(text) for text in info["warnings"]])
        yield from write_footage(workspace)
        changes = send_to_scene(scene_of(workspace), setup=setup, start_frame=start_frame)
        return f"{info['frames']} frames ({info['frames'] / info['fps']:.1f} s) are tracked and in the scene. {changes}".strip()

    return Job(Step.TRACK, "Tracking", work(), STAGES)


def write_footage(workspace: Path) -> Work:
    """Have the complete source frames written, unless the working frames are these."""
    if Workspace.open_processed(workspace).footage is None:
        yield Request("footage", {"workspace": str(workspace)})
    return ""


def process_params(settings: SyncTalkSettings, workspace: Path) -> dict[str, Any]:
    """The params of `process`. Consent that the workspace already records is kept when a new file opens it."""
    state = workspace_state.workspace_state(workspace)
    by = settings.consent_by.strip() if settings.consent_given else ""
    by_hand = settings.audio_delay == "GIVEN"
    return {
        "video": bpy.path.abspath(settings.video) or state.source,
        "workspace": str(workspace),
        "consent": by or state.consent_by or None,
        "audio_offset_ms": settings.audio_delay_ms if by_hand else settings.audio_delay.lower(),
    }


def import_tracking(
    scene: bpy.types.Scene, *, setup: bool | None = None, start_frame: int | None = None
) -> tuple[rig.Rig, str]:
    """Put the tracked camera, head, face mesh, head points, keyframes and audio of the scene's workspace into the scene.

    Args:
        setup, start_frame: as `importer.import_subject` has them.

    Returns:
        The rig, and the changes to the scene as text; empty where there is nothing to report.

    Raises:
        SceneError: the rig is linked from another file.
        WorkspaceError: the workspace is not tracked, or its files are damaged.
    """
    workspace = Workspace.open_processed(workspace_of(settings_of(scene)))
    before = scene_setup.settings(scene)
    there = rig.find_collection(scene, workspace.root, workspace.subject.id)
    lost = [] if there is None else rig.missing_parts(scene, there)
    found = importer.import_subject(
        scene, workspace, setup=setup, start_frame=start_frame, head=settings_of(scene).head
    )
    found.collection.pop(rig.ANIMATION, None)
    if there is None and scene.camera == found.camera:
        views.look_through_camera(scene)
    return found, _changes(scene, found, before, lost)


def send_to_scene(scene: bpy.types.Scene, *, setup: bool | None = None, start_frame: int | None = None) -> str:
    """`import_tracking` for a panel: its sentence, which becomes the note of the Track panel."""
    text = import_tracking(scene, setup=setup, start_frame=start_frame)[1]
    jobs.set_note(Step.TRACK, text)
    return text


def use_camera(scene: bpy.types.Scene) -> None:
    """Make the tracked camera of the scene's workspace its active one, and look through it."""
    scene.camera = require_rig_of(scene, Workspace.open_processed(workspace_of(settings_of(scene)))).camera
    views.look_through_camera(scene)
    jobs.set_note(Step.TRACK, "")


def _changes(scene: bpy.types.Scene, found: rig.Rig, before: dict[str, str], lost: list[str]) -> str:
    now = scene_setup.settings(scene)
    texts = [f"Restored: {', '.join(f'“{getattr(found, role).name}”' for role in lost)}." if lost else ""]
    texts.append(scene_setup.changes(before, now))
    if not found.collection.get(rig.SETS_SCENE, True):
        texts.append(
            f"The scene keeps its size ({now['frame size']}), rate ({now['frame rate']}) and range; "
            f"the head begins at frame {found.collection[rig.START]}."
        )
    texts.append(other_camera_in_words(scene, found))
    others = [item.name for item in rig.rigs_of(scene) if item != found]
    if others:
        texts.append(f"“{found.name}” is rendered now instead of “{others[0]}”.")
    return " ".join(text for text in texts if text)
