"""Results arrive in the scene: camera, head, face mesh, head points, audio, keyframes, frame range.

Importing again replaces what an import made (keyframes, mesh, audio, footage) and keeps what the artist made: the control's
movement, the expression layer, constraints, materials, names, and where the camera was taken.
"""

from __future__ import annotations

from typing import cast

import bpy
import numpy as np

from ...backend.protocol import AUTO, BLENDSHAPE_NAMES
from ...backend.workspace.animation import Animation
from ...backend.workspace.camera import Camera
from ...backend.workspace.store import Workspace
from . import (
    audio_strip,
    camera,
    camera_motion,
    coordinates,
    face_object,
    footage,
    head_points,
    keyframes,
    marking,
    rig,
    rig_build,
    scene_setup,
    shapes,
)
from .errors import SceneError
from .scene_setup import FIRST_FRAME
from .timing import Timing

SLIDER_MAX = 1.5
"""Shape keys reach beyond 1 for exaggeration; imported values beyond it widen the slider, for Blender clamps to it."""

_TRACKED_LENS = "synctalk_lens"
"""On the camera's data: focal length, principal point and size that an import set last."""


def import_subject(
    scene: bpy.types.Scene,
    workspace: Workspace,
    *,
    setup: bool | None = None,
    start_frame: int | None = None,
    head: str = AUTO,
) -> rig.Rig:
    """Make or renew the rig of a workspace in `scene`, moved as the footage; the engine renders it from now on.

    Args:
        setup: give the scene the clip's size, rate, range, colours and camera (True), or leave it as it is (False); when
            absent, a fresh scene is set up for a new head, and any other is left as it is.
        start_frame: the scene frame that the clip's first frame lies at; when absent, where it lies already, else frame 1
            of a scene that is set up, and the first frame of one that is left as it is.
        head: whose poses, of `protocol.HEADS`.

    Raises:
        SceneError: the rig is linked from another file, or no frame has a pose.
        WorkspaceError: the workspace is not tracked, or its files are damaged.
    """
    subject, face_mesh, track = workspace.subject, workspace.face_mesh(), workspace.head_track(head=head)
    is_fresh = not scene_setup.content(scene)
    is_new = rig.find_collection(scene, workspace.root, subject.id) is None
    found = rig_build.ensure_rig(scene, workspace)
    if setup is None and is_new:
        setup = is_fresh
    found = head_points.set_head_points(found, subject, track)
    if setup:
        scene_setup.set_up(scene, subject, found.camera)
    if setup is not None:
        found.collection[rig.SETS_SCENE] = setup
    rig.set_active(scene, found)
    _place_start(scene, found, start_frame, is_new)
    face_object.set_face_mesh(found.face, face_mesh)
    found.camera.data.pop(_TRACKED_LENS, None)
    import_animation(scene, found, workspace, workspace.footage_animation(track))
    marking.mark_synthetic(scene, subject.name)
    return found


def import_animation(scene: bpy.types.Scene, found: rig.Rig, workspace: Workspace, animation: Animation) -> None:
    """Replace the imported movement, lens, audio and frame range by those of `animation`, at the scene's frame rate.

    Raises:
        SceneError: the rig is linked from another file, or the animation has no frame with a pose.
    """
    rig_build.refuse_linked_rig(scene, found)
    subject, timing = workspace.subject, timing_of(scene, found, animation.fps)
    frames = timing.frames(animation.frames)
    _set_lens(cast(bpy.types.Camera, found.camera.data), source_camera(workspace, animation))
    path = camera_motion.choose(found.collection, workspace)
    cameras = None if path is None else coordinates.moved_camera(path.motions(animation))
    camera_motion.key(found.camera, subject.name, frames, cameras)
    _key_head(found.head, subject.name, frames, animation.head_to_camera, cameras)
    moved = _key_face(found.face, subject.name, frames, animation.blendshapes)
    audio_strip.lay_strip(scene, found.collection, subject, animation, timing, moved)
    footage.show_behind_camera(scene, found.camera, workspace, timing.shown(animation.plate_frame), timing.first_frame)
    found.collection[rig.RATE] = timing.scene_fps
    found.collection[rig.FRAME_SIZE] = list(subject.frame_size)
    if found.collection.get(rig.SETS_SCENE, True):
        scene.frame_start = timing.first_frame
        scene.frame_end = timing.last_frame(animation.frames) + max(0, round(moved))
        scene.frame_set(min(max(scene.frame_current, scene.frame_start), scene.frame_end))
    else:
        scene.frame_set(scene.frame_current)


