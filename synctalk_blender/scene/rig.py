"""The rig of a talking head: which objects it is made of, and what they say at a frame.

Objects are found by a custom property, never by name, so an artist may rename and regroup them. Values are read from
the evaluated scene, so that keyframes, drivers, constraints, parents and NLA layers all count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ...backend.protocol import BLENDSHAPE_NAMES
from . import coordinates
from .directions import Directions
from .errors import SceneError

ROLE = "synctalk_role"
WORKSPACE = "synctalk_workspace"
ANIMATION = "synctalk_animation"
ACTIVE = "synctalk_active"
"""On the scene: the workspace whose head the engine renders, should the scene hold several."""


@dataclass(frozen=True)
class Rig:
    """The objects of one subject."""

    collection: bpy.types.Collection
    camera: bpy.types.Object
    head: bpy.types.Object
    """Empty with the imported pose as keyframes; replaced at each import."""
    control: bpy.types.Object
    """Empty below `head`, the artist's: what it adds turns and moves the head. Its world matrix is the head's pose."""
    face: bpy.types.Object
    """Mesh with the 52 shape keys, parented to `control`."""
    points: bpy.types.Object | None = None
    """Mesh of loose vertices, the tracked head points, parented to `control`; None where there are none."""

    @property
    def workspace(self) -> Path:
        return Path(bpy.path.abspath(self.collection[WORKSPACE]))

    @property
    def animation(self) -> Path | None:
        """The `animation.npz` that was imported last; None for the footage's own movement."""
        value = self.collection.get(ANIMATION)
        return Path(bpy.path.abspath(value)) if value else None


def rigs_of(scene: bpy.types.Scene) -> list[Rig]:
    """All complete rigs of `scene`, in the order of its collections."""
    found = []
    for collection in scene.collection.children_recursive:
        if collection.get(ROLE) != "collection":
            continue
        objects = {item[ROLE]: item for item in collection.all_objects if item.get(ROLE)}
        if {"camera", "head", "control", "face"} <= objects.keys():
            parts = (objects[role] for role in ("camera", "head", "control", "face"))
            found.append(Rig(collection, *parts, points=objects.get("points")))
    return found


def find_rig(scene: bpy.types.Scene, workspace: Path | None = None) -> Rig | None:
    """The rig of `workspace`; without one, the rig that the engine renders, which is the last imported; None if none."""
    found = rigs_of(scene)
    wanted = str(workspace) if workspace is not None else scene.get(ACTIVE)
    for rig in found:
        if wanted and Path(wanted) == rig.workspace:
            return rig
    return found[0] if found and workspace is None else None


def require_rig(scene: bpy.types.Scene) -> Rig:
    """`find_rig`, or an error.

    Raises:
        SceneError: the scene holds no rig.
    """
    rig = find_rig(scene)
    if rig is None:
        raise SceneError(f"The scene “{scene.name}” holds no SyncTalk head: import one with Track, Send to Scene.")
    return rig


def read_rig(rig: Rig, depsgraph: bpy.types.Depsgraph, camera_to_world: np.ndarray | None = None) -> Directions:
    """What `rig` says at the frame that `depsgraph` is evaluated at.

    Args:
        camera_to_world: (4, 4) of the viewpoint; the rig's own camera when absent.

    Raises:
        SceneError: an object of the rig is not evaluated, being hidden or excluded.
    """
    control = _evaluated(rig.control, depsgraph)
    if camera_to_world is None:
        camera_to_world = world_matrix(_evaluated(rig.camera, depsgraph))
    pose = coordinates.head_to_camera(world_matrix(control), camera_to_world)
    keys = rig.face.data.shape_keys
    if keys is None:
        raise SceneError(f"The face mesh “{rig.face.name}” has lost its shape keys: import the head again.")
    _evaluated(rig.face, depsgraph)
    blocks = keys.evaluated_get(depsgraph).key_blocks
    values = np.zeros(len(BLENDSHAPE_NAMES))
    for index, name in enumerate(BLENDSHAPE_NAMES):
        block = blocks.get(name)
        if block is not None and not block.mute:
            values[index] = block.value
    return Directions(pose, values)


def world_matrix(item: bpy.types.Object) -> np.ndarray:
    """(4, 4) float64 of an object's world matrix."""
    return np.array(item.matrix_world, np.float64)


def _evaluated(item: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> bpy.types.Object:
    evaluated = item.evaluated_get(depsgraph)
    if not evaluated.is_evaluated:
        where = "in renders" if depsgraph.mode == "RENDER" else "in viewports"
        raise SceneError(f"“{item.name}” is disabled {where} or its collection is excluded: enable it in the Outliner.")
    return evaluated
