"""A live face drives the head in the scene: `start`, `stop`, `record`, `keep`. One timer asks the backend and never waits.

The newest face is written onto the rig as plain values; nothing is keyed but by a recording, which becomes a take.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import jobs, views
from .client.errors import BackendError
from .client.pending import Pending
from .client.shared import shared_backend
from .facts import rig_of_workspace
from .job import Job, Request, Work
from .properties import settings_of
from .scene import rig
from .scene.errors import SyncTalkError
from .scene.live_rig import LiveRig
from .steps import Step
from .work.common import scene_of, workspace_of
from .work.speak import import_animation

_POLL_S, _IDLE_S = 0.004, 0.05
"""Between two looks at the answer, and between two questions while nothing comes."""
_PANEL_TICKS = 40


@dataclass
class _Runtime:
    """What runs now: of this Blender, not of the file."""

    workspace: Path | None = None
    """Whose head is driven; None while live is off."""
    place: str = ""
    """Where the source listens; empty until it does."""
    status: str = ""
    rate: float = 0.0
    delay_ms: float = 0.0
    """From the moment that a face shows until it was written onto the rig."""
    recorded_s: float | None = None
    note: str = ""
    """One sentence on what is wrong."""
    number: int = 0
    """Of the newest face."""


runtime = _Runtime()
_rig = LiveRig()
_pending: Pending | None = None
_face: dict[str, Any] | None = None
_ticks = 0


def is_on() -> bool:
    """Whether a live source runs, or is being started."""
    return runtime.workspace is not None


def is_recording() -> bool:
    """Whether faces are recorded."""
    return runtime.recorded_s is not None


def start(scene: bpy.types.Scene) -> None:
    """Let the source that is chosen drive the head of the scene's workspace; returns at once.

    Raises:
        BackendError: no workspace is chosen, or the backend cannot be started.
    """
    global _pending, _face
    stop()
    settings = settings_of(scene)
    workspace = workspace_of(settings)
    params = {"workspace": str(workspace), "head": settings.head, **settings.live_source_params()}
    _pending, _face = shared_backend().submit("live.start", params), None
    _clear()
    runtime.workspace = workspace
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=0.0, persistent=True)


def stop() -> None:
    """End live; the rig gets back what is keyed. A recording that runs is dropped."""
    if not is_on():
        return
    try:
        shared_backend(user_asked=False).submit("live.stop")
    except BackendError:
        pass  # it has ended, and the source with it
    _end()


def record() -> None:
    """Begin a recording.

    Raises:
        BackendError: live is off, or the backend has ended.
    """
    if not runtime.place:
        raise BackendError("No live source runs: press Start Live first.", "scene")
    shared_backend().submit("live.record")
    runtime.recorded_s = 0.0


def keep_job(scene: bpy.types.Scene) -> Job:
    """End recording and live; the take is keyed as speech is, and its raw capture stays in the workspace's `recordings`."""
    settings = settings_of(scene)
    workspace = workspace_of(settings)
    file = _free_name(workspace / "recordings")
    is_voice = settings.live_source == "microphone"  # it gives this person's own mouth, and no more
    params: dict[str, Any] = {"file": str(file), "workspace": str(workspace), "head": settings.head, "as_is": is_voice}
    params["take"] = ["mouth"] if is_voice else ["mouth", "brows", "eyes", "head"]

    def work() -> Work:
        kept = yield Request("live.keep", {"out": str(file)})
        stop()
        if not kept["file"]:
            return "Nothing came while recording: no take was made."
        taken = yield Request("capture.import", params)
        lost = import_animation(scene_of(workspace), taken["animation"], workspace=workspace)
        return f"{taken['duration_s']:.1f} s of a live face: {taken['frames']} frames are keyed. {lost}".strip()

    return Job(Step.SPEAK, "Keying the take", work())


