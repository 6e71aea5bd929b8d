"""The console API: every step from a script, by the same jobs that the buttons start.

    from bl_ext.user_default.synctalk.synctalk_blender import api

    api.process("anna.mp4", "anna.synctalk", consent_by="Anna Example")
    api.train(minutes=10)
    api.speak("line.wav")
    api.composite()
    api.render_animation("anna.mp4")

Each call returns when its work is done, also in background mode; `progress` is called many times a second with the `Job`
(`title`, `text`, `fraction`, `eta_s`), and without it lines are printed. Each call works on the given scene, else on the
current one. Errors are one sentence, `BackendError` or `SceneError`; their `kind` names the cause: `scene`, `workspace`,
`media` and those of docs/protocol.md and docs/blender.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from . import jobs, workspace_state
from .client.errors import BackendError
from .client.shared import close_shared_backend, shared_backend
from .job import Job
from .properties import settings_of
from .scene import objects, output, rig
from .scene.errors import SceneError, SyncTalkError
from .verification import Verification
from .work import track
from .work.capture import capture_job
from .work.common import workspace_of
from .work.composite import bake_job, composite_job, mattes_job
from .work.export import export_job
from .work.sign import sign_job
from .work.speak import speak_job
from .work.train import measure_job, train_job
from .work.verify import verify_job

Progress = Callable[[Job], None]

_registered_here = False


def connect(*, timeout_s: float = 180.0) -> dict[str, Any]:
    """Start the backend if it is not running, and register the add-on's classes if needed.

    Returns:
        The backend's `hello` and `device`: its version, Python's, torch's, the device (docs/protocol.md).

    Raises:
        BackendError: the backend is not installed or does not start.
    """
    _ensure_registered()
    backend = shared_backend()
    device = backend.request("device", timeout_s=timeout_s)
    return {**(backend.hello or {}), **device}


def close() -> None:
    """End the backend, and unregister what `connect` registered: call it last in a script of the `bpy` module."""
    global _registered_here
    close_shared_backend()
    if _registered_here:
        from . import registration

        registration.unregister()
        _registered_here = False


def process(
    video: str | Path,
    workspace: str | Path,
    *,
    consent_by: str,
    audio_offset_ms: float | str | None = "auto",
    setup: bool | None = None,
    start_frame: int | None = None,
    scene: bpy.types.Scene | None = None,
    progress: Progress | None = None,
) -> rig.Rig:
    """Track the video into the workspace, resuming where it was stopped, and put the result into the scene.

    Args:
        consent_by: who gave the permission to make a synthetic likeness of the person shown; empty if nobody did; then
            no head can be trained.
        audio_offset_ms: how late the clip's audio is: `auto` corrects the measured delay, None only reports it.
        setup: give the scene the clip's resolution, rate, range, colours and camera (True), or keep the scene's (False);
            when absent, only a new scene is set up. Changes are printed.
        start_frame: the scene frame of the clip's first frame; when absent 1, or the first frame of a scene that is kept.
    """
    scene = _scene(scene)
    settings = settings_of(scene)
    settings.video, settings.workspace = _absolute(video), _absolute(workspace)
    settings.consent_given, settings.consent_by = bool(consent_by.strip()), consent_by
    if audio_offset_ms is None or isinstance(audio_offset_ms, str):
        settings.audio_delay = "MEASURE" if audio_offset_ms is None else audio_offset_ms.upper()
    else:
        settings.audio_delay, settings.audio_delay_ms = "GIVEN", audio_offset_ms
    _print(jobs.run(track.process_job(scene, setup=setup, start_frame=start_frame), progress))
    return rig.require_rig(scene)


def import_tracking(
    workspace: str | Path,
    *,
    setup: bool | None = None,
    start_frame: int | None = None,
    scene: bpy.types.Scene | None = None,
) -> rig.Rig:
    """Put the camera, head, face mesh, keyframes and audio of a tracked workspace into the scene.

    Args:
        setup, start_frame: as `process` has them.

    Raises:
        SceneError: the rig is linked from another file; or, of kind `workspace`, the workspace is not tracked or damaged.
    """
    scene = _scene(scene)
    settings_of(scene).workspace = _absolute(workspace)
    try:
        found, text = track.import_tracking(scene, setup=setup, start_frame=start_frame)
    except SyncTalkError as error:
        raise SceneError(str(error), error.kind) from error
    _print(text)
    return found


def train(
    *,
    preset: str = "preview",
    minutes: float | None = None,
    scene: bpy.types.Scene | None = None,
    progress: Progress | None = None,
) -> workspace_state.WorkspaceState:
    """Train the head of the scene's workspace, or train it further; returns what the workspace then holds."""
    scene = _scene(scene)
    settings = settings_of(scene)
    settings.preset = preset
    settings.use_time_limit = minutes is not None
    if minutes is not None:
        settings.minutes = minutes
    jobs.run(train_job(scene), progress)
    return state(scene=scene)


