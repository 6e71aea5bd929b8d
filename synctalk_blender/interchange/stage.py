"""A temporary scene that holds a take and nothing else, from frame 0 on, as Blender's exporters want it.

Exporters name what they write after data-blocks, so these need plain names: one of the file that has such a name is renamed meanwhile.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...backend.protocol import BLENDSHAPE_NAMES
from ...backend.workspace.camera import Camera
from ...backend.workspace.face_mesh import FaceMesh
from ..scene import camera as lenses
from ..scene import keyframes
from ..scene.face_object import set_face_mesh
from .take import Take

HEAD, FACE, CAMERA = "head", "face", "camera"
_NEAR_M, _FAR_M = 0.01, 100.0


@dataclass(frozen=True)
class Stage:
    """The scene and what is in it.

    Attributes:
        root: the empty above all; None where the exporter has a node of its own for that.
    """

    scene: bpy.types.Scene
    camera: bpy.types.Object
    root: bpy.types.Object | None


@contextlib.contextmanager
def staged(name: str, take: Take, face_mesh: FaceMesh, *, pinhole: Camera, with_root: bool) -> Iterator[Stage]:
    """Make the scene, let an exporter work in it, and take it away.

    Args:
        name: of the root and the scene.
        pinhole: the camera to export, `take.camera` or one that sees more.
    """
    made: list[tuple[Any, bpy.types.ID]] = []
    kept: list[tuple[bpy.types.ID, str]] = []

    def new(kind: Any, wanted: str, *arguments: Any) -> Any:
        holder = kind.get(wanted)
        if holder is not None and holder.library is None:
            kept.append((holder, holder.name))
            holder.name = f"{wanted} (kept during an export)"
        item = kind.new(wanted, *arguments)
        made.append((kind, item))
        return item

    actions = set(bpy.data.actions)
    shown = {window: window.scene for window in bpy.context.window_manager.windows}
    try:
        scene = new(bpy.data.scenes, name)
        head, face, camera = _objects(new, face_mesh)
        root = new(bpy.data.objects, name, None) if with_root else None
        face.parent = head
        for item in (head, face, camera, *([root] if root is not None else [])):
            scene.collection.objects.link(item)
            if root is not None and item in (head, camera):
                item.parent = root
        _set_up(scene, take, camera, pinhole)
        frames = np.arange(take.frames, dtype=np.float64)
        _key_place(head, take.head_to_world, frames)
        _key_place(camera, take.camera_to_world if take.camera_moves else take.camera_to_world[:1], frames)
        _key_shapes(face.data.shape_keys, take.blendshapes, frames)
        with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
            scene.frame_set(0)
            yield Stage(scene, camera, root)
    finally:
        for window, before in shown.items():  # the glTF exporter shows the scene that it exports
            if window.scene != before:
                window.scene = before
        for action in set(bpy.data.actions) - actions:  # our own, and what an exporter has left
            bpy.data.actions.remove(action)
        for kind, item in reversed(made):  # what has users takes them along
            kind.remove(item)
        for item, own_name in kept:
            item.name = own_name


def _objects(new: Any, face_mesh: FaceMesh) -> tuple[Any, Any, Any]:
    """The objects of head, face and camera, not linked yet."""
    head, face = new(bpy.data.objects, HEAD, None), new(bpy.data.objects, FACE, new(bpy.data.meshes, FACE))
    set_face_mesh(face, face_mesh)
    return head, face, new(bpy.data.objects, CAMERA, new(bpy.data.cameras, CAMERA))


def _set_up(scene: bpy.types.Scene, take: Take, camera: bpy.types.Object, pinhole: Camera) -> None:
    data = camera.data
    assert isinstance(data, bpy.types.Camera)
    lenses.set_pinhole(data, pinhole)
    data.sensor_height = data.sensor_width * pinhole.height / pinhole.width
    data.clip_start, data.clip_end = _NEAR_M, _FAR_M
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = pinhole.width, pinhole.height, 100
    render.fps = math.ceil(take.rate)
    render.fps_base = render.fps / float(take.rate)
    scene.frame_start, scene.frame_end = 0, take.frames - 1
    scene.camera = camera


def _key_place(item: bpy.types.Object, matrices: np.ndarray, frames: np.ndarray) -> None:
    """Place, rotation and scale of an object at `frames`; of one matrix, without keys."""
    parts = [Matrix(matrix).decompose() for matrix in matrices]
    item.rotation_mode = "QUATERNION"
    # Not `matrix_basis`: of a scene that no window shows nothing is written back, and the FBX exporter reads this one.
    item.matrix_world = Matrix(matrices[0])
    if len(matrices) != len(frames):
        return
    turns = np.array([turn for _, turn, _ in parts])
    turns[1:] *= np.cumprod(np.where((turns[1:] * turns[:-1]).sum(1) < 0, -1.0, 1.0))[
        :, None
    ]  # the short way between two
    values = {
        "location": np.array([place for place, _, _ in parts]),
        "rotation_quaternion": turns,
        "scale": np.array([scale for _, _, scale in parts]),
    }
    if np.allclose(values["scale"], values["scale"][0], atol=1e-6):
        item.scale = values.pop("scale")[0].tolist()
    action = keyframes.base_action(item, "export", item.name)
    curves = [(path, axis, column) for path, array in values.items() for axis, column in enumerate(array.T)]
    keyframes.set_curves(action, curves, frames, "LINEAR")
    keyframes.assign(item, action)


def _key_shapes(keys: bpy.types.Key, blendshapes: np.ndarray, frames: np.ndarray) -> None:
    curves = []
    for name, values in zip(BLENDSHAPE_NAMES, blendshapes.T, strict=True):
        block = keys.key_blocks[name]
        # Blender clamps to the slider's range.
        block.slider_min, block.slider_max = min(0.0, float(values.min())), max(1.0, float(values.max()))
        curves.append((f'key_blocks["{name}"].value', 0, values))
    action = keyframes.base_action(keys, "export", FACE)
    keyframes.set_curves(action, curves, frames, "LINEAR")
    keyframes.assign(keys, action)
