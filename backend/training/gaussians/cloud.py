"""Where the Gaussians begin: points on the surface that the trained field shows, coloured by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ...errors import WorkspaceError
from ...portrait_sync.beyond_frame import completed
from ...protocol import BLENDSHAPE_NAMES
from ...renderer.field.rays import surface_points
from ...renderer.field.renderer import FieldRenderer
from ...workspace.camera import Camera
from ...workspace.face_mesh import FaceMesh
from ...workspace.shapes import Float, Int
from .crown import is_cut_off, skull_cap
from .turned_frames import row_of, surface_of

VIEWS, OPEN_MOUTHS = 24, 12
"""Frames whose poses the field is rendered from, and those with the most open mouth, for what is inside."""
RENDERINGS = VIEWS + OPEN_MOUTHS
RENDERED_SIZE = 256
MIN_ALPHA = 0.7
"""Below, a ray's depth is a mixture of what is behind one another."""
INSIDE_MOUTH_M = 0.004
"""Behind the lips' middle from which a point belongs to the mouth's inside."""
FINE_CELL = 0.6
"""Spacing at mouth and eyes, in spacings elsewhere."""
EYE_RADIUS_M = 0.022
STEEP, STEEP_TIMES = 0.7, 3
"""Slope of a surface, depth by width, from which points lie closer, and how many times."""
_MIN_POINTS = 500
"""Fewer points are no surface of a head."""
_JAW_OPEN = BLENDSHAPE_NAMES.index("jawOpen")


class NoSurfaceError(WorkspaceError):
    """The field was not trained long enough for a twin to begin on it."""


@dataclass(frozen=True)
class Cloud:
    """Points in the head frame, metres, with colours in [0, 1] and the mean distance to the nearest three."""

    points_m: Float[np.ndarray, "n 3"]
    colours: Float[np.ndarray, "n 3"]
    spacing_m: Float[np.ndarray, " n"]


def field_cloud(
    renderer: FieldRenderer,
    camera: Camera,
    poses: Float[np.ndarray, "frames 4 4"],
    conditions: Float[np.ndarray, "frames conditions"],
    frames: Int[np.ndarray, " used"],
    face_head_m: Float[np.ndarray, "478 3"],
    face: FaceMesh,
    count: int,
    rendered: Callable[[], None],
) -> Cloud:
    """About `count` points, denser at mouth and eyes.

    Args:
        frames: the training frames.
        face: where the field's surface is moved to (`surface_of`), but for what is inside the mouth.
        rendered: called after each of the `RENDERINGS`.

    Raises:
        NoSurfaceError: the field was trained too briefly to show a surface.
    """
    camera = camera.resized(RENDERED_SIZE / max(camera.width, camera.height))
    mean = conditions[frames].mean(0)
    by_jaw = frames[np.argsort(-conditions[frames, _JAW_OPEN], kind="stable")]
    open_mouths = by_jaw[: 5 * OPEN_MOUTHS : 5]
    views = [(index, mean, False) for index in spread_poses(poses, frames, VIEWS)]
    views += [(int(index), conditions[index], True) for index in open_mouths]
    mouth = Mouth.of(face_head_m)
    points, colours, cut_off = [], [], 0
    for index, values, inside in views:
        seen, colour, is_cut = _surface(
            renderer, camera, poses[index], values, None if inside else face, mouth.centre_m
        )
        cut_off += is_cut
        kept = mouth.inside(seen) if inside else np.ones(len(seen), bool)
        points.append(seen[kept])
        colours.append(colour[kept])
        rendered()
    all_points, all_colours = np.concatenate(points), np.concatenate(colours)
    if cut_off > VIEWS // 2:
        cap, cap_colours = skull_cap(all_points, all_colours)
        all_points, all_colours = np.concatenate([all_points, cap]), np.concatenate([all_colours, cap_colours])
    if len(all_points) < _MIN_POINTS:
        raise NoSurfaceError(
            "The field shows no surface yet: train longer, so that its Gaussian twin can begin on one."
        )
    chosen = _thinned(all_points, _is_fine(all_points, face_head_m, mouth), count)
    chosen_points = all_points[chosen].astype(np.float32)
    distances, _ = cKDTree(chosen_points).query(chosen_points, k=4)
    return Cloud(chosen_points, all_colours[chosen].astype(np.float32), distances[:, 1:].mean(1).astype(np.float32))


