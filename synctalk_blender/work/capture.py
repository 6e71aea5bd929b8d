"""Step Speak by a capture: face data of other programs, or another person's video, into keyframes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from ...backend.protocol import Stage
from .. import jobs
from ..client.errors import BackendError
from ..facts import rig_of_workspace
from ..job import Job, Request, Work
from ..properties import SyncTalkSettings, settings_of
from ..scene.errors import SceneError, SyncTalkError
from ..steps import Step
from .common import scene_of, workspace_of
from .speak import import_animation
from .track import STAGES

FACE_SUFFIXES = (".csv", ".json", ".usd", ".usda", ".usdc", ".bvh")
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mts", ".mxf")

_VIDEO_STAGES = STAGES | {Stage.CAPTURE: "Fitting the motion"}
_FIT_AFTER_S = 0.4
"""From the last change of a setting: a slider that is dragged changes many times a second."""
_TIMERS_FIRE = not bpy.app.background
_MAX_NAMES = 4

_fits_name = ""
"""Of the scene whose take waits to be fitted again."""


def is_video(path: str | Path) -> bool:
    """Whether a capture is another person's video, or the workspace of one, rather than face data."""
    path = Path(path)
    return path.suffix.lower() in VIDEO_SUFFIXES or (path / "subject.json").is_file()


def capture_job(scene: bpy.types.Scene, *, again: bool = False) -> Job:
    """Turn the scene's capture into keyframes and a strip in the sequencer, as speech is.

    Args:
        again: the take is there, and its settings have changed.

    Raises:
        SceneError: no face data is chosen.
    """
    _forget_wait()  # what waits to be fitted is fitted now
    settings = settings_of(scene)
    workspace = workspace_of(settings)
    path = settings.capture.path
    if not path:
        raise SceneError("Choose the face data first: press Import Face Data.")
    request = _request(settings, workspace, path)
    asked = request.params["take"]

    def work() -> Work:
        taken = yield request
        lost = import_animation(scene_of(workspace), taken["animation"], workspace=workspace, captured=True)
        return " ".join(text for text in (*_in_words(Path(path).name, asked, taken), lost) if text)

    title, stages = ("Following the video", _VIDEO_STAGES) if is_video(path) else ("Importing the face data", {})
    return Job(Step.SPEAK, title, work(), stages, quiet=again)


def fit_soon(scene: bpy.types.Scene) -> None:
    """Fit the take again once its settings have not changed for a moment, if the head is moved by one.

    In background mode nothing happens: a script asks for it.
    """
    global _fits_name
    found = rig_of_workspace(scene)
    if not _TIMERS_FIRE or found is None or not found.is_captured:
        return
    _forget_wait()
    _fits_name = scene.name
    bpy.app.timers.register(_fit, first_interval=_FIT_AFTER_S)


def unregister() -> None:
    _forget_wait()


def _forget_wait() -> None:
    if bpy.app.timers.is_registered(_fit):
        bpy.app.timers.unregister(_fit)


def _fit() -> float | None:
    if jobs.runtime.job is not None or bpy.app.is_job_running("RENDER"):  # a render reads what this would write
        return _FIT_AFTER_S
    scene: bpy.types.Scene | None = bpy.data.scenes.get(_fits_name)
    found = None if scene is None else rig_of_workspace(scene)
    if scene is not None and found is not None and found.is_captured:
        try:
            jobs.start(capture_job(scene, again=True))
        except (BackendError, SyncTalkError) as error:
            jobs.runtime.errors[Step.SPEAK] = str(error)
    return None


def _request(settings: SyncTalkSettings, workspace: Path, path: str) -> Request:
    capture = settings.capture
    params: dict[str, Any] = {
        "workspace": str(workspace),
        "head": settings.head,
        "idle_s": settings.delivery()["idle_s"],
        "audio": bpy.path.abspath(capture.audio) or None,
        **capture.fitting(),
    }
    if is_video(path):
        return Request("capture.video", {"video": path, **params})
    own = {"fps": capture.own_fps, "head_joint": capture.head_joint or None}
    return Request("capture.import", {"file": path, **own, **params})


def _in_words(name: str, asked: Sequence[str], taken: dict[str, Any]) -> list[str]:
    """Sentences on what was taken of the capture, and what was not there."""
    lacking = [part for part in asked if part not in taken["taken"]]
    shown, others = taken["missing"][:_MAX_NAMES], len(taken["missing"]) - _MAX_NAMES
    more = f" and {others} more" if others > 0 else ""
    return [
        f"{taken['duration_s']:.1f} s of {name} move {_and(taken['taken'])}: {taken['frames']} frames are keyed.",
        f"It does not move {_and(lacking)}: that is the footage's." if lacking else "",
        f"At rest, as it lacks them: {', '.join(shown)}{more}." if shown else "",
        "" if taken["audio"] else "It has no audio: choose one in the panel Face Data.",
    ]


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
