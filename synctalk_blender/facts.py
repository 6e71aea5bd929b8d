"""Gathers from Blender the facts that the steps' states follow from."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from ..install import backend_environment
from . import jobs, preferences, workspace_state
from .client import shared
from .properties import settings_of
from .scene import compositor, rig, scene_setup, shapes
from .steps import Facts


def facts(scene: bpy.types.Scene) -> Facts:
    """The facts of `scene` now; cheap enough for a panel's draw."""
    settings = settings_of(scene)
    backend = shared.running_backend()
    job = jobs.runtime.job
    root = settings.workspace_path
    state = workspace_state.workspace_state(root)
    found = rig_of_workspace(scene)
    return Facts(
        backend=backend_state(),
        backend_alive=backend is not None and backend.alive,
        backend_answered=backend is not None and backend.alive and backend.hello is not None,
        backend_error=str(backend.error) if backend is not None and backend.error else "",
        device_error=backend.device_error if backend is not None and backend.alive else "",
        video=settings.video,
        video_exists=_is_file(settings.video),
        workspace=settings.workspace,
        consent_ticked=settings.consent_given,
        consent_by=settings.consent_by,
        speech=settings.speech,
        speech_exists=_is_file(settings.speech),
        state=state,
        has_head=found is not None,
        has_speech=found is not None and found.animation is not None,
        has_capture=found is not None and found.is_captured,
        has_composite=found is not None and compositor.is_composed(scene, found),
        heads=len(rig.rigs_of(scene)),
        head_problem=_problem_of(scene, root, state.id, found) if root else "",
        other_camera=found is not None and scene.camera is not None and scene.camera != found.camera,
        running=job.step.value if job else "",
        running_title=job.title if job else "",
        failed=frozenset(step.value for step in jobs.runtime.errors),
    )


def rig_of_workspace(scene: bpy.types.Scene) -> rig.Rig | None:
    """The rig of the workspace that `scene` works on; None when it does not hold it."""
    root = settings_of(scene).workspace_path
    return rig.find_rig(scene, root, workspace_state.workspace_state(root).id) if root else None


def _problem_of(scene: bpy.types.Scene, root: Path, subject_id: str, found: rig.Rig | None) -> str:
    if found is not None:
        return head_problem(scene, found)
    collection = rig.find_collection(scene, root, subject_id)
    return "" if collection is None else rig.lost_in_words(scene, collection)


def head_problem(scene: bpy.types.Scene, found: rig.Rig) -> str:
    """One sentence on what the head in the scene lacks or no longer matches; else empty."""
    lost = shapes.lost_in_words(found.face)
    if lost:
        return lost
    keyed, now = found.collection.get(rig.RATE), scene_setup.fps_of(scene)
    if keyed is not None and abs(keyed - now) > 1e-3:
        again = "Fit Again" if found.is_captured else "Speak Again" if found.animation else "Send to Scene"
        return f"The head is keyed at {keyed:.5g} frames a second, but the scene runs at {now:.5g}: press {again}."
    return ""


def backend_state() -> str:
    """`absent`, `incomplete`, `outdated` or `ready`; a Python of the user's own counts as ready."""
    if os.environ.get(shared.ENVIRONMENT_VARIABLE) or preferences.chosen_backend_python():
        return "ready"
    state = backend_environment.state(preferences.environment_root())
    if state == "absent" and shared.backend_python() is not None:
        return "ready"  # a development checkout's
    return state


def _is_file(path: str) -> bool:
    return bool(path) and Path(bpy.path.abspath(path)).is_file()
