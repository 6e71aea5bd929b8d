"""Where renders go: a video with the scene's audio, or images with alpha."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy


def set_video(scene: bpy.types.Scene, path: Path) -> None:
    """Have animation renders write an H.264 video with the scene's audio (AAC) to `path`, which ends in `.mp4`.

    A build of Blender without audio (the `bpy` wheel 4.2) writes the same video without it.
    """
    _set_format(scene, "FFMPEG", "VIDEO")
    scene.render.filepath = str(path)
    scene.render.use_file_extension = False
    settings = scene.render.ffmpeg
    settings.format = "MPEG4"
    settings.codec = "H264"
    settings.constant_rate_factor = "PERC_LOSSLESS"
    settings.ffmpeg_preset = "GOOD"
    settings.gopsize = scene.render.fps  # a second
    settings.audio_codec = "AAC"
    settings.audio_bitrate = 192


def set_images(scene: bpy.types.Scene, folder: Path) -> None:
    """Have animation renders write PNG files with alpha to `folder`."""
    _set_format(scene, "PNG", "IMAGE")
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.color_depth = "8"
    scene.render.filepath = str(folder / "######")
    scene.render.use_file_extension = True


def video_by_default(scene: bpy.types.Scene, name: str, beside: Path) -> None:
    """Have animation renders write a video with the scene's audio, where no output was chosen: Blender's own choice is
    silent images in the system's temporary folder. A chosen output is kept.

    Args:
        name: of the subject; the video is `NAME composite.mp4`, numbered where there is such a file already.
        beside: folder for the video; the .blend's own once it is saved.
    """
    if not _is_untouched(scene):
        return
    is_saved = bool(bpy.data.filepath)
    folder = Path(bpy.data.filepath).parent if is_saved else beside
    numbered = (f"{name} composite {number}.mp4" for number in itertools.count(2))
    free = next(item for item in itertools.chain([f"{name} composite.mp4"], numbered) if not (folder / item).exists())
    set_video(scene, folder / free)
    if is_saved:
        scene.render.filepath = f"//{free}"


def _is_untouched(scene: bpy.types.Scene) -> bool:
    """Whether animation renders would go to where Blender sends them by itself."""
    path = scene.render.filepath
    ways = {"", "tmp", tempfile.gettempdir().strip("/\\"), bpy.app.tempdir.strip("/\\")}
    return scene.render.image_settings.file_format == "PNG" and path.strip("/\\") in ways


@contextlib.contextmanager
def kept(scene: bpy.types.Scene) -> Iterator[None]:
    """Give the scene its output settings back at the end, however it comes."""
    render = scene.render
    path, extension = render.filepath, render.use_file_extension
    image, video = _values(render.image_settings), _values(render.ffmpeg)
    try:
        yield
    finally:
        # These two decide which values the others may have.
        for name in ("media_type", "file_format", *image):
            if name in image:
                setattr(render.image_settings, name, image[name])
        for name in video:
            setattr(render.ffmpeg, name, video[name])
        render.filepath, render.use_file_extension = path, extension


def _values(settings: bpy.types.bpy_struct) -> dict[str, Any]:
    """All settings that can be set, but those with settings of their own."""
    return {
        item.identifier: getattr(settings, item.identifier)
        for item in settings.bl_rna.properties
        if not item.is_readonly and item.type not in ("POINTER", "COLLECTION")
    }


def _set_format(scene: bpy.types.Scene, name: str, media: str) -> None:
    settings: Any = scene.render.image_settings  # the stubs list the formats of one version
    if hasattr(settings, "media_type"):  # from 5.0 on it decides which formats there are
        settings.media_type = media
    settings.file_format = name
