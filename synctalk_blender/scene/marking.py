"""Rendered output says that it is synthetic: in the files' metadata, not burnt into the picture."""

from __future__ import annotations

import bpy

PROPERTY = "synctalk_synthetic"


def note(subject: str) -> str:
    """The text written into each rendered file's metadata, as `Note` (PNG, EXR) or `comment` (video)."""
    return f"Synthetic likeness of {subject} made with SyncTalk for Blender"


def mark_synthetic(scene: bpy.types.Scene, subject: str) -> None:
    """Have the scene's output carry the note, beside a note of the artist's own."""
    text, render = note(subject), scene.render
    scene[PROPERTY] = text
    if text not in render.stamp_note_text:
        render.stamp_note_text = f"{render.stamp_note_text} {text}".strip()
    render.use_stamp_note = True
