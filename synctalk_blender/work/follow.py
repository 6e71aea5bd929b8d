"""The scene follows the head that it draws: a head looks right only in the poses and the lens that it was fitted with."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...backend.workspace.checkpoint_index import gaussian_paths
from ...backend.workspace.store import Workspace
from .. import jobs, views, workspace_state
from ..properties import settings_of
from ..scene import importer, rig
from ..scene.errors import SyncTalkError
from ..steps import Step
from .common import animation_of


def follow_training(workspace: Path) -> None:
    """Import lens and poses as training has refined them, into every scene that holds the head."""
    for scene in bpy.data.scenes:
        try:
            _follow(scene, workspace)
        except SyncTalkError as error:  # the head is trained all the same
            if jobs.runtime.job is not None:
                jobs.runtime.job.warn([str(error)])


def follow_head(scene: bpy.types.Scene) -> None:
    """Import lens and poses of the head that was chosen, and draw it."""
    workspace = settings_of(scene).workspace_path
    if workspace is not None and gaussian_paths(workspace / "checkpoints"):  # else the field's are there already
        try:
            _follow(scene, workspace)
        except SyncTalkError as error:
            jobs.set_note(Step.COMPOSITE, str(error))
    views.redraw_rendered()


def _follow(scene: bpy.types.Scene, workspace: Path) -> None:
    subject_id = workspace_state.workspace_state(workspace).id
    found = rig.find_rig(scene, workspace, subject_id) if scene.library is None else None
    if found is not None:
        opened = Workspace.open_processed(workspace)
        importer.import_animation(scene, found, opened, animation_of(scene, found, opened))
