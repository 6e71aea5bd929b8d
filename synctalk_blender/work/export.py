"""The face with its motion, the head and the camera as a file of another program."""

from __future__ import annotations

from pathlib import Path

import bpy

from ...backend.workspace.frame_rate import as_text
from ..interchange import files
from ..interchange.take import Take, audio_at
from ..job import Job, Work
from ..scene.errors import SceneError
from ..steps import Errand
from .common import subject_in
from .reading import read_rig

STAGES = {"reading the rig": "Reading the rig"}


def export_job(scene: bpy.types.Scene, path: Path, frames: tuple[int, int], *, with_audio: bool = True) -> Job:
    """Write the rig as it is evaluated, edits and all, and its audio as a WAV beside it.

    Args:
        path: its suffix is the format: `.glb`, `.usda` or `.fbx`.
        frames: the first and last one of the scene; the first is at time 0 in the file.
    """

    def work() -> Work:
        first, last = frames
        if last < first:
            raise SceneError(f"The last frame ({last}) comes before the first ({first}): choose a later one.")
        files.require_format(path)
        found, workspace, animation = subject_in(scene)
        workspace.require_consent()
        size = scene.render.resolution_x, scene.render.resolution_y
        read = yield from read_rig(scene, found, size, last - first + 1, first)
        audio = audio_at(scene, found, workspace.subject, animation, first) if with_audio else None
        take = Take.of(read, scene, audio)
        heard = take.write_audio(path.with_suffix(".wav"))
        files.write(path, workspace.subject.name, take, workspace.face_mesh())
        beside = f", their audio in {heard.name}" if heard is not None else ""
        return f"{take.frames} frames at {as_text(take.rate)} fps are in {path}{beside}."

    return Job(Errand.EXPORT, "Exporting the face", work(), STAGES)
