"""The depth of a rendered head, put where the tracked face is.

A clip in which the head turns little hardly determines how far its surface lies: colour comes from a layer of some millimetres, and that
of a short clip lies up to a few centimetres before the face. What a scene holds is placed by the tracked face and its points, so
depth has its relief from the rendered head, and its place from the face.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..renderer.head import Moment
from ..workspace.face_mesh import FaceMesh
from ..workspace.shapes import Float

_REACH_M = 0.012
"""About a vertex its own difference counts; further away that of all."""
_FACING = 0.3
"""Cosine of the angle to the camera from which a vertex counts: what is turned further is hidden, or its depth runs away."""
_OUTLIER_M = 0.03
_CELL_PX = 8
_LEAST_VERTICES = 30


def at_the_face(
    z_m: Float[np.ndarray, "height width"], face: FaceMesh, now: Moment
) -> Float[np.ndarray, "height width"]:
    """Depth along the optical axis, moved by a smooth field so that the face is where it was tracked; 0, for none, stays.

    The same depth where the camera sees too little of the face.
    """
    pixels, difference_m = _differences(z_m, face, now)
    if len(difference_m) < _LEAST_VERTICES:
        return z_m
    reach_px = _REACH_M * now.camera.focal_px / float(np.median(z_m[z_m > 0]))
    height, width = z_m.shape
    rows, columns = -(-height // _CELL_PX) + 1, -(-width // _CELL_PX) + 1
    y, x = (np.arange(count, dtype=np.float32) * _CELL_PX for count in (rows, columns))
    apart2 = (y[:, None, None] - pixels[:, 1]) ** 2 + (x[None, :, None] - pixels[:, 0]) ** 2
    weight = 1.0 / (apart2 / reach_px**2 + 1.0) ** 2  # Shepard's, bounded at the vertices
    field = (weight @ difference_m / weight.sum(-1)).astype(np.float32)
    to_cells = np.array([[1 / _CELL_PX, 0, 0.5 / _CELL_PX], [0, 1 / _CELL_PX, 0.5 / _CELL_PX]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(field, to_cells, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.where(z_m > 0, z_m + moved, 0).astype(np.float32)


def _differences(
    z_m: Float[np.ndarray, "height width"], face: FaceMesh, now: Moment
) -> tuple[Float[np.ndarray, "seen 2"], Float[np.ndarray, " seen"]]:
    """Pixels of the vertices that the camera sees, and how much further away they are than what is rendered there."""
    vertices = face.deformed(now.blendshapes)
    corners = vertices[face.triangles]
    normals = np.zeros_like(vertices)
    np.add.at(normals, face.triangles, np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, None])
    pose = np.asarray(now.head_to_camera, np.float64)
    towards = -(vertices @ pose[:3, :3].T + pose[:3, 3]) @ pose[:3, :3]
    facing = (normals * towards).sum(1) / np.maximum(
        np.linalg.norm(normals, axis=1) * np.linalg.norm(towards, axis=1), 1e-12
    )
    pixels, depth_m = now.camera.project(pose, vertices)
    inside = (
        ((pixels >= 0) & (pixels < (now.camera.width, now.camera.height))).all(1) & (depth_m > 0) & (facing > _FACING)
    )
    pixels, depth_m = pixels[inside], depth_m[inside]
    columns, rows = pixels.astype(int).T
    rendered_m = z_m[rows, columns]
    seen = rendered_m > 0
    difference_m = (depth_m - rendered_m)[seen]
    near = np.abs(difference_m - np.median(difference_m)) < _OUTLIER_M if seen.any() else seen[seen]
    return pixels[seen][near].astype(np.float32), difference_m[near].astype(np.float32)
