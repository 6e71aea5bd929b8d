"""The tracked head points as a mesh of loose vertices: places on the moving head to parent and constrain to."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import bpy
import numpy as np

from ...backend.workspace.head_track import HeadTrack
from ...backend.workspace.subject import Subject
from . import coordinates, rig

SEEN = "seen"
"""Attribute of each vertex: the part of the clip's frames that its point was seen in, 0 to 1."""

PLACES = {
    "forehead": (151, 10, 9),
    "nose bridge": (168, 6, 197),
    "nose tip": (4, 1, 5),
    "temple.L": (356, 389, 368),
    "temple.R": (127, 162, 139),
    "cheekbone.L": (346, 347, 280),
    "cheekbone.R": (117, 118, 50),
    "eye corner.L": (263, 359),
    "eye corner.R": (33, 130),
}
"""Vertex groups and the landmarks of MediaPipe's face mesh that they lie at; L and R are the subject's own."""

ELSEWHERE = "hair and ears"
REACH_M = 0.022
"""How far from its landmarks a place goes: half the width of an eye and some."""

_COLOUR = (1.0, 0.72, 0.1, 1.0)


def set_head_points(found: rig.Rig, subject: Subject, track: HeadTrack) -> rig.Rig:
    """Give the rig its head points, or renew them; an object that was made stays, without vertices where there are no
    points."""
    if not len(track.points_head_m):
        if found.points is not None:
            found.points.data.clear_geometry()
        return found
    item = found.points
    if item is None:
        name = f"{subject.name} head points"
        item = bpy.data.objects.new(name, bpy.data.meshes.new(name))
        item[rig.ROLE], item[rig.SUBJECT] = "points", subject.id
        item.parent = found.control
        item.hide_render = True
        item.show_in_front = True  # they lie on the face and in the hair, where its wires would hide them
        item.color.foreach_set(_COLOUR)
        found.collection.objects.link(item)
    places = coordinates.points_to_blender(track.points_head_m).astype(np.float32)
    mesh = cast(bpy.types.Mesh, item.data)
    _set_vertices(mesh, places)
    seen = mesh.attributes.get(SEEN) or mesh.attributes.new(SEEN, "FLOAT", "POINT")
    seen.data.foreach_set("value", track.seen_share.astype(np.float32))
    _set_groups(item, track)
    mesh.update()
    return replace(found, points=item)


def _set_vertices(mesh: bpy.types.Mesh, places: np.ndarray) -> None:
    """As many vertices as places (K, 3) and there; those of an equal number keep their groups and attributes."""
    if len(mesh.vertices) != len(places):
        mesh.clear_geometry()
        mesh.from_pydata(places.tolist(), [], [])
    mesh.vertices.foreach_set("co", places.ravel())


def _set_groups(item: bpy.types.Object, track: HeadTrack) -> None:
    """Vertex groups by place, made again; an artist's own groups are left alone."""
    for name in (*PLACES, ELSEWHERE):
        old: bpy.types.VertexGroup | None = item.vertex_groups.get(name)
        if old is not None:
            item.vertex_groups.remove(old)
    if not len(track.face_head_m):
        return
    distances = [
        np.linalg.norm(track.points_head_m[:, None] - track.face_head_m[list(landmarks)], axis=-1).min(1)
        for landmarks in PLACES.values()
    ]
    nearest = np.argmin(distances, axis=0)
    nearest[np.min(distances, axis=0) > REACH_M] = len(PLACES)
    for index, name in enumerate((*PLACES, ELSEWHERE)):
        members = np.flatnonzero(nearest == index)
        if len(members):
            item.vertex_groups.new(name=name).add(members.tolist(), 1.0, "REPLACE")
