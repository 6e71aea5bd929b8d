"""The tracked camera moves in the scene as the clip's did: what an artist puts into the room stays where it is put.

The pose of a head is relative to its camera, so head and camera are moved by the same motion, and a render shows the same head.
The keys are the camera's delta transforms: its place and rotation stay the artist's.
"""

from __future__ import annotations

import bpy
import numpy as np

from ...backend.workspace.animation import Animation
from ...backend.workspace.camera_path import CameraPath
from ...backend.workspace.store import Workspace
from . import coordinates, keyframes, rig

ZOOM = 1.03
"""The longest focal length over the shortest up to which it counts as a hand's unsteadiness."""


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


def in_world(path: CameraPath, animation: Animation) -> np.ndarray:
    """(N, 4, 4) the camera object's world matrix at each frame of `animation`, where the importer's own place is that of the
    reference frame.

    The scene has one lens, and the tracker finds a head that is zoomed in on nearer. So a zoom by z moves the camera forward, by as much
    as keeps the head in its place: its usual distance times 1 - 1 / z.
    """
    focal = path.zooms(animation.camera)
    zooms = focal[animation.plate_frame]
    motion = np.tile(np.eye(4), (animation.frames, 1, 1))
    motion[:, :3, :3] = path.turns(animation.camera)[animation.plate_frame]
    low, high = np.percentile(focal, [1, 99])
    if high > ZOOM * low:
        distance = np.nanmedian(animation.head_to_camera[:, 2, 3] * zooms)
        motion[:, :3, 3] = motion[:, :3, 2] * (distance * (1.0 - 1.0 / zooms))[:, None]
    return coordinates.moved_camera(motion)


def key(camera: bpy.types.Object, name: str, frames: np.ndarray, matrices: np.ndarray | None) -> None:
    """Key the camera's motion at `frames` (N), below the artist's own keys; without `matrices` it is still, whatever moved it before.

    Args:
        matrices: of `in_world`.
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
