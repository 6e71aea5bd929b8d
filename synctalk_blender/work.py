"""The steps themselves: each is a job (see `jobs`) that asks the backend and puts what it made into the scene.

Buttons `jobs.start` them, background mode and scripts `jobs.run` them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..backend import protocol
from . import EXTENSION_ID, preferences, workspace_state
from .backend_process import BackendError, close_shared_backend
from .engine import SyncTalkRenderEngine
from .install_job import InstallTask
from .jobs import Job, Request, Work, runtime
from .properties import SyncTalkSettings
from .scene import compositor, importer, rig
from .scene.subject import read_animation, read_face_mesh, read_head_points, read_subject, read_tracking
from .steps import Step

PROCESS_STAGES = {
    "media": ("Reading the video", 2.0),
    "landmarks": ("Finding the face", 4.0),
    "head_sync": ("Following the head", 3.0),
    "face_sync": ("Reading the expression", 1.0),
    "portrait_sync": ("Cutting out the portrait", 4.0),
}
"""Words for the stages of `process` and their rough shares of its time."""


TRAIN_STAGES = {"carving the hull": ("Carving the hull", 1.0), "training": ("Training", 40.0)}


# -- Backend ----------------------------------------------------------------------------------------------------


def install_backend() -> Job:
    """Download and install the backend's packages into the user's folder, then start it."""

    def work() -> Work:
        require_online("Installing the backend")
        close_shared_backend()  # on Windows the files of a running program cannot be replaced
        root = Path(bpy.utils.extension_path_user(EXTENSION_ID, create=True))
        yield InstallTask(root, preferences.preferences().device)
        return (yield from _greet())

    return Job(Step.BACKEND, "Installing the backend", work())


def start_backend() -> Job:
    """Start the backend, or start it anew."""

    def work() -> Work:
        close_shared_backend()
        return (yield from _greet())

    return Job(Step.BACKEND, "Starting the backend", work())


def fetch_model(name: str) -> Job:
    """Download one of the models that the backend can use."""

    def work() -> Work:
        require_online("Downloading a model")
        yield Request("models.fetch", {"name": name})
        runtime.models = yield Request("models.list")
        return f"The model {name} is here: the next tracking uses it."

    return Job(Step.BACKEND, f"Downloading {name}", work())


def _greet() -> Work:
    hello = yield Request("hello", {"protocol": protocol.VERSION, "client": f"Blender {bpy.app.version_string}"})
    runtime.models = yield Request("models.list")
    return f"SyncTalk {hello['backend']}, PyTorch {hello['torch']}, on {hello['device']}."


def require_online(what: str) -> None:
    """Raise unless Blender may go online.

    Raises:
        BackendError: of kind `offline`.
    """
    if not bpy.app.online_access:
        if bpy.app.online_access_override:
            raise BackendError(
                f"{what} needs the internet, and Blender was started with --offline-mode: start it without.", "offline"
            )
        raise BackendError(
            f"{what} needs the internet: allow it with “Allow Online Access” here, or in Preferences, System, Network.",
            "offline",
        )


# -- Track ------------------------------------------------------------------------------------------------------


def process(scene: bpy.types.Scene) -> Job:
    """Track the scene's video into its workspace, then send the result to the scene."""
    settings = scene.synctalk
    workspace = _workspace(settings)
    params = _process_params(settings, workspace)

    def work() -> Work:
        info = yield Request("process", params)
        _keep_warnings(info)
        yield from _footage(workspace)
        import_tracking(scene_of(workspace))
        return f"{info['frames']} frames ({info['frames'] / info['fps']:.1f} s) are tracked and in the scene."

    return Job(Step.TRACK, "Tracking", work(), PROCESS_STAGES)


def import_tracking(scene: bpy.types.Scene) -> rig.Rig:
    """Put the tracked camera, head, face mesh, head points, keyframes and sound of the scene's workspace into the scene.

    Raises:
        SceneError: the workspace is not tracked, or its files are damaged.
    """
    subject = read_subject(_workspace(scene.synctalk))
    is_first = rig.find_rig(scene, subject.root) is None
    found = importer.import_subject(
        scene, subject, read_face_mesh(subject), read_tracking(subject), read_head_points(subject)
    )
    found.collection.pop(rig.ANIMATION, None)
    if is_first:
        look_through_camera(scene)
    return found


# -- Train ------------------------------------------------------------------------------------------------------


def train(scene: bpy.types.Scene) -> Job:
    """Train the head of the scene's workspace, or train it further."""
    settings = scene.synctalk
    workspace = _workspace(settings)
    consent = _process_params(settings, workspace)
    params: dict[str, Any] = {"workspace": str(workspace), "preset": settings.preset}
    if settings.use_time_limit:
        params["minutes"] = settings.minutes

    def work() -> Work:
        if not workspace_state.workspace_state(workspace).consent_by:
            # Ticked after tracking: all stages are done, so this only records it.
            yield Request("process", consent)
        trained = yield Request("train", params)
        quality = "" if not trained["psnr"] else f", {trained['psnr']:.1f} dB on frames it has not seen"
        return f"{trained['step']} steps learnt{quality}."

    return Job(Step.TRAIN, "Training", work(), TRAIN_STAGES)


