"""What lies beneath the head: its hair is shown on it, and its neck follows it (docs/portrait-sync.md)."""

from __future__ import annotations

from typing import cast

import bpy

from ..backend.workspace.camera import Camera
from .live_frame import Beneath
from .properties import settings_of
from .scene import footage, rig


def footage_beneath(
    scene: bpy.types.Scene, found: rig.Rig, depsgraph: bpy.types.Depsgraph, pinhole: Camera
) -> Beneath | None:
    """The footage's frame beneath the head, and its place in the full image; None where the head is shown alone.

    That is: where the artist takes nothing from the footage, where the scene looks through another camera than the footage's, and
    where that shows no footage.

    Args:
        scene: as `depsgraph` has it.
        pinhole: of the scene's full image, with square pixels.
    """
    size = found.collection.get(rig.FRAME_SIZE)
    settings = settings_of(scene.original)
    if not (settings.neck_follows or settings.footage_hair) or size is None or scene.camera is None:
        return None
    if scene.camera.original != found.camera:
        return None
    camera = found.camera.evaluated_get(depsgraph)
    frame = footage.shown_at(cast(bpy.types.Camera, camera.data), scene.frame_current)
    if frame is None:
        return None
    # As `scene.render_size` places it: the footage's width fills the image's, their middles meet.
    scale = pinhole.width / size[0]
    place = 0.0, (pinhole.height - size[1] * scale) / 2, scale
    return Beneath(frame, *place, settings.neck_follows, settings.footage_hair)
