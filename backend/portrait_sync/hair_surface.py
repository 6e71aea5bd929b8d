"""How deep hair lies: a smooth surface through the rim of the tracked face, on which an image of hair turns with the head."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..workspace.camera import Camera
from ..workspace.face_mesh import FaceMesh
from ..workspace.poses import to_pixels
from ..workspace.shapes import Float
from .head_region import FACE_OVAL, JAW, NOSE_BRIDGE
from .pixels import not_steeper

EXTENT_M = ((-0.16, 0.16), (-0.2, 0.16))
"""The part of the head's plane that the surface is computed in, metres, x and y; it is continued beyond."""
BESIDE_M = (0.09, 0.1, 0.11, 0.12, 0.13, 0.14)
"""Beside the jaw, metres from the middle of the head: hair hangs there."""
_CELL_M = 0.002
FALLS_M = (0.03, 0.067)
"""Distance from the rim of the face in which the surface falls back to `rim_m`: beside and below the face, and above it."""
STEEPEST = 2.5
"""Slope at most, depth by width: it folds nowhere when the head is seen from up to 21 degrees beside its own front."""
_SMOOTH_M = 0.008
_HALVINGS = 12
"""Of the part of a ray in which the surface is searched: down to a tenth of a millimetre."""


def hanging_beside(mesh: FaceMesh) -> Float[np.ndarray, "n 3"]:
    """Points of what hangs beside the jaw, in the head frame, metres: at the height and depth of its corners, with which it moves."""
    across = np.multiply.outer((-1.0, 1.0), BESIDE_M).ravel()
    return np.column_stack([across, np.tile(mesh.vertices_m[[JAW[0], JAW[-1]], 1:].mean(0), (len(across), 1))])


@dataclass(frozen=True)
class HairSurface:
    """Depth over the head's plane, in the head frame (docs/animation.md).

    From the rim of the face the surface falls back, as a parabola, to the depth of what hangs beside the jaw (`hanging_beside`). A skull
    reaches 3 cm further back. But hair that falls back so far within the few centimetres that an image shows of it above a forehead is
    sheared when it turns, and shows as waves; nobody sees the missing parallax.

    Attributes:
        depth_m: z over `EXTENT_M`.
        rim_m: that which it falls back to.
    """

    depth_m: Float[np.ndarray, "rows columns"]
    rim_m: float

    @classmethod
    def of(cls, mesh: FaceMesh) -> HairSurface:
        """Around a face."""
        x, y = (np.arange(first, last + _CELL_M / 2, _CELL_M) for first, last in EXTENT_M)
        centre, rim_m = mesh.vertices_m[NOSE_BRIDGE], float(hanging_beside(mesh)[0, 2])
        across, down = np.meshgrid(x - centre[0], y - centre[1])
        angle, radius = np.arctan2(down, across), np.hypot(across, down)
        oval = mesh.vertices_m[list(FACE_OVAL)] - [centre[0], centre[1], 0.0]
        at = np.arctan2(oval[:, 1], oval[:, 0])
        oval_radius, oval_m = (np.interp(angle, at, of, period=2 * np.pi) for of in (np.hypot(*oval.T[:2]), oval[:, 2]))
        falls_m = FALLS_M[0] + (FALLS_M[1] - FALLS_M[0]) * np.maximum(-np.sin(angle), 0.0)
        away = np.clip((radius - oval_radius) / falls_m, 0.0, 1.0)
        beside_m = oval_m + (rim_m - oval_m) * np.square(away)
        face_m = centre[2] + (oval_m - centre[2]) * np.square(radius / oval_radius)
        sheet_m = np.where(radius < oval_radius, face_m, beside_m).astype(np.float32)
        depth_m = not_steeper(sheet_m, STEEPEST * _CELL_M)
        return cls(cv2.GaussianBlur(depth_m, (0, 0), _SMOOTH_M / _CELL_M), rim_m)

    def places(
        self,
        x: Float[np.ndarray, " columns"],
        y: Float[np.ndarray, " rows"],
        seen: tuple[Camera, Float[np.ndarray, "4 4"]],
        footage: tuple[Camera, Float[np.ndarray, "4 4"]],
    ) -> Float[np.ndarray, "rows columns 2"]:
        """Where an image of the footage has what is seen at places of another: pixels of both.

        Args:
            seen, footage: the camera and the head's pose of either.
        """
        camera, pose = seen
        rays_x, rays_y = ((at - c) / camera.focal_px for at, c in zip((x, y), camera.principal_px, strict=True))
        rays = np.stack(np.broadcast_arrays(rays_x, rays_y[:, None], 1.0), -1) @ pose[:3, :3]
        eye = -pose[:3, 3] @ pose[:3, :3]
        forward = np.maximum(rays[..., 2], 0.1)  # a head that is seen from behind has no such surface
        near, far = ((end - eye[2]) / forward for end in (self.depth_m.min(), self.depth_m.max()))
        for _ in range(_HALVINGS):
            middle = 0.5 * (near + far)
            point = eye + middle[..., None] * rays
            before = point[..., 2] < self._at(point[..., 0], point[..., 1])
            near, far = np.where(before, middle, near), np.where(before, far, middle)
        points = eye + (0.5 * (near + far))[..., None] * rays
        footage_camera, footage_pose = footage
        there = points @ footage_pose[:3, :3].T + footage_pose[:3, 3]
        return to_pixels(there, footage_camera.focal_px, np.array(footage_camera.principal_px))

    def _at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """z at places of the head's plane, metres."""
        columns, rows = (
            ((at - first) / _CELL_M).astype(np.float32) for at, (first, _) in zip((x, y), EXTENT_M, strict=True)
        )
        return cv2.remap(self.depth_m, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
