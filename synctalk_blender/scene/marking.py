"""Rendered output is marked as synthetic: in the files' metadata, not burnt into the image."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ...backend.protocol import SYNTHETIC_NOTE
from ...backend.workspace.store import Workspace
from . import audio_strip, file_note, nodes, rig, video_colour, video_note
from .errors import SyncTalkError

logger = logging.getLogger("synctalk")

PROPERTY = "synctalk_synthetic"

_begun = 0.0
"""When the render under way began: files that are older are not its."""


def note(subject: str) -> str:
    """The text in each rendered file's metadata: `Note` in PNG and EXR, the comment in MP4."""
    return SYNTHETIC_NOTE.format(subject=subject)


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
    global _begun
    _begun = time.time() - 2.0  # file systems round times
    subjects = [_subject_of(found) for shown in _rendered_with(scene) for found in rig.rigs_of(shown)]
    if subjects:
        mark_synthetic(scene, *subjects)


def _subject_of(found: rig.Rig) -> str:
    try:
        return Workspace.open(found.workspace).subject.name
    except SyncTalkError:  # frames that were baked render without the workspace
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
        strips = audio_strip.strips_of(scene.sequence_editor, nested=True)
        yield from (strip.scene for strip in strips if strip.type == "SCENE" and strip.scene)


@persistent
def _mark_image(scene: bpy.types.Scene, *_arguments: object) -> None:
    """Note what Blender leaves the note out of, once the file is written."""
    if scene.get(PROPERTY) is None or scene.render.image_settings.file_format not in _MARKED_AFTERWARDS:
        return
    render = scene.render
    still = Path(bpy.path.abspath(render.filepath))
    paths = {Path(bpy.path.abspath(render.frame_path(frame=scene.frame_current))), still}
    paths.add(still.with_name(still.name + render.file_extension))
    for path in paths:
        if path.is_file() and path.stat().st_mtime >= _begun:
            _try(file_note.add_note, path, scene[PROPERTY])


@persistent
def _mark_video(scene: bpy.types.Scene, *_arguments: object) -> None:
    """Blender writes the note into most images, but not into MP4 and AVI files: a comment is added there."""
    render = scene.render
    if scene.get(PROPERTY) is None or render.image_settings.file_format != "FFMPEG":
        return
    path = Path(bpy.path.abspath(render.frame_path(frame=scene.frame_start)))
    if path.is_file() and path.stat().st_mtime >= _begun:
        if render.ffmpeg.format in ("MPEG4", "QUICKTIME"):
            _try(video_note.add_comment, path, scene[PROPERTY])
            _tag(path)
        elif render.ffmpeg.format == "AVI":
            _try(file_note.add_note, path, scene[PROPERTY])


def _try(add: Callable[[Path, str], bool], path: Path, text: str) -> None:
    try:
        if not add(path, text):
            logger.warning("%s cannot hold the note that it is synthetic", path)
    except (OSError, struct.error) as error:
        logger.warning("the note that %s is synthetic could not be written: %s", path, error)


def _tag(path: Path) -> None:
    try:
        video_colour.tag_colours(path)
    except (OSError, struct.error, KeyError) as error:
        logger.warning("the colours of %s could not be tagged: %s", path, error)


_MARKED_AFTERWARDS = ("TIFF", "WEBP")
_WITHOUT_NOTE = {
    "BMP", "IRIS", "JPEG2000", "TARGA", "TARGA_RAW", "CINEON", "DPX", "HDR",
    "MPEG1", "MPEG2", "DV",
}  # fmt: skip


def missing_note(scene: bpy.types.Scene) -> str:
    """One sentence if the scene's output format cannot hold the note; else empty."""
    settings = scene.render.image_settings
    is_video = settings.file_format == "FFMPEG"
    name = scene.render.ffmpeg.format if is_video else settings.file_format
    if name not in _WITHOUT_NOTE:
        return ""
    better = "MPEG-4, QuickTime, Matroska, WebM, AVI or Ogg" if is_video else "PNG, JPEG, OpenEXR, TIFF or WebP"
    return f"{name} files cannot hold the note that they are synthetic. These can: {better}."


def register() -> None:
    bpy.app.handlers.render_init.append(_mark_scene)
    bpy.app.handlers.render_write.append(_mark_image)
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        handlers.append(_mark_video)


def unregister() -> None:
    bpy.app.handlers.render_init.remove(_mark_scene)
    bpy.app.handlers.render_write.remove(_mark_image)
    for handlers in (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel):
        handlers.remove(_mark_video)
