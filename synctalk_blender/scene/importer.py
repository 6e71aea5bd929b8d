"""Results arrive in the scene: camera, head, face mesh, head points, sound, keyframes, frame range.

Importing again replaces what an import made (keyframes, mesh, sound, footage) and keeps what the artist made: the control's
movement, the expression layer, constraints, materials, names, and where the camera was taken.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

from ...backend.protocol import BLENDSHAPE_NAMES
from . import camera, coordinates, footage, head_points, keyframes, marking, rig, sound
from .errors import SceneError
from .subject import Animation, FaceMesh, HeadPoints, Subject

FIRST_FRAME = 1
SLIDER_MAX = 1.5
"""Shape keys reach beyond 1 for exaggeration; imported values beyond it widen the slider, for Blender clamps to it."""

_FACE_COLOUR = (0.10, 0.85, 0.75, 1.0)


def import_subject(
    scene: bpy.types.Scene,
    subject: Subject,
    face_mesh: FaceMesh,
    animation: Animation,
    points: HeadPoints | None = None,
) -> rig.Rig:
    """Make or renew the rig of `subject` in `scene`, moved by `animation`; the engine renders it from now on."""
    found = rig.find_rig(scene, subject.root) or _new_rig(scene, subject)
    found = head_points.set_head_points(found, subject.name, points)
    found.collection[rig.WORKSPACE] = str(subject.root)
    scene[rig.ACTIVE] = str(subject.root)
    camera.set_pinhole(found.camera.data, subject.pinhole(animation.focal_px, animation.principal_px))
    scene.camera = found.camera
    _set_face_mesh(found.face, face_mesh)
    _set_frame(scene, subject)
    import_animation(scene, found, subject, animation)
    marking.mark_synthetic(scene, subject.name)
    return found


def import_animation(scene: bpy.types.Scene, found: rig.Rig, subject: Subject, animation: Animation) -> None:
    """Replace the imported movement, sound and frame range by those of `animation`."""
    if abs(animation.fps - subject.fps) > 1e-3:
        raise SceneError(
            f"The animation runs at {animation.fps:g} frames a second, the subject at {subject.fps:g}: speak again."
        )
    frames = np.arange(FIRST_FRAME, FIRST_FRAME + animation.frames)
    _key_head(found.head, subject.name, frames, animation.head_to_camera)
    _key_face(found.face, subject.name, frames, animation.blendshapes)
    sound.lay_strip(scene, found.collection, animation, FIRST_FRAME)
    footage.show_behind_camera(found.camera, subject, animation.plate_frame, FIRST_FRAME)
    scene.frame_start, scene.frame_end = FIRST_FRAME, FIRST_FRAME + animation.frames - 1
    scene.frame_set(min(max(scene.frame_current, scene.frame_start), scene.frame_end))


def _new_rig(scene: bpy.types.Scene, subject: Subject) -> rig.Rig:
    collection = bpy.data.collections.new(f"SyncTalk {subject.name}")
    collection[rig.ROLE] = "collection"
    scene.collection.children.link(collection)

    def add(role: str, name: str, data: bpy.types.ID | None) -> bpy.types.Object:
        item = bpy.data.objects.new(f"{subject.name} {name}", data)
        item[rig.ROLE] = role
        collection.objects.link(item)
        return item

    lens = add("camera", "camera", bpy.data.cameras.new(f"{subject.name} camera"))
    lens.matrix_world = Matrix(coordinates.camera_to_world())
    lens.data.clip_start = 0.01
    head = add("head", "head", None)
    head.empty_display_type, head.empty_display_size = "PLAIN_AXES", 0.05
    # Its keyframes belong to the import; the artist's handle is the control below it.
    head.lock_location = head.lock_rotation = head.lock_scale = (True, True, True)
    control = add("control", "head control", None)
    control.empty_display_type, control.empty_display_size = "CIRCLE", 0.16
    control.rotation_mode = "XYZ"
    control.parent = head
    face = add("face", "face", bpy.data.meshes.new(f"{subject.name} face"))
    face.parent = control
    face.color = _FACE_COLOUR
    face.display_type = "WIRE"
    face.data.materials.append(_invisible_material())
    return rig.Rig(collection, lens, head, control, face)


def _invisible_material() -> bpy.types.Material:
    """Lets other engines render the scene without the guide mesh.

    Disabling the object in renders would take it out of the dependency graph, and its shape keys, which the engine reads,
    would stand still.
    """
    material = bpy.data.materials.new("SyncTalk guide (invisible in renders)")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    output, shader = nodes.new("ShaderNodeOutputMaterial"), nodes.new("ShaderNodeBsdfTransparent")
    links.new(shader.outputs["BSDF"], output.inputs["Surface"])
    material.diffuse_color = _FACE_COLOUR
    return material


def _set_face_mesh(face: bpy.types.Object, face_mesh: FaceMesh) -> None:
    """Give `face` the mesh and shape keys, keeping the artist's expression layer."""
    vertices = coordinates.points_to_blender(face_mesh.vertices_m).astype(np.float32)
    mesh = face.data
    if len(mesh.vertices) != len(vertices) or len(mesh.polygons) != len(face_mesh.triangles):
        animated = mesh.shape_keys.animation_data if mesh.shape_keys is not None else None
        edits = animated.action if animated is not None else None
        face.shape_key_clear()
        mesh.clear_geometry()
        mesh.from_pydata(vertices.tolist(), [], face_mesh.triangles.tolist())
        mesh.update()
        face.shape_key_add(name="Basis", from_mix=False)
        if edits is not None:
            keyframes.begin_edits(mesh.shape_keys, edits.name, edits)
    blocks = mesh.shape_keys.key_blocks
    blocks[0].data.foreach_set("co", vertices.ravel())
    mesh.vertices.foreach_set("co", vertices.ravel())
    for name, displacement in zip(BLENDSHAPE_NAMES, face_mesh.shape_keys, strict=True):
        block = blocks.get(name) or face.shape_key_add(name=name, from_mix=False)
        shape = vertices + coordinates.points_to_blender(displacement).astype(np.float32)
        block.data.foreach_set("co", shape.ravel())
    for polygon in mesh.polygons:
        polygon.use_smooth = True
    mesh.update()


