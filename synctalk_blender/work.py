"""The steps themselves: each is a job (see `jobs`) that asks the backend and puts what it made into the scene.

Buttons `jobs.start` them, background mode and scripts `jobs.run` them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from ..backend import protocol
from ..install import backend_environment
from . import baking, preferences, workspace_state
from .client.errors import BackendError
from .client.shared import close_shared_backend
from .engine import SyncTalkRenderEngine
from .install_job import InstallTask
from .jobs import Job, Request, Work, runtime
from .properties import SyncTalkSettings
from .scene import importer, paths, rig, scene_setup, shapes
from .scene.errors import SceneError
from .scene.subject import Subject, read_animation, read_face_mesh, read_head_points, read_subject, read_tracking
from .steps import Step

PROCESS_STAGES = {
    "media": "Reading the video",
    "landmarks": "Finding the face",
    "head_sync": "Following the head",
    "face_sync": "Reading the expression",
    "portrait_sync": "Cutting out the portrait",
    "footage": "Writing the footage",
}
"""Words for the stages of `process`."""


TRAIN_STAGES = {
    "preparing the kernels": "Preparing (once on a computer: half a minute)",
    "measuring mouth and eyes": "Measuring mouth and eyes",
}
"""Words for stages of `train` whose names are not for people."""


# -- Backend ----------------------------------------------------------------------------------------------------


def install_backend() -> Job:
    """Download and install the backend's packages into the user's folder, then start it."""

    def work() -> Work:
        root, device = preferences.environment_root(), preferences.preferences().device
        if backend_environment.needs_network(root, device):
            require_online("Installing the backend")
        close_shared_backend()  # on Windows the files of a running program cannot be replaced
        task = InstallTask(root, device, former=preferences.former_root())
        yield task
        greeting = yield from _greet()
        deleted = f" What an earlier version left unfinished in {task.removed} was deleted." if task.removed else ""
        return f"{greeting} It is in {root / backend_environment.NAME}.{deleted}"

    return Job(Step.BACKEND, "Installing the backend", work())


def remove_backend() -> Job:
    """End the backend and delete the environment that “Install” made."""

    def work() -> Work:
        close_shared_backend()
        root = preferences.environment_root()

        def remove(root: Path, _device: str, **_watchers: object) -> Path:
            backend_environment.remove(root)
            return root

        yield InstallTask(root, "cpu", remove)
        runtime.models = None
        return f"The backend in {root / backend_environment.NAME} was deleted."

    return Job(Step.BACKEND, "Removing the backend", work())


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


def process(scene: bpy.types.Scene, *, setup: bool | None = None, start_frame: int | None = None) -> Job:
    """Track the scene's video into its workspace, then send the result to the scene (see `import_tracking`)."""
    settings = scene.synctalk
    workspace = _workspace(settings)
    params = _process_params(settings, workspace)

    def work() -> Work:
        info = yield Request("process", {**params, "footage": True})
        _keep_warnings(info)
        yield from _footage(workspace)
        told = send_to_scene(scene_of(workspace), setup=setup, start_frame=start_frame)
        return f"{info['frames']} frames ({info['frames'] / info['fps']:.1f} s) are tracked and in the scene. {told}".strip()

    return Job(Step.TRACK, "Tracking", work(), PROCESS_STAGES)


def import_tracking(
    scene: bpy.types.Scene, *, setup: bool | None = None, start_frame: int | None = None
) -> tuple[rig.Rig, str]:
    """Put the tracked camera, head, face mesh, head points, keyframes and sound of the scene's workspace into the scene.

    Args:
        setup, start_frame: as `importer.import_subject` has them.

    Returns:
        The rig, and what was changed in the scene or left as it was, in words; empty where there is nothing to say.

    Raises:
        SceneError: the workspace is not tracked, its files are damaged, or the rig is linked from another file.
    """
    subject = read_subject(_workspace(scene.synctalk))
    before = scene_setup.settings(scene)
    there = rig.find_collection(scene, subject.root, subject.id)
    lost = [] if there is None else rig.missing_parts(scene, there)
    found = importer.import_subject(
        scene,
        subject,
        read_face_mesh(subject),
        read_tracking(subject),
        read_head_points(subject),
        setup=setup,
        start_frame=start_frame,
    )
    found.collection.pop(rig.ANIMATION, None)
    if there is None and scene.camera == found.camera:
        look_through_camera(scene)
    return found, _told(scene, found, before, lost)


