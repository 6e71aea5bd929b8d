"""What the artist chooses, saved with the .blend; what runs now is in `jobs` and is not saved.

`scene.synctalk` is the one `SyncTalkSettings` of a scene.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import bpy

from ..backend.protocol import AUTO, FIELD, GAUSSIANS
from . import workspace_state
from .capture_settings import PATH, CaptureSettings
from .scene import paths, rig

_AUDIO_DELAYS = (
    ("MEASURE", "Measure", "Measure the audio delay and report it, but do not correct it"),
    ("AUTO", "Correct", "Measure the audio delay and correct it"),
    ("GIVEN", "Manual", "Correct the audio by the delay set below"),
)
_PRESETS = (
    ("preview", "Preview", "A usable head in two to eight minutes, also without a GPU"),
    ("standard", "Standard", "Sharper, at the footage's full resolution; half an hour, also without a GPU"),
    ("paper", "Paper", "The settings of the SyncTalk paper, for comparison; hours"),
)

_KINDS = (
    (AUTO, "Automatic", "Gaussians where the head has them, unless they were measured to be worse than the field"),
    (GAUSSIANS, "Gaussians", "Sharper, and fast enough to scrub through: the head as thousands of soft, coloured dots"),
    (
        FIELD,
        "Field",
        "The head as it is trained first: softer and slower, but steadier beyond the clip's own views and expressions",
    ),
)

_LIVE_SOURCES = (
    ("osc", "OSC / VMC", "Apps that send the VMC protocol with Perfect Sync, or ARKit's names over OSC"),
    ("livelink", "Live Link Face", "The app Live Link Face on an iPhone or iPad"),
    ("webcam", "Webcam", "Your own face before a camera of this computer"),
    ("microphone", "Microphone", "Your voice: the mouth speaks what you say, a sixth of a second later"),
)


def default_workspace(video: str) -> str:
    """The workspace beside the clip: `anna.mp4` gives `anna.synctalk`."""
    path = Path(bpy.path.abspath(video))
    return str(path.with_name(f"{path.stem}.synctalk"))


def _video_chosen(settings: SyncTalkSettings, _context: bpy.types.Context) -> None:
    if settings.video and not settings.workspace and not paths.is_rewriting:
        settings.workspace = paths.stored(default_workspace(settings.video))


def _scene_of(settings: SyncTalkSettings) -> bpy.types.Scene:
    return cast(bpy.types.Scene, settings.id_data)


def _workspace_chosen(settings: SyncTalkSettings, _context: bpy.types.Context) -> None:
    """Render the head of the workspace from where its files are now, if the scene holds it."""
    scene, root = _scene_of(settings), settings.workspace_path
    if root is None or paths.is_rewriting:
        return
    found = rig.find_rig(scene, root, workspace_state.workspace_state(root).id)
    if found is not None:
        rig.use_workspace(scene, found, root)


def _head_chosen(settings: SyncTalkSettings, _context: bpy.types.Context) -> None:
    """Draw the other head, in the poses that it was fitted with."""
    from .work.follow import follow_head

    follow_head(_scene_of(settings))


def _taken_chosen(settings: SyncTalkSettings, _context: bpy.types.Context) -> None:
    from . import views

    views.redraw_rendered()


def _label_switched(settings: SyncTalkSettings, _context: bpy.types.Context) -> None:
    from .scene import label

    label.show_label(_scene_of(settings), settings.visible_label)


_head_items: list[tuple[str, str, str, int]] = []  # Blender keeps no reference to an enum's strings


def _rigs(settings: SyncTalkSettings) -> list[rig.Rig]:
    return sorted(rig.rigs_of(_scene_of(settings)), key=lambda item: item.collection.name)


def _heads(settings: SyncTalkSettings, _context: bpy.types.Context | None) -> list[tuple[str, str, str, int]]:
    _head_items[:] = [
        (item.collection.name, item.name, f"Render and edit “{item.name}”, from {item.workspace}", index)
        for index, item in enumerate(_rigs(settings))
    ]
    return _head_items


def _get_head(settings: SyncTalkSettings) -> int:
    active = rig.find_rig(_scene_of(settings))
    return [item.collection for item in _rigs(settings)].index(active.collection) if active is not None else 0


def _set_head(settings: SyncTalkSettings, index: int) -> None:
    found = _rigs(settings)
    if 0 <= index < len(found):
        rig.set_active(_scene_of(settings), found[index])
        settings.workspace = paths.stored(found[index].workspace)


def _milliseconds(
    name: str, description: str, *, soft: tuple[float, float], hard: tuple[float, float], step: int
) -> Any:
    return bpy.props.FloatProperty(
        name=name,
        description=description,
        soft_min=soft[0],
        soft_max=soft[1],
        min=hard[0],
        max=hard[1],
        step=step,
        precision=0,
    )


class Delivery:
    """How speech moves the mouth: the options of the backend's `speak`, by their names."""

    strength: bpy.props.FloatProperty(
        name="Strength",
        description="How far the mouth moves: 0 is still, below 1 mumbles, above 1 exaggerates",
        default=1.0,
        min=0.0,
        soft_max=2.0,
        max=4.0,
        step=5,
        precision=2,
    )
    smoothing_ms: _milliseconds(
        name="Smoothing (ms)",
        description="Smooths jittery mouth movement. High values make the speech mumbled",
        soft=(0.0, 200.0),
        hard=(0.0, 1000.0),
        step=500,
    )
    offset_ms: _milliseconds(
        name="Offset (ms)",
        description="Shifts the mouth against the audio; above zero the mouth moves earlier",
        soft=(-200.0, 200.0),
        hard=(-2000.0, 2000.0),
        step=1000,
    )
    close_in_silence: bpy.props.BoolProperty(
        name="Close in Silence",
        description="Close the mouth in pauses instead of leaving it in this person's resting pose",
        default=False,
    )
    idle_s: bpy.props.FloatVectorProperty(
        name="Idle Part (s)",
        description="The part of the clip that the head stays in, from and to in seconds: footage that shows no gesture. Twice 0 "
        "uses all of the clip",
        size=2,
        default=(0.0, 0.0),
        min=0.0,
        step=10,
        precision=2,
    )


