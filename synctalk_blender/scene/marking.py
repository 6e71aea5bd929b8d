"""Rendered output says that it is synthetic: in the files' metadata, not burnt into the picture."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from . import film_note, nodes, rig, sound
from .errors import SceneError
from .subject import read_subject

logger = logging.getLogger("synctalk")

PROPERTY = "synctalk_synthetic"


def note(subject: str) -> str:
    """The text in each rendered file's metadata: `Note` in PNG and EXR, the comment in MP4."""
    return f"Synthetic likeness of {subject} made with SyncTalk for Blender"


def mark_synthetic(scene: bpy.types.Scene, *subjects: str) -> None:
    """Have the scene's output carry the note of each subject, beside a note of the artist's own."""
    render = scene.render
    texts = [note(subject) for subject in dict.fromkeys(subjects)]
    scene[PROPERTY] = "; ".join(texts)
    for text in texts:
        if text not in render.stamp_note_text:
            render.stamp_note_text = f"{render.stamp_note_text} {text}".strip()
    render.use_stamp_note = True


@persistent
def _mark_scene(scene: bpy.types.Scene, *_arguments: object) -> None:
    """Note what is about to be rendered: heads come into a scene by append, link and override too, which import nothing."""
    subjects = [_subject_of(found) for shown in _rendered_with(scene) for found in rig.rigs_of(shown)]
    if subjects:
        mark_synthetic(scene, *subjects)


def _subject_of(found: rig.Rig) -> str:
    try:
        return read_subject(found.workspace).name
    except SceneError:  # frames that were baked render without the workspace
        return found.workspace.stem


def _rendered_with(scene: bpy.types.Scene) -> set[bpy.types.Scene]:
    """The scene, and those that its compositor and its sequencer show."""
    found, new = set(), {scene}
    while new:
        found |= new
        new = {other for item in new for other in _shown_by(item)} - found
    return found


def _shown_by(scene: bpy.types.Scene) -> Iterator[bpy.types.Scene]:
    tree = nodes.tree_of(scene)
    if tree is not None and scene.render.use_compositing:
        yield from (node.scene for node in tree.nodes if node.bl_idname == "CompositorNodeRLayers" and node.scene)
    if scene.sequence_editor is not None and scene.render.use_sequencer:
        strips = sound.strips_of(scene.sequence_editor, nested=True)
        yield from (strip.scene for strip in strips if strip.type == "SCENE" and strip.scene)


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
    bpy.app.handlers.render_init.append(_mark_scene)
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        handlers.append(_mark_film)


def unregister() -> None:
    bpy.app.handlers.render_init.remove(_mark_scene)
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        handlers.remove(_mark_film)
