"""What the artist chooses, kept in the scene and saved with the .blend; what runs now is in `jobs` and is not saved.

`scene.synctalk` is the one `SyncTalkSettings` of a scene.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import bpy

from . import workspace_state
from .scene import paths, rig

# Lets a path begin with //, relative to the .blend, without a warning.
_PATH = {"options": {"PATH_SUPPORTS_BLEND_RELATIVE"}} if bpy.app.version >= (4, 5, 0) else {}
_AUDIO_DELAYS = (
    ("MEASURE", "Measure", "Measure how late the sound runs and tell, but leave it as it is"),
    ("AUTO", "Correct", "Measure how late the sound runs and correct it"),
    ("GIVEN", "Set by Hand", "Correct the sound by the delay given below"),
)
_PRESETS = (
    ("preview", "Preview", "A head in two to eight minutes, also without a GPU"),
    ("standard", "Standard", "Sharper, in the footage's full resolution; half an hour, also without a GPU"),
    ("paper", "Paper", "The settings of the SyncTalk paper, for comparison; hours"),
)


def default_workspace(video: str) -> str:
    """The folder beside the clip that its work goes to: `anna.mp4` gives `anna.synctalk`."""
    path = Path(bpy.path.abspath(video))
    return str(path.with_name(f"{path.stem}.synctalk"))


def _video_chosen(settings: SyncTalkSettings, _context: bpy.types.Context) -> None:
    if settings.video and not settings.workspace and not paths.is_rewriting:
        settings.workspace = paths.stored(default_workspace(settings.video))


def _scene_of(settings: SyncTalkSettings) -> bpy.types.Scene:
    return cast(bpy.types.Scene, settings.id_data)


def _workspace_chosen(settings: SyncTalkSettings, _context: bpy.types.Context) -> None:
    """The head of the workspace, where the scene holds it, is now the one that is rendered, from where its files are."""
    scene, root = _scene_of(settings), settings.workspace_path
    if root is None or paths.is_rewriting:
        return
    found = rig.find_rig(scene, root, workspace_state.workspace_state(root).id)
    if found is not None:
        rig.use_workspace(scene, found, root)


_head_items: list[tuple[str, str, str, int]] = []  # Blender keeps no reference to an enum's words


def _heads(settings: SyncTalkSettings, _context: bpy.types.Context | None) -> list[tuple[str, str, str, int]]:
    found = sorted(rig.rigs_of(_scene_of(settings)), key=lambda item: item.collection.name)
    _head_items[:] = [
        (item.collection.name, item.name, f"Render “{item.name}”, and work on {item.workspace}", index)
        for index, item in enumerate(found)
    ]
    return _head_items


def _get_head(settings: SyncTalkSettings) -> int:
    active = rig.find_rig(_scene_of(settings))
    names = sorted(item.collection.name for item in rig.rigs_of(_scene_of(settings)))
    return names.index(active.collection.name) if active is not None else 0


def _set_head(settings: SyncTalkSettings, index: int) -> None:
    found = sorted(rig.rigs_of(_scene_of(settings)), key=lambda item: item.collection.name)
    if 0 <= index < len(found):
        rig.set_active(_scene_of(settings), found[index])
        settings.workspace = paths.stored(found[index].workspace)


class Delivery:
    """How speech moves the mouth: the options of the backend's `speak`, by their names."""

    strength: bpy.props.FloatProperty(
        name="Strength",
        description="How far the mouth moves: 0 keeps it still, below 1 mumbles, above 1 exaggerates",
        default=1.0,
        min=0.0,
        soft_max=2.0,
        max=4.0,
        step=5,
        precision=2,
    )
    smoothing_ms: bpy.props.FloatProperty(
        name="Smoothing",
        description="Calms a trembling mouth; in milliseconds. Much of it makes the speech mumbled",
        default=0.0,
        min=0.0,
        soft_max=200.0,
        max=1000.0,
        step=500,
        precision=0,
    )
    offset_ms: bpy.props.FloatProperty(
        name="Offset",
        description="Moves the mouth against the sound, in milliseconds; above zero the mouth moves earlier",
        default=0.0,
        soft_min=-200.0,
        soft_max=200.0,
        min=-2000.0,
        max=2000.0,
        step=1000,
        precision=0,
    )
    close_in_silence: bpy.props.BoolProperty(
        name="Close in Silence",
        description="Shuts the mouth in pauses, where it otherwise rests as this person's own mouth does",
        default=False,
    )


