"""The scene's own settings: whether an artist has made them, what setting up for a clip changes, and telling it."""

from __future__ import annotations

import bpy

from ...backend.workspace.subject import Subject
from . import rig

FIRST_FRAME = 1
_STARTUP = {"Camera": "CAMERA", "Cube": "MESH", "Light": "LIGHT"}
"""What Blender's own startup file holds."""
_FACTORY = {"resolution_x": 1920, "resolution_y": 1080, "resolution_percentage": 100, "fps": 24}
_FACTORY_RANGE = (1, 250)


def content(scene: bpy.types.Scene) -> list[str]:
    """How `scene` differs from a new file, as text; empty for a fresh one."""
    found = []
    own = [item for item in scene.objects if not item.get(rig.ROLE) and not _is_startup(item)]
    if own:
        found.append(f"{len(own)} object{'s' if len(own) > 1 else ''}")
    heads = len(rig.rigs_of(scene))
    if heads:
        found.append("another head" if heads == 1 else f"{heads} other heads")
    editor = scene.sequence_editor
    strips = [] if editor is None else list(editor.strips if hasattr(editor, "strips") else editor.sequences)
    if any(not strip.get(rig.ROLE) for strip in strips):
        found.append("strips in the sequencer")
    render = scene.render
    changed = any(getattr(render, name) != value for name, value in _FACTORY.items()) or render.fps_base != 1.0
    if changed or (scene.frame_start, scene.frame_end) != _FACTORY_RANGE:
        found.append("settings of its own")
    return found


def _is_startup(item: bpy.types.Object) -> bool:
    return _STARTUP.get(item.name) == item.type and item.animation_data is None and not item.constraints


def set_up(scene: bpy.types.Scene, subject: Subject, camera: bpy.types.Object) -> None:
    """Size, rate, colours and camera of the clip. The frame range follows with the movement."""
    render = scene.render
    render.resolution_x, render.resolution_y = subject.frame_size
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.fps, render.fps_base = round(subject.fps), round(subject.fps) / subject.fps
    # Footage is a finished image: a filmic view transform (AgX is the default) would change its colours.
    # The stubs do not know these names, which are the colour configuration's.
    scene.view_settings.view_transform = "Standard"  # type: ignore[assignment]
    scene.view_settings.look = "None"  # type: ignore[assignment]
    render.film_transparent = True
    scene.sync_mode = "AUDIO_SYNC"
    scene.camera = camera


def fps_of(scene: bpy.types.Scene) -> float:
    """Frames a second of `scene`."""
    return scene.render.fps / scene.render.fps_base


def settings(scene: bpy.types.Scene) -> dict[str, str]:
    """The settings that an import may change, in words."""
    render = scene.render
    percentage = f" at {render.resolution_percentage} %" if render.resolution_percentage != 100 else ""
    if (render.pixel_aspect_x, render.pixel_aspect_y) != (1.0, 1.0):
        percentage += f", pixel aspect {render.pixel_aspect_x:g}:{render.pixel_aspect_y:g}"
    look = scene.view_settings.look
    return {
        "frame size": f"{render.resolution_x} × {render.resolution_y}{percentage}",
        "frame rate": f"{fps_of(scene):.5g} fps",
        "frame range": f"{scene.frame_start} to {scene.frame_end}",
        "view transform": scene.view_settings.view_transform + (f" ({look})" if look != "None" else ""),
        "transparent background": "on" if render.film_transparent else "off",
        "playback": scene.sync_mode.replace("_", " ").lower(),
        "active camera": f"“{scene.camera.name}”" if scene.camera is not None else "none",
    }


def changes(before: dict[str, str], after: dict[str, str]) -> str:
    """The changed settings as one sentence; empty when none changed."""
    parts = [f"{name} {before[name]} → {after[name]}" for name in before if before[name] != after[name]]
    return f"Changed in the scene (undo reverts it): {'; '.join(parts)}." if parts else ""
