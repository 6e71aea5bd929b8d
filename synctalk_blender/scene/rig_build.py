"""Makes the rig of a subject, and makes again what of it was deleted: the rest of it, with the artist's edits, stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bpy
from mathutils import Matrix

from ...backend.workspace.store import Workspace
from ...backend.workspace.subject import Subject
from . import coordinates, paths, rig, shapes
from .errors import SceneError

_FACE_COLOUR = (0.10, 0.85, 0.75, 1.0)


def ensure_rig(scene: bpy.types.Scene, workspace: Workspace) -> rig.Rig:
    """The complete rig of the subject in `scene`, made where there is none.

    Raises:
        SceneError: the rig is linked from another file, which would lose what is imported into it.
    """
    subject = workspace.subject
    collection = rig.find_collection(scene, workspace.root, subject.id)
    parts = rig.parts_of(scene, collection) if collection is not None else _left_over(scene, subject)
    _refuse_linked(scene, collection, parts.values())
    if collection is None:
        collection = bpy.data.collections.new(f"SyncTalk {subject.name}")
        collection[rig.ROLE] = "collection"
        scene.collection.children.link(collection)
        for part in parts.values():
            collection.objects.link(part)
    made = [role for role in rig.PARTS if role not in parts]
    for role in made:
        parts[role] = _MAKE[role](subject)
        collection.objects.link(parts[role])
    for child, parent in (("control", "head"), ("face", "control"), ("points", "control")):
        if child in parts and (child in made or (parent in made and parts[child].parent is None)):
            parts[child].parent = parts[parent]
    for item in (collection, *parts.values()):
        item[rig.SUBJECT] = subject.id
        if item.get(rig.ROLE) in ("camera", "face"):
            # A deleted object's data stays in memory until the file is closed, with the artist's edits: see _kept_data.
            item.data[rig.SUBJECT], item.data[rig.ROLE] = subject.id, item[rig.ROLE]
    shapes.make_offsets(parts["control"])
    paths.keep_workspace(collection, workspace.root)
    return rig.Rig(collection, *(parts[role] for role in rig.PARTS), points=parts.get("points"))


def refuse_linked_rig(scene: bpy.types.Scene, found: rig.Rig) -> None:
    """Raise where what is imported would be lost.

    Raises:
        SceneError: scene or rig is linked from another file.
    """
    parts = [found.camera, found.head, found.control, found.face, *([found.points] if found.points else [])]
    _refuse_linked(scene, found.collection, parts)


def _refuse_linked(scene: bpy.types.Scene, collection: bpy.types.Collection | None, parts) -> None:
    for item in _written(scene, collection, parts):
        library = item.library or (item.override_library and item.override_library.reference.library)
        if library:
            raise SceneError(
                f"“{item.name}” is linked from {Path(bpy.path.abspath(library.filepath)).name}: import the "
                "tracking there, or make the head local (select its objects, then Object, Relations, Make "
                "Local, All)."
            )


def _written(scene: bpy.types.Scene, collection: bpy.types.Collection | None, parts) -> Iterator[bpy.types.ID]:
    """All that an import writes to."""
    yield scene
    if collection is not None:
        yield collection
    for item in parts:
        yield item
        if item.data is not None:
            yield item.data
        if getattr(item.data, "shape_keys", None) is not None:
            yield item.data.shape_keys


def _left_over(scene: bpy.types.Scene, subject: Subject) -> dict[str, bpy.types.Object]:
    """Parts whose collection was taken away from around them."""
    used = {item for collection in rig.collections_of(scene) for item in collection.all_objects}
    found: dict[str, bpy.types.Object] = {}
    for item in scene.objects:
        if item.get(rig.SUBJECT) == subject.id and item.get(rig.ROLE) and item not in used:
            found.setdefault(item[rig.ROLE], item)
    return found


def _kept_data(items, subject: Subject, role: str) -> bpy.types.ID | None:
    """The camera or mesh of an object that was deleted."""
    return next(
        (
            item
            for item in items
            if item.get(rig.SUBJECT) == subject.id
            and item.get(rig.ROLE) == role
            and item.users - item.use_fake_user == 0
            and item.library is None
        ),
        None,
    )


def _object(subject: Subject, role: str, name: str, data: bpy.types.ID | None) -> bpy.types.Object:
    item = bpy.data.objects.new(f"{subject.name} {name}", data)
    item[rig.ROLE] = role
    return item


def _camera(subject: Subject) -> bpy.types.Object:
    data = _kept_data(bpy.data.cameras, subject, "camera")
    if data is None:
        data = bpy.data.cameras.new(f"{subject.name} camera")
        data.clip_start = 0.01
    item = _object(subject, "camera", "camera", data)
    item.matrix_world = Matrix(coordinates.camera_to_world())
    return item


def _head(subject: Subject) -> bpy.types.Object:
    item = _object(subject, "head", "head", None)
    item.empty_display_type, item.empty_display_size = "PLAIN_AXES", 0.05
    # Its keyframes belong to the import; the artist's handle is the control below it.
    for name in ("lock_location", "lock_rotation", "lock_scale"):
        setattr(item, name, (True, True, True))
    return item


def _control(subject: Subject) -> bpy.types.Object:
    item = _object(subject, "control", "head control", None)
    item.empty_display_type, item.empty_display_size = "CIRCLE", 0.16
    item.rotation_mode = "XYZ"
    return item


def _face(subject: Subject) -> bpy.types.Object:
    mesh = _kept_data(bpy.data.meshes, subject, "face")
    if mesh is None:
        mesh = bpy.data.meshes.new(f"{subject.name} face")
        mesh.materials.append(_invisible_material())
    item = _object(subject, "face", "face", mesh)
    item.color.foreach_set(_FACE_COLOUR)
    item.display_type = "WIRE"
    return item


_MAKE = {"camera": _camera, "head": _head, "control": _control, "face": _face}


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
    material.diffuse_color.foreach_set(_FACE_COLOUR)
    return material
