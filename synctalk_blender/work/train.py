"""Step Train: the neural head, and the measurement of what it can do."""

from __future__ import annotations

from typing import Any

import bpy

from ...backend.protocol import Stage
from .. import workspace_state
from ..job import Job, Request, Work
from ..properties import settings_of
from ..steps import Step
from .common import workspace_of
from .follow import follow_training
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
        follow_training(workspace)
        return f"{trained['step']} steps trained."

    return Job(Step.TRAIN, "Training", work(), STAGES)


def measure_job(scene: bpy.types.Scene) -> Job:
    """Measure whether mouth and eyes of the scene's trained head move."""
    workspace, head = workspace_of(settings_of(scene)), settings_of(scene).head

    def work() -> Work:
        yield Request("measure", {"workspace": str(workspace), "head": head})
        return "Mouth and eyes are measured."

    return Job(Step.TRAIN, "Measuring", work(), STAGES)
