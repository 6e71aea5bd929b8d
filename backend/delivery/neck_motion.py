"""How a body moves with a head that is rendered elsewhere than the footage has it: displacements in the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..portrait_sync.body_layer import LARGEST_MOTION, REACH, STEP, BodyLayer
from ..workspace.arrays import smoothstep
from ..workspace.camera import Camera
from ..workspace.poses import to_camera, to_pixels

JAW_REACH = 0.2
"""How far from the jaw line the body follows the jaw's own opening, in face heights: skin does, a collar does not."""
VISIBLE_PX = (0.1, 0.5)
"""A displacement below the first changes nothing, from the second on the patch is opaque; pixels of the working frame."""
_COLUMN = 0.08
"""Width of the weights that interpolate between the points of the jaw line, in face heights."""
_CELL = 0.05
"""Between two places that the displacement is computed at, in face heights."""
SEAM = 0.03
"""Over how much of the working frame's side it fades into the footage around it (`blend.working_ramp`)."""
ENDS = (0.1, 0.3)
"""Up to the first from the head, in face heights, a body ends at a side where the image ends, from the second on it stays at it."""
_NEAREST_M = 0.05


@dataclass(frozen=True)
class Edges:
    """The edges of the working frame: its side in pixels, and where the footage continues beyond it."""

    size: int
    left: bool
    right: bool
    below: bool

    def room(self, x: np.ndarray, y: np.ndarray, motion: np.ndarray) -> Room:
        """
        Args:
            x: (columns) and y: (rows) of the places, pixels.
            motion: (rows, columns, 2) how far away what is seen there is taken from.
        """
        sides = x, self.size - x, (self.size - y)[:, None]
        kept = np.full(motion.shape[:2], np.inf)
        for side, continues in zip(sides, (self.left, self.right, self.below), strict=True):
            if continues:
                kept = np.minimum(kept, side - SEAM * self.size)
        across = np.broadcast_to(np.where(motion[..., 0] < 0, sides[0], sides[1]), kept.shape)
        down = np.where(motion[..., 1] > 0, sides[2], np.inf)
        return Room(*(np.maximum(part, 0.0) for part in (kept, across, down)))


@dataclass(frozen=True)
class Room:
    """How far places are from the edges that they are moved away from, (rows, columns) each, in pixels.

    Attributes:
        kept: from edges where the footage continues: there nothing may move.
        across: from a side where the image ends: from beyond it nothing can come. What hangs next to the head ends there, as the hair
            above it does (`hair_layer.CUT`); a shoulder does not.
        down: from the image's lower edge, likewise.
    """

    kept: np.ndarray
    across: np.ndarray
    down: np.ndarray


@dataclass(frozen=True)
class JawMotion:
    """From the rendered head back to the footage's, in pixels of the working frame.

    Attributes:
        camera, footage_camera: of the rendered head and of the footage's.
        back: (4, 4) from the rendered head's camera to the footage's, metres.
        jaw_px: (n, 2) the rendered jaw line and what hangs beside it, and depth_m (n) their depths.
        opened_px: (n, 2) how far blendshapes alone have moved it.
        moved_px: (n, 2) how far it is from where the footage has it.
    """

    camera: Camera
    footage_camera: Camera
    back: np.ndarray
    jaw_px: np.ndarray
    depth_m: np.ndarray
    opened_px: np.ndarray
    moved_px: np.ndarray

    @property
    def largest_px(self) -> float:
        """The largest motion of the jaw line, across or down."""
        return float(np.abs(self.moved_px).max())

    @classmethod
    def between(
        cls, footage: tuple[Camera, np.ndarray, np.ndarray], rendered: tuple[Camera, np.ndarray, np.ndarray]
    ) -> JawMotion | None:
        """Of two heads, each its camera, its pose (4, 4) and its jaw line (n, 3) in the head frame, metres; None where either
        is behind its camera."""
        (footage_camera, footage_pose, footage_jaw), (camera, pose, jaw) = footage, rendered
        now, then, rigid = (
            to_camera(p[None], points)[0]
            for p, points in ((pose, jaw), (footage_pose, footage_jaw), (footage_pose, jaw))
        )
        if min(points[:, 2].min() for points in (now, then, rigid)) < _NEAREST_M:
            return None
        jaw_px, then_px, rigid_px = _pixels(camera, now), _pixels(footage_camera, then), _pixels(footage_camera, rigid)
        back = footage_pose @ _inverse(pose)
        return cls(camera, footage_camera, back, jaw_px, now[:, 2], rigid_px - then_px, jaw_px - then_px)

    def displacement(self, x: np.ndarray, y: np.ndarray, layer: BodyLayer, edges: Edges) -> np.ndarray:
        """How far away in the footage lies what is seen at places of the rendered image: (rows, columns, 2) float64.

        At the jaw line and behind the head it is the rigid head's own motion, at the depth of the jaw in that column; from
        there it falls to 0 over `REACH`. It is a function of the rendered image's places: so what meets the rendered jaw
        is exactly what met it in the footage.

        Args:
            x: (columns) and y: (rows) of the places.
        """
        away = (x[:, None] - self.jaw_px[:, 0]) / (_COLUMN * layer.face_height)
        weight = np.exp(-0.5 * (away**2 - (away**2).min(1, keepdims=True)))
        depth = weight @ self.depth_m / weight.sum(1)
        rays_x, rays_y = (
            (at - c) / self.camera.focal_px for at, c in zip((x, y), self.camera.principal_px, strict=True)
        )
        points = np.empty((len(y), len(x), 3))
        points[..., 0], points[..., 1], points[..., 2] = rays_x * depth, rays_y[:, None] * depth, depth
        points = points @ self.back[:3, :3].T + self.back[:3, 3]
        points[..., 2] = np.maximum(points[..., 2], _NEAREST_M)
        places = np.stack(np.broadcast_arrays(x, y[:, None]), -1)
        motion = _pixels(self.footage_camera, points) - places - self._opened(x, y, layer.face_height)
        length = np.hypot(motion[..., 0], motion[..., 1])
        motion *= np.minimum(1.0, LARGEST_MOTION * layer.face_height / np.maximum(length, 1e-6))[..., None]
        return motion * _follows(places + motion, layer, edges.room(x, y, motion))

    def _opened(self, x: np.ndarray, y: np.ndarray, face_height: float) -> np.ndarray | float:
        """(rows, columns, 2) how far blendshapes have moved the jaw line next to each place."""
        if np.abs(self.opened_px).max() < 0.01:
            return 0.0
        reach = JAW_REACH * face_height
        first, last = self.jaw_px.min(0) - reach, self.jaw_px.max(0) + reach
        rows, columns = (
            slice(*np.searchsorted(at, ends)) for at, ends in ((y, (first[1], last[1])), (x, (first[0], last[0])))
        )
        away = (x[columns, None] - self.jaw_px[:, 0]) ** 2 + ((y[rows, None] - self.jaw_px[:, 1]) ** 2)[:, None]
        away /= (_COLUMN * face_height) ** 2
        nearest = away.min(2, keepdims=True)
        weight = np.exp(-0.5 * (away - nearest))
        near = smoothstep(JAW_REACH, 0.0, _COLUMN * np.sqrt(nearest))
        opened = np.zeros((len(y), len(x), 2))
        opened[rows, columns] = near * (weight @ self.opened_px) / weight.sum(2, keepdims=True)
        return opened