def measure(
    *, scene: bpy.types.Scene | None = None, progress: Progress | None = None
) -> workspace_state.Readiness | None:
    """Measure whether mouth and eyes of the scene's trained head move, as `train` does at its end; see `state`."""
    scene = _scene(scene)
    jobs.run(measure_job(scene), progress)
    return state(scene=scene).readiness


def speak(
    audio: str | Path,
    *,
    scene: bpy.types.Scene | None = None,
    progress: Progress | None = None,
    **delivery: float | bool | tuple[float, float],
) -> rig.Rig:
    """Turn audio into keyframes on the scene's head and a strip in the sequencer; the artist's own edits stay.

    Args:
        delivery: how the mouth moves, by the names of `properties.Delivery`; its defaults where absent.

    Raises:
        TypeError: a name that is not in `properties.Delivery`.
    """
    scene = _scene(scene)
    settings = settings_of(scene)
    settings.speech = _absolute(audio)
    settings.set_delivery(**delivery)
    _print(jobs.run(speak_job(scene), progress))
    return rig.require_rig(scene)


def import_capture(
    path: str | Path,
    *,
    audio: str | Path | None = None,
    fps: float | None = None,
    head_joint: str = "",
    scene: bpy.types.Scene | None = None,
    progress: Progress | None = None,
    **fitting: Any,
) -> rig.Rig:
    """Let a capture move the scene's head, as speech does: keyframes, and its audio as a strip in the sequencer.

    Args:
        path: face data as docs/capture.md lists it, the folder of a Live Link Face take, or a video of another person.
        audio: in place of the one that the capture names or that lies beside it.
        fps: samples a second, in place of what the file states.
        head_joint: in BVH and USD; the one named `head` when empty.
        fitting: `take`, a sequence of `mouth`, `brows`, `eyes`, `head` (the first three), `strength` (1), `gains`, a dict of factors by
            these names, and `as_is` (False); their defaults where absent.

    Raises:
        BackendError: its sentence says why, and what to do.
        TypeError, ValueError: a `fitting` of another name, or of another part.
    """
    scene = _scene(scene)
    chosen = settings_of(scene).capture
    chosen.set_fitting(**fitting)
    chosen.file, chosen.audio = _absolute(path), _absolute(audio) if audio else ""
    chosen.sets_fps, chosen.head_joint = fps is not None, head_joint
    if fps is not None:
        chosen.fps = fps
    _print(jobs.run(capture_job(scene), progress))
    return rig.require_rig(scene)


def composite(*, scene: bpy.types.Scene | None = None, progress: Progress | None = None) -> None:
    """Render with the engine “SyncTalk”, and composite the head over the footage."""
    jobs.run(composite_job(_scene(scene)), progress)


def composite_objects(*, scene: bpy.types.Scene | None = None) -> bpy.types.Scene:
    """Composite the scene's own objects with the head, before it and behind it.

    Returns:
        The scene that renders them, with Cycles: its samples and engine are yours to set.

    Raises:
        SceneError: there is no composite of the head, or its head is baked.
    """
    scene = _scene(scene)
    return objects.show_objects(scene, rig.require_rig(scene))


def bake(
    folder: str | Path | None = None, *, scene: bpy.types.Scene | None = None, progress: Progress | None = None
) -> Path:
    """Render the head of every frame, with all edits of the rig, to files, and composite from these.

    Args:
        folder: for the frames `000000.png` … and `directions.npz`; a folder in the workspace when absent.
    """
    scene = _scene(scene)
    found = rig.require_rig(scene)
    path = Path(_absolute(folder)) if folder else found.workspace / "renders" / "baked"
    jobs.run(bake_job(scene, path), progress)
    return path