def spread_poses(poses: Float[np.ndarray, "frames 4 4"], frames: Int[np.ndarray, " used"], count: int) -> list[int]:
    """Frames far from one another in rotation: the most central, then always the farthest from those chosen."""
    rotations = poses[frames, :3, :3].reshape(len(frames), 9)
    chosen = [int(((rotations - rotations.mean(0)) ** 2).sum(1).argmin())]
    distance = ((rotations - rotations[chosen[0]]) ** 2).sum(1)
    while len(chosen) < min(count, len(frames)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((rotations - rotations[chosen[-1]]) ** 2).sum(1))
    return [int(frames[place]) for place in chosen]


@dataclass(frozen=True)
class Mouth:
    """Where the lips are, in the head frame, metres."""

    centre_m: np.ndarray
    width_m: float

    @classmethod
    def of(cls, face_head_m: np.ndarray) -> Mouth:
        return cls(face_head_m[[13, 14]].mean(0), float(np.linalg.norm(face_head_m[61] - face_head_m[291])))

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Which points are behind the lips: teeth, tongue, the dark behind them."""
        offset = points - self.centre_m
        beside, above = np.abs(offset[:, 0]) < 0.45 * self.width_m, np.abs(offset[:, 1]) < 0.4 * self.width_m
        return beside & above & (offset[:, 2] > INSIDE_MOUTH_M)


def _surface(
    renderer: FieldRenderer,
    camera: Camera,
    pose: np.ndarray,
    values: np.ndarray,
    face: FaceMesh | None,
    lips_m: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Points in the head frame and straight colours of the opaque pixels; with a face, also of what the image cuts off, and whether that
    is a crown."""
    head = renderer.render(camera, pose, values, passes=True)
    assert head.depth_m is not None
    rgba, depth_m, is_cut = head.rgba, head.depth_m, False
    if face is not None:
        depth_m = surface_of(depth_m, rgba[..., 3], camera, pose, face, values).front_m * camera.ray_lengths()
        rgba, margin = completed(rgba, row_of(camera, pose, lips_m))
        is_cut = is_cut_off(rgba, margin)
        depth_m = cv2.copyMakeBorder(depth_m, *[margin] * 4, cv2.BORDER_REPLICATE)
        camera = camera.cropped(-margin, -margin, camera.width + 2 * margin, camera.height + 2 * margin)
        rgba, depth_m, camera = _denser(rgba, depth_m, camera)
    alpha = rgba[..., 3]
    rows, columns = np.nonzero((alpha > MIN_ALPHA) & (depth_m > 0))
    points = surface_points(camera, pose, depth_m, rows, columns)
    return points, rgba[rows, columns, :3] / alpha[rows, columns, None], is_cut


def _denser(rgba: np.ndarray, depth_m: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, Camera]:
    """The same view with `STEEP_TIMES` as many pixels a side, of which those between the old ones count where the surface is steep: from
    elsewhere it is wide."""
    larger = camera.resized(STEEP_TIMES)
    size = larger.width, larger.height
    slope = np.hypot(*np.gradient(depth_m)) * camera.focal_px / np.maximum(depth_m, 1e-3)
    kept = cv2.resize((slope > STEEP).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    kept[STEEP_TIMES // 2 :: STEEP_TIMES, STEEP_TIMES // 2 :: STEEP_TIMES] = True
    rgba, depth_m = (cv2.resize(image, size, interpolation=cv2.INTER_LINEAR) for image in (rgba, depth_m))
    return rgba, np.where(kept, depth_m, 0), larger


def _is_fine(points: np.ndarray, face_head_m: np.ndarray, mouth: Mouth) -> np.ndarray:
    at_mouth = np.linalg.norm((points - mouth.centre_m) / (1, 0.7, 1.5), axis=1) < 0.75 * mouth.width_m
    eyes = [face_head_m[[outer, inner]].mean(0) for outer, inner in ((33, 133), (362, 263))]
    return at_mouth | np.any([np.linalg.norm(points - eye, axis=1) < EYE_RADIUS_M for eye in eyes], 0)


def _thinned(points: np.ndarray, fine: np.ndarray, count: int) -> np.ndarray:
    """Indices of one random point a cell, of cells of the size that leaves about `count`."""
    order = np.random.default_rng(0).permutation(len(points))
    points, fine, low_corner = points[order], fine[order], points.min(0)

    def one_a_cell(cell: float) -> np.ndarray:
        size = np.where(fine, cell * FINE_CELL, cell)[:, None]
        cells = np.floor((points - low_corner) / size).astype(np.int64)
        keys = ((cells[:, 0] << 40) | (cells[:, 1] << 20) | cells[:, 2]) * 2 + fine
        _, first = np.unique(keys, return_index=True)
        return first

    low, high = 0.0005, 0.01
    for _ in range(8):
        cell = (low * high) ** 0.5
        low, high = (cell, high) if len(one_a_cell(cell)) > count else (low, cell)
    return order[one_a_cell(high)]
