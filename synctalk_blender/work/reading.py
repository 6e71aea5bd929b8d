"""Reading the rig frame by frame, as baking and exporting do."""

from __future__ import annotations

from collections.abc import Generator

import bpy

from .. import jobs, live
from ..job import Waitable
from ..scene import bake, rig


def read_rig(
    scene: bpy.types.Scene, found: rig.Rig, size: tuple[int, int], frames: int, first_frame: int
) -> Generator[Waitable, bake.RigFrames, bake.RigFrames]:
    """A part of a job: what `bake.RigWalk` reads, which has the same arguments. A live face is off the rig meanwhile.

    Raises:
        SceneError: the rig cannot be read, or the camera's lens is animated.
    """
    with jobs.reading_rig():
        live.let_go()
        return (yield bake.RigWalk(scene, found, size, frames, first_frame))
