"""Baking: the head's frames written to files once, for a render farm or a computer without the backend."""

from __future__ import annotations

from pathlib import Path

import bpy

from .client.errors import BackendError
from .jobs import Job, Request, Work
from .scene import bake as bake_scene
from .scene import compositor, importer, output, rig
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
        timing = importer.timing_of(scene, found, animation.fps)
        shown = timing.shown(animation.plate_frame)
        directions, pinhole = yield bake_scene.RigWalk(scene, found, subject, len(shown), timing.first_frame)
        path = bake_scene.write(folder / "directions.npz", directions, pinhole, subject, shown, timing.scene_fps)
        if subject.footage is None:
            yield Request("footage", {"workspace": str(subject.root)})
        yield Request("render", {"workspace": str(subject.root), "out": str(folder), "directions": str(path)})
        target = bpy.data.scenes.get(name)
        if target is None:
            raise BackendError(
                f"The frames are in {folder}, but the scene “{name}” is no longer in this file.", "scene"
            )
        found, subject, animation = subject_in(target)
        compose(target, found, subject, animation, frames=folder)
        return f"{len(shown)} frames of the head are in {folder}; the composite takes them from there."

    return Job(Step.COMPOSITE, "Baking", work(), BAKE_STAGES)


def compose(
    scene: bpy.types.Scene, found: rig.Rig, subject: Subject, animation: Animation, *, frames: Path | None = None
) -> None:
    """Build or renew the composite of `found` over the footage of `animation`, at the scene's frame rate.

    Where the rate has changed since the movement was keyed, that is keyed again first. Where no output is chosen, animation
    renders write a film from now on.

    Raises:
        SceneError: pictures are missing.
    """
    timing = importer.timing_of(scene, found, animation.fps)
    if abs(found.collection.get(rig.RATE, timing.scene_fps) - timing.scene_fps) > 1e-3:
        importer.import_animation(scene, found, subject, animation)
    rig.set_active(scene, found)
    shown = timing.shown(animation.plate_frame)
    compositor.compose(scene, found, subject, shown, frames=frames, first_frame=timing.first_frame)
    output.film_by_default(scene, subject.name, subject.root.parent)


def subject_in(scene: bpy.types.Scene) -> tuple[rig.Rig, Subject, Animation]:
    """The rig of `scene`, its subject, and the animation that was imported last.

    Raises:
        SceneError: there is no rig, or files of its workspace are missing or damaged.
    """
    found = rig.require_rig(scene)
    subject = read_subject(found.workspace)
    return found, subject, animation_of(found, subject)


def animation_of(found: rig.Rig, subject: Subject) -> Animation:
    """What moves `found`: the footage's own movement, or what was imported last.

    Where the head was that of the footage, poses and lens are those of the newest track, which training refines.

    Raises:
        SceneError: files are missing or damaged.
    """
    tracking = read_tracking(subject)
    if not found.animation:
        return tracking
    animation = read_animation(found.animation)
    return animation.on_track(tracking) if found.collection.get(rig.ON_TRACK, True) else animation