# -- Speak ------------------------------------------------------------------------------------------------------


def speak(scene: bpy.types.Scene) -> Job:
    """Turn the scene's speech into keyframes and a sound strip."""
    settings = scene.synctalk
    workspace = _workspace(settings)
    params = {
        "workspace": str(workspace),
        "audio": absolute(settings.speech),
        "strength": settings.strength,
        "smoothing_ms": settings.smoothing_ms,
        "offset_ms": settings.offset_ms,
        "close_in_silence": settings.close_in_silence,
    }

    def work() -> Work:
        spoken = yield Request("speak", params)
        import_animation(scene_of(workspace), spoken["animation"])
        return f"{spoken['duration_s']:.1f} s of speech: {spoken['frames']} frames are keyed."

    return Job(Step.SPEAK, "Speaking", work())


def import_animation(scene: bpy.types.Scene, path: str | Path) -> None:
    """Replace the head's imported keyframes and sound by those of an `animation.npz`.

    Raises:
        SceneError: the scene holds no head, or the file is damaged.
    """
    found = rig.require_rig(scene)
    subject = read_subject(found.workspace)
    importer.import_animation(scene, found, subject, read_animation(path))
    found.collection[rig.ANIMATION] = str(path)


# -- Composite --------------------------------------------------------------------------------------------------


def composite(scene: bpy.types.Scene) -> Job:
    """Render the head with the engine “SyncTalk” and lay it over the footage with compositor nodes."""
    workspace = _workspace(scene.synctalk)

    def work() -> Work:
        yield from _footage(workspace)
        target = scene_of(workspace)
        target.render.engine = SyncTalkRenderEngine.bl_idname
        _compose(target, workspace, None)
        return "The composite is built: render a picture or the animation."

    return Job(Step.COMPOSITE, "Building the composite", work())


def bake_folder(scene: bpy.types.Scene) -> Path:
    """Where baked frames of the scene go: the folder chosen, else one in the workspace."""
    chosen = scene.synctalk.bake_folder
    return Path(absolute(chosen)) if chosen else _workspace(scene.synctalk) / "renders" / "baked"


def _footage(workspace: Path) -> Work:
    """Have the whole source pictures written, unless the working frames are these."""
    if read_subject(workspace).footage is None:
        yield Request("footage", {"workspace": str(workspace)})
    return ""


def _compose(scene: bpy.types.Scene, workspace: Path, frames: Path | None) -> None:
    found = rig.find_rig(scene, workspace)
    if found is None:
        raise BackendError("The head is no longer in the scene: press Send to Scene in the Track panel.", "scene")
    subject = read_subject(workspace)
    animation = read_animation(found.animation) if found.animation else read_tracking(subject)
    compositor.compose(scene, found, subject, animation.plate_frame, frames=frames)


def look_through_camera(scene: bpy.types.Scene) -> None:
    """Let the 3D views of `scene` show what the tracked camera sees, the footage behind the head."""
    for window in bpy.context.window_manager.windows:
        if window.scene == scene:
            for area in window.screen.areas:
                if area.type == "VIEW_3D":
                    area.spaces.active.region_3d.view_perspective = "CAMERA"


# -- common -----------------------------------------------------------------------------------------------------


def scene_of(workspace: Path) -> bpy.types.Scene:
    """The scene that works on `workspace`: the current one if it does, for another file may have been opened meanwhile.

    Raises:
        BackendError: of kind `scene`, when no scene of this file does.
    """
    scenes = [bpy.context.scene, *bpy.data.scenes]
    for scene in scenes:
        if scene.synctalk.workspace_path == workspace:
            return scene
    raise BackendError(
        f"Finished, but no scene of this file works on {workspace.name}: choose that workspace, then Send to Scene.",
        "scene",
    )


def absolute(path: str) -> str:
    """A path as the backend needs it: Blender's `//` is relative to the .blend."""
    return bpy.path.abspath(path)


def _workspace(settings: SyncTalkSettings) -> Path:
    if settings.workspace_path is None:
        raise BackendError(
            "No workspace is chosen: choose a video, or a workspace folder, in the Subject panel.", "scene"
        )
    return settings.workspace_path


def _process_params(settings: SyncTalkSettings, workspace: Path) -> dict[str, Any]:
    state = workspace_state.workspace_state(workspace)
    given = settings.consent_given and bool(settings.consent_by.strip())
    consent = {"given": given, "by": settings.consent_by.strip()}
    if not given and state.consent_by:
        consent = {
            "given": True,
            "by": state.consent_by,
        }  # recorded before; opening the workspace in a new file keeps it
    params = {"video": absolute(settings.video) or state.source, "workspace": str(workspace), "consent": consent}
    by_hand = settings.audio_delay == "GIVEN"
    params["audio_offset_ms"] = settings.audio_delay_ms if by_hand else settings.audio_delay.lower()
    return params


def _keep_warnings(info: dict[str, Any]) -> None:
    job = runtime.job
    if job is not None:
        job.warnings += [text for text in map(str, info["warnings"]) if text not in job.warnings]
