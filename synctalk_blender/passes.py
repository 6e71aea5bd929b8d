"""The passes of the engine “SyncTalk”: which are enabled, and the backend's values as Blender has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import bpy
import numpy as np

from ..backend.protocol import DEPTH, MATTES, NO_DEPTH_M, NORMAL, PASSES, VECTOR
from .live_frame import HeadFrame, Passes
from .scene import coordinates

_SWITCHES = {DEPTH: "use_pass_z", VECTOR: "use_pass_vector", NORMAL: "use_pass_normal"}
"""Blender's own switches of a view layer."""


def _switched(settings: SyncTalkViewLayer, _context: bpy.types.Context) -> None:
    scene = cast(bpy.types.Scene, settings.id_data)
    for layer in scene.view_layers:
        if settings_of(layer) == settings:
            layer.update_render_passes()


class SyncTalkViewLayer(bpy.types.PropertyGroup):
    """Settings of a view layer that Blender has no switch for."""

    use_pass_mattes: bpy.props.BoolProperty(
        name="Mattes",
        description="Deliver the share of each pixel that is head, hair, mouth, skin and neck, each as a pass",
        default=False,
        update=_switched,
    )


def settings_of(layer: bpy.types.ViewLayer) -> SyncTalkViewLayer:
    """What the artist has chosen for a view layer."""
    return cast(Any, layer).synctalk


def enabled(layer: bpy.types.ViewLayer) -> tuple[str, ...]:
    """The passes of `protocol.PASSES` that a view layer has."""
    own = tuple(name for name, switch in _SWITCHES.items() if getattr(layer, switch))
    return own + (MATTES if settings_of(layer).use_pass_mattes else ())


def register_in(
    engine: bpy.types.RenderEngine, scene: bpy.types.Scene | None, layer: bpy.types.ViewLayer | None
) -> None:
    """Say which passes there are besides the colour."""
    for name in enabled(layer) if layer is not None else ():
        engine.register_pass(
            scene, layer, name, len(PASSES[name]), PASSES[name], "VECTOR" if len(PASSES[name]) > 1 else "VALUE"
        )


def wanted(
    engine: bpy.types.RenderEngine,
    depsgraph: bpy.types.Depsgraph,
    frame_of: Callable[[bpy.types.Depsgraph], HeadFrame],
) -> Passes:
    """What to ask the backend for besides the colour; for motion the scene is evaluated a frame before and a frame after."""
    names, scene = enabled(depsgraph.view_layer), depsgraph.scene
    if VECTOR not in names:
        return Passes(names)
    frame, subframe = scene.frame_current, scene.frame_subframe
    beside = []
    try:
        for step in (-1, 1):
            engine.frame_set(frame + step, subframe=subframe)
            found = frame_of(depsgraph)
            beside.append((found.pinhole, found.directions))
    finally:
        engine.frame_set(frame, subframe=subframe)
    return Passes(names, tuple(beside))


def in_scene(
    passes: dict[str, np.ndarray], frame: HeadFrame, camera_to_world: np.ndarray, size: tuple[int, int]
) -> dict[str, np.ndarray]:
    """The backend's passes as Blender's engines have them.

    Depth in the scene's units for a head that is scaled, normals in the world's axes, motion in pixels of the render, which may not be
    square.

    Args:
        size: width and height of the render.
    """
    found = {name: _fitted(values, *size) for name, values in passes.items()}
    if DEPTH in found:
        depth = found[DEPTH]
        found[DEPTH] = np.where(depth < NO_DEPTH_M / 2, depth * np.float32(frame.directions.scale), depth)
    if NORMAL in found:
        found[NORMAL] = coordinates.normals_to_world(found[NORMAL], camera_to_world)
    if VECTOR in found:
        squeezed = size[1] / frame.pinhole.height
        found[VECTOR] = found[VECTOR] * np.float32([1, squeezed, 1, squeezed])
    return found


def blank(names: tuple[str, ...], width: int, height: int) -> dict[str, np.ndarray]:
    """The passes where there is no head."""
    return {
        name: np.full((height, width, len(PASSES[name])), NO_DEPTH_M if name == DEPTH else 0.0, np.float32)
        for name in names
    }


def _fitted(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """The nearest rows where the scene's pixels are not square: a mean of two depths is the depth of neither."""
    if values.shape[:2] == (height, width):
        return values
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height).astype(int)
    return values[rows, :width]


def register() -> None:
    bpy.utils.register_class(SyncTalkViewLayer)
    cast(Any, bpy.types.ViewLayer).synctalk = bpy.props.PointerProperty(type=SyncTalkViewLayer)


def unregister() -> None:
    del cast(Any, bpy.types.ViewLayer).synctalk
    bpy.utils.unregister_class(SyncTalkViewLayer)
