"""Baking: the head's frames written to files once, for a render farm or a computer without the backend."""

from __future__ import annotations

from pathlib import Path

import bpy

from .backend_process import BackendError
from .jobs import Job, Request, Work
from .scene import bake as bake_scene
from .scene import compositor, rig
from .scene.subject import Animation, Subject, read_animation, read_subject, read_tracking
from .steps import Step

BAKE_STAGES = {"reading the rig": ("Reading the rig", 1.0), "rendering": ("Rendering the head", 30.0)}


def bake(scene: bpy.types.Scene, folder: Path) -> Job:
    """Write the head of every frame to `folder` as `000000.png` …, and let the composite take it from there.

    The rig is read as it is evaluated, edits and all, into `folder/directions.npz`; the same file renders on a farm with
    `python -m backend render WORKSPACE --directions FILE --out FOLDER`.
    """
    name = scene.name

    def work() -> Work:
        found, subject, animation = subject_in(scene)
        directions, pinhole = yield bake_scene.RigWalk(scene, found, subject, animation.frames)
        path = bake_scene.write(folder / "directions.npz", directions, pinhole, subject, animation)
        if subject.footage is None:
            yield Request("footage", {"workspace": str(subject.root)})
        yield Request("render", {"workspace": str(subject.root), "out": str(folder), "directions": str(path)})
        target = bpy.data.scenes.get(name)
        if target is None:
            raise BackendError(
                f"The frames are in {folder}, but the scene “{name}” is no longer in this file.", "scene"
            )
        found, subject, animation = subject_in(target)
        compositor.compose(target, found, subject, animation.plate_frame, frames=folder)
        return f"{animation.frames} frames of the head are in {folder}; the composite takes them from there."

    return Job(Step.COMPOSITE, "Baking", work(), BAKE_STAGES)


def subject_in(scene: bpy.types.Scene) -> tuple[rig.Rig, Subject, Animation]:
    """The rig of `scene`, its subject, and the animation that was imported last.

    Raises:
        SceneError: there is no rig, or files of its workspace are missing or damaged.
    """
    found = rig.require_rig(scene)
    subject = read_subject(found.workspace)
    return found, subject, read_animation(found.animation) if found.animation else read_tracking(subject)