def _set_frame(scene: bpy.types.Scene, subject: Subject) -> None:
    render = scene.render
    render.resolution_x, render.resolution_y = subject.frame_size
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.fps, render.fps_base = round(subject.fps), round(subject.fps) / subject.fps
    # Footage is a finished picture: a film-like view transform (AgX is the default) would change its colours.
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    render.film_transparent = True


def _key_head(head: bpy.types.Object, name: str, frames: np.ndarray, head_to_camera: np.ndarray) -> None:
    known = np.isfinite(head_to_camera).all((1, 2))
    if not known.any():
        raise SceneError(f"The tracking of “{name}” has no frame with a pose: process the video again.")
    matrices = coordinates.head_to_world(head_to_camera[known])
    angles = coordinates.euler_xyz(matrices[:, :3, :3])
    head.rotation_mode = "XYZ"
    action = keyframes.base_action(head, "pose", f"{name} head pose")
    curves = [("location", axis, matrices[:, axis, 3]) for axis in range(3)]
    curves += [("rotation_euler", axis, angles[:, axis]) for axis in range(3)]
    keyframes.set_curves(action, curves, frames[known], "LINEAR")
    keyframes.assign(head, action)


def _key_face(face: bpy.types.Object, name: str, frames: np.ndarray, blendshapes: np.ndarray) -> None:
    keys = face.data.shape_keys
    for block, values in zip((keys.key_blocks[key] for key in BLENDSHAPE_NAMES), blendshapes.T, strict=True):
        block.slider_min = min(0.0, float(np.nanmin(values)))
        block.slider_max = max(SLIDER_MAX, float(np.nanmax(values)))
    action = keyframes.base_action(keys, "expression", f"{name} expression")
    curves = [
        (f'key_blocks["{key}"].value', 0, values) for key, values in zip(BLENDSHAPE_NAMES, blendshapes.T, strict=True)
    ]
    keyframes.set_curves(action, curves, frames, "LINEAR")
    keyframes.lay_below(keys, action, frames)
    keyframes.begin_edits(keys, f"{name} expression edits")