def mattes(*, scene: bpy.types.Scene | None = None, progress: Progress | None = None) -> Path:
    """Write the footage's mattes, a folder a part; the composite, where there is one, gets a node that has them.

    Returns:
        The folder of these folders.
    """
    scene = _scene(scene)
    jobs.run(mattes_job(scene), progress)
    return workspace_of(settings_of(scene)) / "exports" / "mattes"


def export_face(
    path: str | Path,
    *,
    frames: tuple[int, int] | None = None,
    audio: bool = True,
    scene: bpy.types.Scene | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the face mesh with its 52 shapes, their motion, the head and the camera for other programs, by Blender's exporters.

    Args:
        path: ends in `.glb`, `.usda` or `.fbx`.
        frames: first and last frame; when absent the scene's. The first is at time 0 in the file.
        audio: write the take's audio of these frames beside it, as a WAV.

    Raises:
        BackendError: its sentence says why; of kind `consent` where the permission of the person shown is not recorded.
    """
    scene = _scene(scene)
    place = Path(_absolute(path))
    jobs.run(export_job(scene, place, frames or (scene.frame_start, scene.frame_end), with_audio=audio), progress)
    return place


def render_animation(
    out: str | Path,
    *,
    frames: tuple[int, int] | None = None,
    scene: bpy.types.Scene | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render the scene and its compositor with Blender. The scene's output settings stay as they are.

    Args:
        out: a video with the scene's audio when it ends in `.mp4`, else a folder for PNG frames.
        frames: first and last frame, which become the scene's; when absent the scene's.
        progress: called with (frames done, frames in all) after each.

    Raises:
        SceneError: a frame could not be rendered, and why.
    """
    scene = _scene(scene)
    path = Path(_absolute(out))
    if frames is not None:
        scene.frame_start, scene.frame_end = frames
    total = scene.frame_end - scene.frame_start + 1

    def rendered(current: bpy.types.Scene, *_arguments: object) -> None:
        if progress is not None:
            progress(current.frame_current - scene.frame_start + 1, total)

    bpy.app.handlers.render_post.append(rendered)
    try:
        with output.kept(scene), bpy.context.temp_override(scene=scene):
            if path.suffix.lower() == ".mp4":
                path.parent.mkdir(parents=True, exist_ok=True)
                output.set_video(scene, path)
            else:
                output.set_images(scene, path)
            bpy.ops.render.render(animation=True)
    except RuntimeError as error:  # how Blender raises what the engine reported
        raise SceneError(str(error).removeprefix("Error: ").strip()) from error
    finally:
        bpy.app.handlers.render_post.remove(rendered)
    return path


def verify(path: str | Path, *, scene: bpy.types.Scene | None = None, progress: Progress | None = None) -> Verification:
    """Whether a file was made with SyncTalk, from the scene's subject, and is unchanged: signature, watermark and note in words."""
    _print(jobs.run(verify_job(_scene(scene), Path(_absolute(path))), progress))
    found = jobs.runtime.verified
    assert found is not None
    return found


def sign(
    path: str | Path,
    alone: bool = False,
    *,
    scene: bpy.types.Scene | None = None,
    progress: Progress | None = None,
) -> None:
    """Sign a file, or the images of a folder, that Blender rendered with the scene's subject.

    Args:
        alone: it shows none of the clip's own pixels.
    """
    _print(jobs.run(sign_job(_scene(scene), Path(_absolute(path)), alone), progress))


def state(*, scene: bpy.types.Scene | None = None) -> workspace_state.WorkspaceState:
    """What the scene's workspace holds: stages done, consent, training."""
    return workspace_state.workspace_state(settings_of(_scene(scene)).workspace_path)


def _scene(scene: bpy.types.Scene | None) -> bpy.types.Scene:
    _ensure_registered()
    return scene or bpy.context.scene


def _ensure_registered() -> None:
    global _registered_here
    if not hasattr(bpy.types.Scene, "synctalk"):
        from . import registration

        registration.register()
        _registered_here = True


def _print(text: str) -> None:
    if text:
        print(f"SyncTalk: {text}", flush=True)


def _absolute(path: str | Path) -> str:
    return str(Path(bpy.path.abspath(str(path))).expanduser().absolute())


__all__ = [
    "BackendError",
    "SceneError",
    "bake",
    "close",
    "composite",
    "composite_objects",
    "connect",
    "export_face",
    "import_capture",
    "import_tracking",
    "mattes",
    "measure",
    "process",
    "render_animation",
    "sign",
    "speak",
    "state",
    "train",
    "verify",
]