def _follows(places: np.ndarray, layer: BodyLayer, room: Room) -> np.ndarray:
    """(rows, columns, 2) in [0, 1]: how much of the head's motion, across and down, the body at places of the footage has."""
    at = (places / STEP - 0.5).astype(np.float32)
    distance = cv2.remap(layer.distance_px, at, np.empty(0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    reach = (distance / (REACH * layer.face_height)) ** 3
    free = REACH * layer.face_height * smoothstep(*ENDS[::-1], distance / layer.face_height)
    across, down = np.minimum(room.kept, room.across + free), np.minimum(room.kept, room.down)
    # A smooth minimum of the reach and the room there is.
    shares = [(reach + (distance / (distance + there + 1e-3)) ** 3) ** (1.0 / 3.0) for there in (across, down)]
    return smoothstep(1.0, 0.0, np.stack(shares, -1))


def grid_of(layer: BodyLayer, motion: JawMotion, edges: Edges) -> np.ndarray:
    """(rows, columns, 3) float32 for `composite_under`."""
    cell = _CELL * layer.face_height
    shape = max(2, round(layer.height / cell)), max(2, round(layer.width / cell))
    y, x = (
        start + (np.arange(count) + 0.5) * length / count
        for start, count, length in zip((layer.y, layer.x), shape, (layer.height, layer.width), strict=True)
    )
    grid = np.empty((*shape, 3), np.float32)
    grid[..., :2] = motion.displacement(x, y, layer, edges)
    grid[..., 2] = smoothstep(*VISIBLE_PX, np.hypot(grid[..., 0], grid[..., 1]))
    # Where no body is and none comes from, a pixel need not be computed to find that.
    occupied = layer.occupied(shape)
    rows = np.arange(shape[0])[:, None] + np.rint(grid[..., 1] * (shape[0] / layer.height)).astype(int)
    columns = np.arange(shape[1]) + np.rint(grid[..., 0] * (shape[1] / layer.width)).astype(int)
    grid[..., 2] *= occupied | occupied[np.clip(rows, 0, shape[0] - 1), np.clip(columns, 0, shape[1] - 1)]
    return grid


def _pixels(camera: Camera, points: np.ndarray) -> np.ndarray:
    return to_pixels(points, camera.focal_px, np.array(camera.principal_px))


def _inverse(pose: np.ndarray) -> np.ndarray:
    """Of (4, 4), by cross products: a call of LAPACK may wait milliseconds for its threads."""
    x, y, z = pose[:3, :3].T
    inverse = np.eye(4)
    inverse[:3, :3] = np.stack([np.cross(y, z), np.cross(z, x), np.cross(x, y)]) / (x @ np.cross(y, z))
    inverse[:3, 3] = -inverse[:3, :3] @ pose[:3, 3]
    return inverse
