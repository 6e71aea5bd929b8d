"""Where renders go: a film with the scene's sound, or pictures with alpha."""

from __future__ import annotations

from pathlib import Path

import bpy


def set_film(scene: bpy.types.Scene, path: Path) -> None:
    """Have animation renders write an H.264 film with the scene's sound (AAC) to `path`, which ends in `.mp4`.

    A build of Blender without sound (the `bpy` wheel 4.2) writes the same film without it.
    """
    _set_format(scene, "FFMPEG", "VIDEO")
    scene.render.filepath = str(path)
    scene.render.use_file_extension = False
    settings = scene.render.ffmpeg
    settings.format = "MPEG4"
    settings.codec = "H264"
    settings.constant_rate_factor = "PERC_LOSSLESS"
    settings.ffmpeg_preset = "GOOD"
    settings.gopsize = 25
    settings.audio_codec = "AAC"
    settings.audio_bitrate = 192


def set_pictures(scene: bpy.types.Scene, folder: Path) -> None:
    """Have animation renders write PNG files with alpha to `folder`."""
    _set_format(scene, "PNG", "IMAGE")
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.color_depth = "8"
    scene.render.filepath = str(folder / "######")
    scene.render.use_file_extension = True


def _set_format(scene: bpy.types.Scene, name: str, media: str) -> None:
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):  # from 5.0 on it decides which formats there are
        settings.media_type = media
    settings.file_format = name
