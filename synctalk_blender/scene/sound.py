"""The sound that the head speaks, as a strip in the sequencer."""

from __future__ import annotations

from typing import Any

import bpy

from . import audio_level
from .subject import Animation

_ROLE = "synctalk_role"


def lay_strip(scene: bpy.types.Scene, collection: bpy.types.Collection, animation: Animation, first_frame: int) -> None:
    """Replace the subject's sound strip by that of `animation`; strips of the artist's own stay."""
    editor = scene.sequence_editor_create()
    strips = strips_of(editor)
    role = f"sound of {collection.name_full}"
    channel = None
    for strip in [item for item in strips if item.get(_ROLE) == role]:
        channel = strip.channel
        strip.driver_remove("volume")
        strips.remove(strip)
    if animation.audio is None or not can_hold_sound():
        return
    if channel is None:
        channel = 1 + max((item.channel for item in strips), default=0)
    strip = strips.new_sound(animation.audio.stem, str(animation.audio), channel, first_frame)
    strip[_ROLE] = role
    audio_level.keep_level(scene, strip)
    # Sound that runs late begins earlier; sound strips may start between frames.
    strip.frame_start = first_frame - animation.audio_offset_ms / 1000.0 * animation.fps
    scene.sync_mode = "AUDIO_SYNC"


def can_hold_sound() -> bool:
    """Whether this build of Blender knows sound at all; the `bpy` wheel 4.2 does not."""
    return bool(bpy.app.build_options.audaspace)


def strips_of(editor: bpy.types.SequenceEditor, *, nested: bool = False) -> Any:
    """The top strips of the sequencer, or those within meta strips as well: `strips` from 4.4 on, `sequences` before."""
    name = "strips" if hasattr(editor, "strips") else "sequences"
    return getattr(editor, f"{name}_all" if nested else name)
