"""The audio that the head speaks, as a strip in the sequencer."""

from __future__ import annotations

from typing import Any

import bpy

from ...backend.workspace.animation import Animation
from ...backend.workspace.subject import Subject
from . import audio_level, paths
from .rig import ROLE, SUBJECT
from .timing import Timing

_LAID = "synctalk_laid"
"""On the strip: where it belongs, where it was put, and how far the mouth had been moved by then; frames."""


def lay_strip(
    scene: bpy.types.Scene,
    collection: bpy.types.Collection,
    subject: Subject,
    animation: Animation,
    timing: Timing,
    moved: float = 0.0,
) -> None:
    """Give the subject's strip the audio of `animation`; the artist's own strips are kept.

    The strip keeps its channel, level, fades and the place that the artist has moved it to. One that was not moved
    follows the mouth.

    Args:
        moved: how far the artist has moved the mouth's keyframes, frames.
    """
    editor = scene.sequence_editor_create()
    strips = strips_of(editor)
    mine = [item for item in strips if _is_of(item, collection, subject)]
    if animation.audio is None or not can_hold_audio():
        mine, unwanted = [], mine
    else:
        mine, unwanted = mine[:1], mine[1:]
    for strip in unwanted:
        strip.driver_remove("volume")
        strips.remove(strip)
    if animation.audio is None or not can_hold_audio():
        return
    # Audio that runs late begins earlier.
    place = timing.first_frame - animation.audio_offset_ms / 1000.0 * timing.scene_fps
    path = str(animation.audio)
    if mine:
        strip = mine[0]
        _replace_audio(scene, strip, path)
        base, put, moved_before = strip.get(_LAID, (strip.frame_start, strip.frame_start, 0.0))
        own = strip.frame_start - base
        if abs(strip.frame_start - put) < 0.5:
            own += moved - moved_before
    else:
        channel = 1 + max((item.channel for item in strips), default=0)
        strip = strips.new_sound(animation.audio.stem, path, channel, timing.first_frame)
        own = moved
    strip[ROLE], strip[SUBJECT] = "sound", subject.id
    audio_level.keep_level(scene, strip)
    strip.sound.name = f"{subject.name} {animation.audio.stem}"
    strip.sound.filepath = paths.stored(path)
    strip.frame_start = round(place + own)  # Blender would cut the fraction off
    strip[_LAID] = (place, float(strip.frame_start), moved)


def find_strip(scene: bpy.types.Scene, collection: bpy.types.Collection, subject: Subject) -> Any | None:
    """The subject's strip; None where there is none."""
    editor = scene.sequence_editor
    found = [] if editor is None else [item for item in strips_of(editor) if _is_of(item, collection, subject)]
    return found[0] if found else None


def start_of(strip: Any) -> float:
    """The scene frame that the strip's audio begins at: between two frames where it belongs there and was not moved."""
    place, put, moved = strip.get(_LAID, (strip.frame_start, strip.frame_start, 0.0))
    is_where_put = abs(strip.frame_start - put) < 0.5 and abs(place + moved - put) <= 0.5
    return float(place + moved if is_where_put else strip.frame_start)


def _is_of(strip: Any, collection: bpy.types.Collection, subject: Subject) -> bool:
    # Earlier versions marked the strip with the collection's name.
    return (strip.get(ROLE) == "sound" and strip.get(SUBJECT) == subject.id) or (
        strip.get(ROLE) == f"sound of {collection.name_full}"
    )


def _replace_audio(scene: bpy.types.Scene, strip: Any, path: str) -> None:
    """Other audio in the same strip: a strip that is removed takes its fades along."""
    old = strip.sound
    strip.sound = bpy.data.sounds.load(path)
    if old is not None and old.users == 0:
        bpy.data.sounds.remove(old)
    # A strip measures its audio when the frame rate is set, and not when it gets another one.
    scene.render.fps = scene.render.fps


def can_hold_audio() -> bool:
    """Whether this build of Blender has audio at all; the `bpy` wheel 4.2 does not."""
    return bool(bpy.app.build_options.audaspace)


def strips_of(editor: bpy.types.SequenceEditor, *, nested: bool = False) -> Any:
    """The top strips of the sequencer, or those within meta strips as well: `strips` from 4.4 on, `sequences` before."""
    name = "strips" if hasattr(editor, "strips") else "sequences"
    return getattr(editor, f"{name}_all" if nested else name)
