"""The object of a face: its mesh, and a shape key for each of the 52 shapes."""

from __future__ import annotations

import bpy
import numpy as np

from ...backend.protocol import BLENDSHAPE_NAMES
from ...backend.workspace.face_mesh import FaceMesh
from . import coordinates, keyframes, shapes


def set_face_mesh(face: bpy.types.Object, face_mesh: FaceMesh) -> None:
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
    blocks, names = mesh.shape_keys.key_blocks, shapes.names_in(mesh.shape_keys)
    blocks[0].data.foreach_set("co", vertices.ravel())
    mesh.vertices.foreach_set("co", vertices.ravel())
    for name, displacement in zip(BLENDSHAPE_NAMES, face_mesh.shape_keys, strict=True):
        block = blocks.get(names.get(name, ""))
        if block is None:
            block = face.shape_key_add(name=name, from_mix=False)
            block.value = 0.0  # from 5.0 on it would be 1
        shape = vertices + coordinates.points_to_blender(displacement).astype(np.float32)
        block.data.foreach_set("co", shape.ravel())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    mesh.update()
