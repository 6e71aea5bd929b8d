"""Step Train: the neural head, and the measurement of what it can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ...backend.protocol import Stage
from ...backend.workspace.store import Workspace
from .. import jobs, workspace_state
from ..job import Job, Request, Work
from ..properties import settings_of
from ..scene import importer, rig
from ..scene.errors import SyncTalkError
from ..steps import Step
from .common import animation_of, workspace_of
from .track import process_params

STAGES: dict[str, str] = {
    Stage.KERNELS: "Preparing (half a minute, only once on this computer)",
    Stage.READINESS: "Measuring mouth and eyes",
}
"""Readable names of stages of `train`."""


def train_job(scene: bpy.types.Scene) -> Job:
    """Train the head of the scene's workspace, or train it further."""
    settings = settings_of(scene)
    workspace = workspace_of(settings)
    consent = process_params(settings, workspace)
    params: dict[str, Any] = {"workspace": str(workspace), "preset": settings.preset, "further": True}
    if settings.use_time_limit:
        params["minutes"] = settings.minutes

    def work() -> Work:
        if not workspace_state.workspace_state(workspace).consent_by:
            # Ticked after tracking: all stages are done, so this only records it.
            yield Request("process", consent)
        trained = yield Request("train", params)
        _follow_training(workspace)
        return f"{trained['step']} steps trained."

    return Job(Step.TRAIN, "Training", work(), STAGES)


def measure_job(scene: bpy.types.Scene) -> Job:
    """Measure whether mouth and eyes of the scene's trained head move."""
    workspace = workspace_of(settings_of(scene))

    def work() -> Work:
        yield Request("measure", {"workspace": str(workspace)})
        return "Mouth and eyes are measured."

    return Job(Step.TRAIN, "Measuring", work(), STAGES)


def _follow_training(workspace: Path) -> None:
    """Import lens and poses as training has refined them: a head looks right only under those that it was trained with."""
    subject_id = workspace_state.workspace_state(workspace).id
    for scene in bpy.data.scenes:
        found = rig.find_rig(scene, workspace, subject_id) if scene.library is None else None
        if found is None:
            continue
        try:
            opened = Workspace.open_processed(workspace)
            importer.import_animation(scene, found, opened, animation_of(found, opened))
        except SyncTalkError as error:  # the head is trained all the same
            if jobs.runtime.job is not None:
                jobs.runtime.job.warn([str(error)])