def timing_of(scene: bpy.types.Scene, found: rig.Rig, clip_fps: float) -> Timing:
    """Where the frames of an animation of `found` lie in `scene`."""
    return Timing(int(found.collection.get(rig.START, FIRST_FRAME)), clip_fps, scene_setup.fps_of(scene))


def _place_start(scene: bpy.types.Scene, found: rig.Rig, start_frame: int | None, is_new: bool) -> None:
    if start_frame is None and not is_new:
        return
    if start_frame is None:
        start_frame = FIRST_FRAME if found.collection.get(rig.SETS_SCENE, True) else scene.frame_start
    found.collection[rig.START] = start_frame
    found.collection.id_properties_ui(rig.START).update(
        description="First frame of the head's movement; press Send to Scene or Speak Again after changing it"
    )


def source_camera(workspace: Workspace, animation: Animation) -> Camera:
    """The animation's camera for the scene's frame."""
    subject = workspace.subject
    return animation.camera.to_source(subject).cropped(0, 0, *subject.frame_size)


def _set_lens(data: bpy.types.Camera, pinhole: Camera) -> None:
    """Pose and lens are of one track and only fit together: training changes both. The artist's zoom is kept until then."""
    tracked = [pinhole.focal_px, *pinhole.principal_px, pinhole.width, pinhole.height]
    before = data.get(_TRACKED_LENS)
    if before is None or not np.allclose(list(before), tracked, rtol=1e-6):
        camera.set_pinhole(data, pinhole)
        data[_TRACKED_LENS] = tracked


def _key_head(
    head: bpy.types.Object, name: str, frames: np.ndarray, head_to_camera: np.ndarray, cameras: np.ndarray | None
) -> None:
    known = np.isfinite(head_to_camera).all((1, 2))
    if not known.any():
        raise SceneError(f"The tracking of “{name}” has no frame with a pose: process the video again.")
    matrices = coordinates.head_to_world(head_to_camera[known], None if cameras is None else cameras[known])
    angles = coordinates.euler_xyz(matrices[:, :3, :3])
    head.rotation_mode = "XYZ"
    action = keyframes.base_action(head, "pose", f"{name} head pose")
    curves = [("location", axis, matrices[:, axis, 3]) for axis in range(3)]
    curves += [("rotation_euler", axis, angles[:, axis]) for axis in range(3)]
    keyframes.set_curves(action, curves, frames[known], "LINEAR")
    keyframes.assign(head, action)


def _key_face(face: bpy.types.Object, name: str, frames: np.ndarray, blendshapes: np.ndarray) -> float:
    """Key the shapes; returns how far the artist has moved the strip of these keys, frames.

    A shape whose key was deleted is left out until the next import of the face makes it again.
    """
    keys = face.data.shape_keys
    if keys is None:
        raise SceneError(
            f"The face mesh “{face.name}” has lost its shape keys: press Send to Scene in the Track panel."
        )
    names = shapes.names_in(keys)
    curves = []
    for shape, values in zip(BLENDSHAPE_NAMES, blendshapes.T, strict=True):
        if shape not in names:
            continue
        block = keys.key_blocks[names[shape]]
        block.slider_min = min(0.0, float(np.nanmin(values)))
        block.slider_max = max(SLIDER_MAX, float(np.nanmax(values)))
        curves.append((f'key_blocks["{bpy.utils.escape_identifier(block.name)}"].value', 0, values))
    action = keyframes.base_action(keys, "expression", f"{name} expression")
    keyframes.set_curves(action, curves, frames, "LINEAR")
    moved = keyframes.lay_below(keys, action, frames, rest=True)
    keyframes.begin_edits(keys, f"{name} expression edits")
    return moved
