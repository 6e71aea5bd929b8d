"""What is exported: the evaluated rig in a range of the scene's frames."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from ...backend.workspace.animation import Animation
from ...backend.workspace.frame_rate import exact_rate
from ...backend.workspace.moving_head import MovingHead
from ...backend.workspace.subject import Subject
from ..scene import audio_strip, coordinates, importer, rig, scene_setup
from ..scene.bake import RigFrames


class Take(MovingHead):
    """In the scene's world: the head control, the camera object; shapes with the artist's offsets, pixels made square."""

    @classmethod
    def of(cls, read: RigFrames, scene: bpy.types.Scene, audio: tuple[Path, float] | None) -> Take:
        """Of what a `RigWalk` has read; a head that is scaled keeps its scale."""
        cameras = np.stack([coordinates.without_scale(matrix) for matrix in read.cameras])
        scales = np.array([frame.scale for frame in read.directions])
        poses = np.stack([frame.head_to_camera for frame in read.directions])
        poses[:, :3, 3] *= scales[:, None]
        heads = coordinates.head_to_world(poses, cameras)
        heads[:, :3, :3] *= scales[:, None, None]
        blendshapes = np.stack([frame.blendshapes for frame in read.directions])
        return cls(blendshapes, heads, cameras, read.pinhole, exact_rate(scene_setup.fps_of(scene)), audio)


def audio_at(
    scene: bpy.types.Scene, found: rig.Rig, subject: Subject, animation: Animation, first_frame: int
) -> tuple[Path, float] | None:
    """The take's audio and the time in it of a scene frame, seconds: of its strip, also where the artist has moved that."""
    strip = audio_strip.find_strip(scene, found.collection, subject)
    if strip is not None:
        begin = audio_strip.start_of(strip)
        path = Path(bpy.path.abspath(strip.sound.filepath, library=strip.sound.library))
        return path, (first_frame - begin) / scene_setup.fps_of(scene)
    if animation.audio is None or audio_strip.can_hold_audio():
        return None  # the artist has deleted the strip
    timing = importer.timing_of(scene, found, animation.fps)
    late_s = animation.audio_offset_ms / 1000
    return animation.audio, (first_frame - timing.first_frame) / timing.scene_fps + late_s
