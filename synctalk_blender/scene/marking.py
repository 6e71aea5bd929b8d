"""Rendered output says that it is synthetic: in the files' metadata, not burnt into the picture."""

from __future__ import annotations

import logging
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from . import film_note

logger = logging.getLogger("synctalk")

PROPERTY = "synctalk_synthetic"


def note(subject: str) -> str:
    """The text in each rendered file's metadata: `Note` in PNG and EXR, the comment in MP4."""
    return f"Synthetic likeness of {subject} made with SyncTalk for Blender"


def mark_synthetic(scene: bpy.types.Scene, subject: str) -> None:
    """Have the scene's output carry the note, beside a note of the artist's own."""
    text, render = note(subject), scene.render
    scene[PROPERTY] = text
    if text not in render.stamp_note_text:
        render.stamp_note_text = f"{render.stamp_note_text} {text}".strip()
    render.use_stamp_note = True


@persistent
def _mark_film(scene: bpy.types.Scene, *_arguments: object) -> None:
    """Blender writes the note into pictures, but its MP4 files cannot hold it: a comment says it there."""
    render = scene.render
    if PROPERTY not in scene or render.image_settings.file_format != "FFMPEG":
        return
    path = Path(bpy.path.abspath(render.frame_path(frame=scene.frame_start)))
    try:
        if path.suffix.lower() in (".mp4", ".mov", ".m4v") and path.exists():
            film_note.add_comment(path, scene[PROPERTY])
    except OSError as error:
        logger.warning("the note that %s is synthetic could not be written: %s", path, error)


def register() -> None:
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        handlers.append(_mark_film)


def unregister() -> None:
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        handlers.remove(_mark_film)
