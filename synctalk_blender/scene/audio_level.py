"""Speech leaves Blender as loud as its file, for any channel layout of the scene's output.

Blender spreads a mono signal over the two channels of a stereo output with the same power: each gets 0.7071 of it. And it adds
the channels of a stereo signal for a mono output: a voice in both becomes twice as loud. A driver on the strip's volume
compensates for both; its expression is a simple one, which runs without any permission for scripts (measured:
docs/scene.md).
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import keyframes

LEVEL = "level"
"""On the strip: the artist's own volume, for fades; the driver multiplies it."""

_EXPRESSIONS = {
    # The output's channels: 1 mono, 2 stereo, 4 quad; 5.1 and 7.1 have a centre, which takes a mono signal unchanged.
    "MONO": "level * (1.41421356 if channels == 2 or channels == 4 else 1.0)",
    "STEREO": "level * (0.5 if channels == 1 else 1.0)",
}


def keep_level(scene: bpy.types.Scene, strip: Any) -> None:
    """Let the volume of an audio `strip` of `scene` follow the output's channels; a layout beyond stereo is left alone, and so
    is a volume that the artist has keyed, or taken the driver from."""
    is_new = LEVEL not in strip
    expression = _EXPRESSIONS.get(strip.sound.channels)
    if expression is None or not (is_new or is_driven(scene, strip)) or _is_keyed(scene, strip):
        return
    if is_new:
        strip[LEVEL] = strip.volume
        strip.id_properties_ui(LEVEL).update(
            min=0.0, soft_max=2.0, description="Volume of the speech: key it for fades"
        )
    strip.driver_remove("volume")
    driver = strip.driver_add("volume").driver
    driver.type = "SCRIPTED"
    for name, path in (
        ("channels", "render.ffmpeg.audio_channels"),
        ("level", f'{strip.path_from_id()}["{LEVEL}"]'),
    ):
        variable = driver.variables.new()
        variable.name = name
        target = variable.targets[0]
        target.id_type, target.id, target.data_path = "SCENE", scene, path
    driver.expression = expression


def is_driven(scene: bpy.types.Scene, strip: Any) -> bool:
    """Whether a driver sets the strip's volume."""
    animated = scene.animation_data
    return animated is not None and animated.drivers.find(f"{strip.path_from_id()}.volume") is not None


def _is_keyed(scene: bpy.types.Scene, strip: Any) -> bool:
    path = f"{strip.path_from_id()}.volume"
    action = scene.animation_data.action if scene.animation_data is not None else None
    return action is not None and any(curve.data_path == path for curve in keyframes.every_curve(action))


@persistent
def _give_way(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph | None = None) -> None:
    """Take the driver from a volume that has been keyed, as Blender's Add Fades does: it would hide the fade.

    The keys are of the volume that the driver had set, so the level stays what it was.
    """
    if depsgraph is not None and not depsgraph.id_type_updated("ACTION"):
        return
    editor = scene.sequence_editor
    for strip in getattr(editor, "strips_all", None) or getattr(editor, "sequences_all", ()):
        if strip.type == "SOUND" and LEVEL in strip and is_driven(scene, strip) and _is_keyed(scene, strip):
            strip.driver_remove("volume")


def register() -> None:
    bpy.app.handlers.depsgraph_update_post.append(_give_way)
    bpy.app.handlers.render_init.append(_give_way)


def unregister() -> None:
    bpy.app.handlers.depsgraph_update_post.remove(_give_way)
    bpy.app.handlers.render_init.remove(_give_way)