def send_to_scene(scene: bpy.types.Scene, *, setup: bool | None = None, start_frame: int | None = None) -> str:
    """`import_tracking` for a panel: its sentence, which the Track panel shows from then on."""
    text = import_tracking(scene, setup=setup, start_frame=start_frame)[1]
    runtime.notes.pop(Step.TRACK, None)
    if text:
        runtime.notes[Step.TRACK] = text
    return text


def _told(scene: bpy.types.Scene, found: rig.Rig, before: dict[str, str], lost: list[str]) -> str:
    now = scene_setup.settings(scene)
    told = [f"Made again: {', '.join(f'“{getattr(found, role).name}”' for role in lost)}." if lost else ""]
    told.append(scene_setup.changes(before, now))
    if not found.collection.get(rig.SETS_SCENE, True):
        told.append(
            f"The scene keeps its size ({now['frame size']}), rate ({now['frame rate']}) and range; "
            f"the head begins at frame {found.collection[rig.START]}."
        )
    told.append(other_camera_in_words(scene, found))
    others = [item.name for item in rig.rigs_of(scene) if item != found]
    if others:
        told.append(f"“{found.name}” is the head that is rendered now, not “{others[0]}”.")
    return " ".join(text for text in told if text)


def other_camera_in_words(scene: bpy.types.Scene, found: rig.Rig) -> str:
    """One sentence where the scene looks through another camera than the head's own; empty where it does not."""
    if scene.camera is None or scene.camera == found.camera:
        return ""
    return f"The scene looks through “{scene.camera.name}”: “{found.camera.name}” is the camera that sees the footage."


def use_camera(scene: bpy.types.Scene) -> None:
    """Make the tracked camera of the scene's workspace its active one, and look through it."""
    found = require_rig_of(scene, read_subject(_workspace(scene.synctalk)))
    scene.camera = found.camera
    look_through_camera(scene)
    runtime.notes.pop(Step.TRACK, None)


# -- Train ------------------------------------------------------------------------------------------------------


def train(scene: bpy.types.Scene) -> Job:
    """Train the head of the scene's workspace, or train it further."""
    settings = scene.synctalk
    workspace = _workspace(settings)
    consent = _process_params(settings, workspace)
    params: dict[str, Any] = {"workspace": str(workspace), "preset": settings.preset, "further": True}
    if settings.use_time_limit:
        params["minutes"] = settings.minutes

    def work() -> Work:
        if not workspace_state.workspace_state(workspace).consent_by:
            # Ticked after tracking: all stages are done, so this only records it.
            yield Request("process", consent)
        trained = yield Request("train", params)
        _follow_training(workspace)
        return f"{trained['step']} steps learnt."

    return Job(Step.TRAIN, "Training", work(), TRAIN_STAGES)


def _follow_training(workspace: Path) -> None:
    """Take lens and poses as training has refined them: a head looks right only under those that it was trained with."""
    subject_id = workspace_state.workspace_state(workspace).id
    for scene in bpy.data.scenes:
        found = rig.find_rig(scene, workspace, subject_id) if scene.library is None else None
        if found is None:
            continue
        try:
            subject = read_subject(workspace)
            importer.import_animation(scene, found, subject, baking.animation_of(found, subject))
        except SceneError as error:  # the head is trained all the same
            _keep_warnings({"warnings": [str(error)]})


def measure(scene: bpy.types.Scene) -> Job:
    """Measure whether mouth and eyes of the scene's trained head move."""
    workspace = _workspace(scene.synctalk)

    def work() -> Work:
        yield Request("measure", {"workspace": str(workspace)})
        return "Mouth and eyes are measured."

    return Job(Step.TRAIN, "Measuring", work(), TRAIN_STAGES)


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
        lost = import_animation(scene_of(workspace), spoken["animation"], workspace=workspace)
        return f"{spoken['duration_s']:.1f} s of speech: {spoken['frames']} frames are keyed. {lost}".strip()

    return Job(Step.SPEAK, "Speaking", work())


