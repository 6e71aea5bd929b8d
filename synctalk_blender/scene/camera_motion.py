"""The tracked camera moves in the scene as the clip's did: what an artist puts into the room stays where it is put.

The pose of a head is relative to its camera, so head and camera are moved by the same motion, and a render shows the same head.
The keys are the camera's delta transforms: its place and rotation stay the artist's.
"""

from __future__ import annotations

import bpy
import numpy as np

from ...backend.workspace.camera_path import CameraPath
from ...backend.workspace.store import Workspace
from . import coordinates, keyframes, rig


def choose(collection: bpy.types.Collection, workspace: Workspace) -> CameraPath | None:
    """How the camera is to move; None where it is still, or is to be: by the collection's property, which a clip whose camera
    moves gets."""
    path = workspace.camera_path()
    if path is None:
        collection.pop(rig.CAMERA_MOVES, None)
        return None
    if collection.get(rig.CAMERA_MOVES) is None:
        collection[rig.CAMERA_MOVES] = True
        collection.id_properties_ui(rig.CAMERA_MOVES).update(
            description="The scene's camera moves as the clip's did; press Send to Scene or Speak Again after changing it"
        )
    return path if collection[rig.CAMERA_MOVES] else None


def key(camera: bpy.types.Object, name: str, frames: np.ndarray, matrices: np.ndarray | None) -> None:
    """Key the camera's motion at `frames` (N), below the artist's own keys; without `matrices` it is still, whatever moved it before.

    Args:
        matrices: (N, 4, 4) of the camera object in the world; the importer's own place is that of the reference frame.
    """
    action = keyframes.find_base_action(camera, "camera motion")
    if matrices is None:
        if action is not None:
            keyframes.set_curves(action, [], np.empty(0), "LINEAR")
            camera.delta_location, camera.delta_rotation_euler = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        return
    still = coordinates.camera_to_world()
    moved = matrices[:, :3, 3] - still[:3, 3]
    turned = coordinates.euler_xyz(matrices[:, :3, :3] @ still[:3, :3].T)
    curves = [("delta_location", axis, moved[:, axis]) for axis in range(3)]
    curves += [("delta_rotation_euler", axis, turned[:, axis]) for axis in range(3)]
    action = keyframes.base_action(camera, "camera motion", f"{name} camera motion")
    camera.rotation_mode = "XYZ"  # a quaternion's delta is another property
    keyframes.set_curves(action, curves, frames, "LINEAR")
    keyframes.lay_below(camera, action, frames)
