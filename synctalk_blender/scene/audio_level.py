"""Speech leaves Blender as loud as its file, whatever channels the scene's output has.

Blender spreads a mono sound over the two channels of a stereo output with the same power: each gets 0.7071 of it. And it adds
the channels of a stereo sound for a mono output: a voice in both becomes twice as loud. A driver on the strip's volume
takes both back; its expression is a simple one, which runs without any permission for scripts (measured: docs/scene.md).
"""

from __future__ import annotations

from typing import Any

import bpy

LEVEL = "level"
"""On the strip: the artist's own volume, for fades; the driver multiplies it."""

_EXPRESSIONS = {
    # The output's channels: 1 mono, 2 stereo, 4 quad; 5.1 and 7.1 have a centre, which takes a mono sound as it is.
    "MONO": "level * (1.41421356 if channels == 2 or channels == 4 else 1.0)",
    "STEREO": "level * (0.5 if channels == 1 else 1.0)",
}


def keep_level(scene: bpy.types.Scene, strip: Any) -> None:
    """Let the volume of a sound `strip` of `scene` follow the output's channels; a layout beyond stereo is left alone.

    Called again for a strip that has another sound now, it keeps the artist's level.
    """
    expression = _EXPRESSIONS.get(strip.sound.channels)
    strip.driver_remove("volume")
    if expression is None:
        return
    if LEVEL not in strip:
        strip[LEVEL] = strip.volume
    strip.id_properties_ui(LEVEL).update(min=0.0, soft_max=2.0, description="Volume of the speech: key it for fades")
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