def import_animation(scene: bpy.types.Scene, path: str | Path, *, workspace: Path | None = None) -> str:
    """Replace the head's imported keyframes and sound by those of an `animation.npz`.

    Args:
        workspace: whose head; that which is rendered when absent.

    Returns:
        One sentence on shapes that the face has lost; empty where it has all.

    Raises:
        SceneError: the scene holds no such head, the head is linked from another file, or the file is damaged.
    """
    found = rig.require_rig(scene) if workspace is None else require_rig_of(scene, read_subject(workspace))
    subject = read_subject(workspace or found.workspace)
    animation = read_animation(path)
    importer.import_animation(scene, found, subject, animation)
    found.collection[rig.ON_TRACK] = animation.is_on_track(read_tracking(subject))
    paths.keep_animation(found.collection, Path(path))
    return shapes.lost_in_words(found.face)


def require_rig_of(scene: bpy.types.Scene, subject: Subject) -> rig.Rig:
    """The rig of `subject`, from now on the one that is rendered.

    Raises:
        SceneError: the scene does not hold it.
    """
    found = rig.find_rig(scene, subject.root, subject.id)
    if found is None:
        raise BackendError("The head is no longer in the scene: press Send to Scene in the Track panel.", "scene")
    rig.use_workspace(scene, found, subject.root)
    return found


# -- Composite --------------------------------------------------------------------------------------------------


def composite(scene: bpy.types.Scene) -> Job:
    """Render the head with the engine “SyncTalk” and lay it over the footage with compositor nodes."""
    workspace = _workspace(scene.synctalk)

    def work() -> Work:
        yield from _footage(workspace)
        target = scene_of(workspace)
        target.render.engine = SyncTalkRenderEngine.bl_idname
        told = _compose(target, workspace)
        show_composite(target)
        return f"The composite is built: render a picture or the animation. {told}".strip()

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


def _compose(scene: bpy.types.Scene, workspace: Path) -> str:
    subject = read_subject(workspace)
    found = require_rig_of(scene, subject)
    baking.compose(scene, found, subject, baking.animation_of(found, subject))
    told = [other_camera_in_words(scene, found)]
    transform = scene.view_settings.view_transform
    if transform not in ("Standard", "Raw"):
        told.append(f"The view transform {transform} changes the footage's colours: “Standard” shows them as they are.")
    return " ".join(text for text in told if text)


def show_composite(scene: bpy.types.Scene) -> None:
    """Switch the 3D views that look through the camera to Rendered: the footage there is without its head now, which only
    the engine draws. Guides that would lie over the image are hidden; the control's ring stays.
    """
    for area in _views_of(scene):
        space = area.spaces.active
        if space.region_3d.view_perspective != "CAMERA":
            continue
        space.shading.type = "RENDERED"
        for guide in ("floor", "axis_x", "axis_y", "axis_z", "cursor", "relationship_lines", "object_origins"):
            setattr(space.overlay, f"show_{guide}", False)


def _views_of(scene: bpy.types.Scene) -> Iterator[bpy.types.Area]:
    for window in bpy.context.window_manager.windows:
        if window.scene == scene:
            yield from (area for area in window.screen.areas if area.type == "VIEW_3D")


def look_through_camera(scene: bpy.types.Scene) -> None:
    """Let the 3D views of `scene` show what the tracked camera sees, the footage behind the head."""
    for area in _views_of(scene):
        area.spaces.active.region_3d.view_perspective = "CAMERA"


# -- common -----------------------------------------------------------------------------------------------------


def scene_of(workspace: Path) -> bpy.types.Scene:
    """The scene that works on `workspace`: the current one if it does, for another file may have been opened meanwhile.

    Raises:
        BackendError: of kind `scene`, when no scene of this file does.
    """
    scenes = [bpy.context.scene, *bpy.data.scenes]
    for scene in scenes:
        root = scene.synctalk.workspace_path
        if root is not None and paths.same_place(root, workspace):
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