def advance() -> float:
    """Take an answer that has come and ask again; returns after how many seconds to call this again. Never waits.

    Raises:
        BackendError: the source cannot be opened, or the backend has ended.
        SyncTalkError: the head is no longer in the scene.
    """
    global _pending, _face, _ticks
    assert runtime.workspace is not None
    _ticks += 1
    if _ticks % _PANEL_TICKS == 0:
        views.redraw_sidebars()
    if _pending is None:
        _pending = shared_backend(user_asked=False).submit("live.state", {"after": runtime.number})
        return _POLL_S
    if not _pending.poll() or _is_rig_read():
        return _POLL_S
    pending, _pending = _pending, None
    answer = pending.result(0.0)
    if pending.method == "live.start":
        runtime.place = answer["place"]
        return 0.0
    runtime.status, runtime.note = answer["status"], answer.get("note", "")
    runtime.rate = answer.get("rate", 0.0)
    if is_recording() and answer["recorded_s"] is not None:
        runtime.recorded_s = answer["recorded_s"]
    face = answer["face"]
    if face is not None:
        _face, runtime.number = face, face["number"]
        runtime.delay_ms = face["delay_ms"] + face["age_ms"]
        _write()
    return _POLL_S if runtime.status == "live" else _IDLE_S


def let_go() -> None:
    """The rig gets back what is keyed, as a job is to read it; the face returns with the next that comes after that."""
    if runtime.workspace is not None:
        _give_back(runtime.workspace)


def state_line() -> str:
    """What is known of the source, in a sentence or two; empty while live is off."""
    if not is_on():
        return ""
    if jobs.is_rig_read():
        return "Live waits: the head’s movement is being read."
    if not runtime.place:
        return "Starting…"
    if runtime.status == "live":
        line = f"Live: {runtime.rate:.0f} a second, delay {runtime.delay_ms:.0f} ms."
    elif runtime.status == "lost":
        line = ""
    else:
        line = f"Waiting for the sender: {runtime.place}."
    if is_recording():
        line = f"{line} Recorded {runtime.recorded_s:.0f} s.".strip()
    return f"{line} {runtime.note}".strip()


def register() -> None:
    bpy.app.handlers.frame_change_post.append(_frame_changed)
    bpy.app.handlers.load_pre.append(_file_closes)


def unregister() -> None:
    stop()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    bpy.app.handlers.load_pre.remove(_file_closes)
    bpy.app.handlers.frame_change_post.remove(_frame_changed)


def _tick() -> float | None:
    if not is_on():
        return None
    try:
        return advance()
    except (BackendError, SyncTalkError) as error:
        _end()
        jobs.runtime.errors[Step.SPEAK] = str(error)
        views.redraw_sidebars()
        return None


def _write() -> None:
    """The newest face onto the rig."""
    if _face is None or runtime.workspace is None:
        return
    found = _find_rig()
    if found is None:
        raise BackendError("The head is no longer in the scene: press Send to Scene in the Track panel.", "scene")
    _rig.write(found, _face["blendshapes"], _face["head_turn"])
    views.redraw_rendered()


def _find_rig() -> rig.Rig | None:
    assert runtime.workspace is not None
    return rig_of_workspace(scene_of(runtime.workspace))


def _is_rig_read() -> bool:
    """Whether a render or a job reads what a face would overwrite."""
    return bpy.app.is_job_running("RENDER") or jobs.is_rig_read()


def _end() -> None:
    workspace = runtime.workspace
    _clear()  # first, or the change of frame would write the face again
    assert workspace is not None
    _give_back(workspace)


def _give_back(workspace: Path) -> None:
    try:
        scene = scene_of(workspace)
        found = rig_of_workspace(scene)
        if found is not None:
            _rig.undo(scene, found)
    except (BackendError, SyncTalkError):
        pass  # the scene is gone, and with it what was to be given back


def _clear() -> None:
    runtime.__dict__.update(_Runtime().__dict__)


@persistent
def _frame_changed(scene: bpy.types.Scene, *_: object) -> None:
    """The keyed values of another frame are overwritten at once, or a playback would flicker between both."""
    del scene
    if is_on() and not _is_rig_read():
        try:
            _write()
        except (BackendError, SyncTalkError):
            pass  # the timer reports it


@persistent
def _file_closes(*_: object) -> None:
    stop()


def _free_name(folder: Path) -> Path:
    number = 1
    while (path := folder / f"live-{number:03d}.csv").exists():
        number += 1
    return path