class SyncTalkSettings(Delivery, bpy.types.PropertyGroup):
    """Settings of one subject in one scene."""

    # Subject
    video: bpy.props.StringProperty(
        name="Video",
        description="The clip of one person speaking. Best: one to five minutes, a still camera, even light",
        subtype="FILE_PATH",
        update=_video_chosen,
        **_PATH,
    )
    workspace: bpy.props.StringProperty(
        name="Workspace",
        description="The folder that holds everything made from this clip. Left as it is, it lies beside the clip",
        subtype="DIR_PATH",
        update=_workspace_chosen,
        **_PATH,
    )
    head: bpy.props.EnumProperty(
        name="Head",
        description="Which of this scene's heads is rendered, and which one the buttons work on",
        items=_heads,
        get=_get_head,
        set=_set_head,
    )
    consent_given: bpy.props.BoolProperty(
        name="I have this person's permission to make a synthetic likeness",
        description="A head is trained only with the permission of the person shown; it is recorded in the workspace",
        default=False,
    )
    consent_by: bpy.props.StringProperty(
        name="Given by",
        description="The name of the person who gave the permission, or of who may give it for them",
    )

    # Track
    audio_delay: bpy.props.EnumProperty(
        name="Sound",
        description="What to do when the clip's sound runs late against its picture",
        items=_AUDIO_DELAYS,
        default="AUTO",
    )
    audio_delay_ms: bpy.props.FloatProperty(
        name="Delay",
        description="How late the clip's sound runs, in milliseconds; below zero when it runs early",
        default=0.0,
        soft_min=-500.0,
        soft_max=500.0,
        min=-5000.0,
        max=5000.0,
        step=100,
        precision=0,
    )

    # Train
    preset: bpy.props.EnumProperty(
        name="Quality", description="How much the head learns, and how long it takes", items=_PRESETS
    )
    use_time_limit: bpy.props.BoolProperty(
        name="Stop After",
        description="Stop training after this time; it can be trained further at any time",
        default=False,
    )
    minutes: bpy.props.FloatProperty(
        name="Minutes",
        description="Length of this training, in minutes",
        default=10.0,
        min=0.1,
        soft_max=120.0,
        max=100000.0,
        precision=1,
    )

    # Speak
    speech: bpy.props.StringProperty(
        name="Speech",
        description="The sound file that the head is to speak: WAV, MP3, FLAC, or a video's sound",
        subtype="FILE_PATH",
        **_PATH,
    )
    # Composite
    bake_folder: bpy.props.StringProperty(
        name="Bake to",
        description="The folder for the baked frames. Left empty, it lies in the workspace",
        subtype="DIR_PATH",
        **_PATH,
    )

    @property
    def workspace_path(self) -> Path | None:
        """The workspace as an absolute path; None when none is chosen."""
        return paths.resolved(self.workspace) if self.workspace else None

    def set_delivery(self, **options: float | bool) -> None:
        """Set the options given, and the others to their defaults.

        Raises:
            TypeError: an option that there is none of.
        """
        unknown = options.keys() - Delivery.__annotations__
        if unknown:
            raise TypeError(f"no options of speech: {', '.join(sorted(unknown))}")
        for name in Delivery.__annotations__:
            self.property_unset(name)
        for name, value in options.items():
            setattr(self, name, value)

    def delivery(self) -> dict[str, float | bool]:
        """The options by name, as a request takes them."""
        return {name: getattr(self, name) for name in Delivery.__annotations__}


def settings_of(scene: bpy.types.Scene) -> SyncTalkSettings:
    """What the artist has chosen in `scene`."""
    return cast(Any, scene).synctalk


def register() -> None:
    bpy.utils.register_class(SyncTalkSettings)
    cast(Any, bpy.types.Scene).synctalk = bpy.props.PointerProperty(type=SyncTalkSettings)


def unregister() -> None:
    del cast(Any, bpy.types.Scene).synctalk
    bpy.utils.unregister_class(SyncTalkSettings)