class SyncTalkSettings(Delivery, bpy.types.PropertyGroup):
    """Settings of one subject in one scene."""

    # Subject
    video: bpy.props.StringProperty(
        name="Video",
        description="The clip of one person speaking. Best: one to five minutes, a fixed camera, even light",
        subtype="FILE_PATH",
        update=_video_chosen,
        **PATH,
    )
    workspace: bpy.props.StringProperty(
        name="Workspace",
        description="The folder for everything made from this clip; by default beside the clip",
        subtype="DIR_PATH",
        update=_workspace_chosen,
        **PATH,
    )
    active_head: bpy.props.EnumProperty(
        name="Active Head",
        description="Which of this scene's heads is rendered and edited",
        items=_heads,
        get=_get_head,
        set=_set_head,
    )
    consent_given: bpy.props.BoolProperty(
        name="I have this person's permission to make a synthetic likeness",
        description="A head can only be trained with the permission of the person shown; it is recorded in the workspace",
        default=False,
    )
    consent_by: bpy.props.StringProperty(
        name="Given By",
        description="Name of the person who gave the permission, or of their representative",
    )

    # Track
    audio_delay: bpy.props.EnumProperty(
        name="Audio Delay",
        description="What to do when the clip's audio is delayed against its video",
        items=_AUDIO_DELAYS,
        default="AUTO",
    )
    audio_delay_ms: _milliseconds(
        name="Delay",
        description="How late the clip's audio is, in milliseconds; negative when it is early",
        soft=(-500.0, 500.0),
        hard=(-5000.0, 5000.0),
        step=100,
    )

    # Train
    preset: bpy.props.EnumProperty(
        name="Quality", description="Quality of the head, and how long its training takes", items=_PRESETS
    )
    use_time_limit: bpy.props.BoolProperty(
        name="Stop After",
        description="Stop training after this time; it can be continued at any time",
        default=False,
    )
    minutes: bpy.props.FloatProperty(
        name="Minutes",
        description="Duration of this training, in minutes",
        default=10.0,
        min=0.1,
        soft_max=120.0,
        max=100000.0,
        precision=1,
    )

    # Speak
    speech: bpy.props.StringProperty(
        name="Speech",
        description="The audio file that the head speaks: WAV, MP3, FLAC, or a video",
        subtype="FILE_PATH",
        **PATH,
    )
    capture: bpy.props.PointerProperty(type=CaptureSettings)
    # Live
    live_source: bpy.props.EnumProperty(
        name="Source", description="Where the live face comes from", items=_LIVE_SOURCES
    )
    live_port: bpy.props.IntProperty(
        name="Port",
        description="The UDP port that the sender sends to. 0: the usual one, 39539 for OSC and 11111 for Live Link Face",
        default=0,
        min=0,
        max=65535,
    )
    live_camera: bpy.props.IntProperty(
        name="Camera", description="The system's number of the webcam, beginning with 0", default=0, min=0, max=99
    )
    live_network: bpy.props.BoolProperty(
        name="From the Network",
        description="Listen to phones and other computers of the network; without it, to this computer alone",
        default=False,
    )
    # Composite
    head: bpy.props.EnumProperty(
        name="Head",
        description="What the head is drawn with, in the viewport, in renders and when baked",
        items=_KINDS,
        update=_head_chosen,
    )
    neck_follows: bpy.props.BoolProperty(
        name="Neck Follows",
        description="Neck, collar and hanging hair follow the head where it is turned or moved; else they stay as the footage "
        "has them",
        default=True,
        update=_taken_chosen,
    )
    footage_hair: bpy.props.BoolProperty(
        name="Footage's Hair",
        description="The head has the footage's own hair, strand by strand, turned with it by up to 14°; turned further away, "
        "and without this everywhere, it has the trained hair",
        default=True,
        update=_taken_chosen,
    )
    visible_label: bpy.props.BoolProperty(
        name="AI Label",
        description="Draw the mark “AI” into the upper right corner of what the composite renders, so that each viewer sees that it "
        "is generated",
        default=False,
        update=_label_switched,
    )
    verify_file: bpy.props.StringProperty(
        name="File",
        description="A video, an image or an audio file: was it made with SyncTalk, and was it changed since?",
        subtype="FILE_PATH",
        **PATH,
    )
    bake_folder: bpy.props.StringProperty(
        name="Bake Folder",
        description="The folder for the baked frames; when empty, one in the workspace",
        subtype="DIR_PATH",
        **PATH,
    )

    @property
    def workspace_path(self) -> Path | None:
        """The workspace as an absolute path; None when none is chosen."""
        return paths.resolved(self.workspace) if self.workspace else None

    def set_delivery(self, **options: float | bool | tuple[float, float]) -> None:
        """Set these options, and the others to their defaults.

        Raises:
            TypeError: an unknown option.
        """
        unknown = options.keys() - Delivery.__annotations__
        if unknown:
            raise TypeError(f"unknown options of speech: {', '.join(sorted(unknown))}")
        for name in Delivery.__annotations__:
            self.property_unset(name)
        for name, value in options.items():
            setattr(self, name, value)

    def live_source_params(self) -> dict[str, Any]:
        """The source of a live face, as the request `live.start` takes it."""
        params: dict[str, Any] = {"source": self.live_source, "camera": self.live_camera}
        if self.live_source_is_sent:
            params["host"] = "0.0.0.0" if self.live_network else "127.0.0.1"
        return params | ({"port": self.live_port} if self.live_port else {})

    @property
    def live_source_is_sent(self) -> bool:
        """Whether the live face comes over UDP."""
        return self.live_source in ("osc", "livelink")

    def delivery(self) -> dict[str, float | bool | list[float]]:
        """The options by name, as a request takes them."""
        values = {name: getattr(self, name) for name in Delivery.__annotations__}
        # Blender holds single precision: 4.6 s would be asked for as 4.599999904632568.
        return values | {"idle_s": [round(at_s, 3) for at_s in self.idle_s]}


def settings_of(scene: bpy.types.Scene) -> SyncTalkSettings:
    """What the artist has chosen in `scene`."""
    return cast(Any, scene).synctalk


def register() -> None:
    bpy.utils.register_class(CaptureSettings)
    bpy.utils.register_class(SyncTalkSettings)
    cast(Any, bpy.types.Scene).synctalk = bpy.props.PointerProperty(type=SyncTalkSettings)


def unregister() -> None:
    del cast(Any, bpy.types.Scene).synctalk
    bpy.utils.unregister_class(SyncTalkSettings)
    bpy.utils.unregister_class(CaptureSettings)
