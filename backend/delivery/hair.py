"""The footage's own hair over a rendered head, turned with it (docs/portrait-sync.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..portrait_sync.clip_background import ClipBackground
from ..portrait_sync.hair_layer import HairLayer, hair_layer
from ..portrait_sync.hair_surface import HairSurface
from ..portrait_sync.head_region import FOREHEAD, OUTLINE_M, face_frame
from ..portrait_sync.placed_head import PlacedHead
from ..renderer.lanes import packed
from ..renderer.overlay import replace_by
from ..workspace.arrays import smoothstep
from ..workspace.poses import image_similarity
from ..workspace.store import Workspace
from .layers import FootageLayers, FootageTrack, LastImages
from .place import Place
from .threads import on_threads

PARALLAX = (0.12, 0.18)
"""Up to the first the hair is the footage's, from the second on the rendered one: how far the hairline moves against the
outline of the head, in face heights. That is a turn of 14, and of 22 degrees."""
SAME_PX = 0.02
"""A head that is nowhere further from the footage's is where the footage has it: nothing is resampled."""
_AROUND = 0.15
"""How far beyond a layer moved as its outline the layer may be seen, in face heights."""
_CELL = 0.04
"""Between two places whose origin is computed, in face heights."""
_NEAREST_M = 0.05


@dataclass(frozen=True)
class _Seen:
    """A rendered head beside the footage's.

    Attributes:
        footage_pose: (4, 4).
        to_footage: (2, 3) the similarity that takes the outline in the image to that in the working frame.
        moved_px: how far the head was moved, in pixels of the working frame.
        share: how much the footage's hair counts.
    """

    footage_pose: np.ndarray
    to_footage: np.ndarray
    moved_px: float
    share: float

    @property
    def is_moved(self) -> bool:
        return self.moved_px >= SAME_PX


class Hair(FootageLayers[HairLayer]):
    """Puts the hair of one workspace's footage over one of its heads."""

    def __init__(self, workspace: Workspace, footage: FootageTrack, images: LastImages | None = None) -> None:
        super().__init__(workspace, footage, images)
        mesh = workspace.face_mesh()
        self._surface, self._background = HairSurface.of(mesh), ClipBackground(workspace)
        self._points = np.concatenate([OUTLINE_M, mesh.vertices_m[list(FOREHEAD)]])

    def over(self, head: PlacedHead, place: Place) -> None:
        """Put the footage's hair over a head, in its own memory; unchanged where the head is turned away from the footage's, or the
        frame has no face or no hair.

        Args:
            place: of the working frame in the image.
        """
        self._replace(head, place, mattes=False)

    def mattes_over(self, head: PlacedHead, place: Place) -> None:
        """The same of the head's mattes of mouth, hair and skin and its alpha in place of its image, premultiplied."""
        self._replace(head, place, mattes=True)

    def _replace(self, head: PlacedHead, place: Place, mattes: bool) -> None:
        seen = self._seen(head, place)
        if seen is None or seen.share <= 0 or (layer := self._layer(head.frame)) is None:
            return
        if seen.is_moved:
            layer = layer.moved(seen.moved_px)
        if (found := self._origins(head, place, layer, seen)) is None:
            return
        window, grid = found
        shown = packed(layer.mattes if mattes else layer.head)
        on_threads(replace_by, head.rgba[window], grid, shown, layer.weight, layer.doubt, np.float32(seen.share))

    def _seen(self, head: PlacedHead, place: Place) -> _Seen | None:
        """None where either head is none, or behind its camera."""
        pose = self._footage_pose(head)
        if pose is None:
            return None
        then, depth_then = self._footage.track.camera.project(pose, self._points)
        now, depth = head.camera.project(head.head_to_camera, self._points)
        if min(depth.min(), depth_then.min()) < _NEAREST_M:
            return None
        outline = len(OUTLINE_M)
        affine = image_similarity(now[:outline], then[:outline])
        apart = now[outline:] @ affine[:, :2].T + affine[:, 2] - then[outline:]
        height_px = face_frame(self._footage.landmarks_px[head.frame]).height
        share = float(smoothstep(*PARALLAX[::-1], float(np.hypot(*apart.T).max()) / height_px))
        moved_px = float(np.abs((now - (place.x, place.y)) / place.scale - then).max())
        return _Seen(pose, affine, moved_px, share)

    def _origins(
        self, head: PlacedHead, place: Place, layer: HairLayer, seen: _Seen
    ) -> tuple[tuple[slice, slice], np.ndarray] | None:
        """Rows and columns of the image that may show the layer, and where in it they come from, as `replace_by` takes it; None where that
        is nowhere."""
        shape = head.rgba.shape[:2]
        if not seen.is_moved:
            exact = np.array([[1.0, 0.0, -place.x], [0.0, 1.0, -place.y]]) / place.scale
            if (window := _window(layer, exact, shape, 0.0)) is None:
                return None
            x, y = _nodes(window, np.inf)
            places = np.stack(np.broadcast_arrays(x, y[:, None]), -1) / place.scale + exact[:, 2]
        else:
            if (window := _window(layer, seen.to_footage, shape, _AROUND * layer.face_height)) is None:
                return None
            x, y = _nodes(window, _CELL * layer.face_height / float(np.hypot(*seen.to_footage[:, 0])))
            footage = self._footage.track.camera, seen.footage_pose
            places = self._surface.places(x, y, (head.camera, head.head_to_camera), footage)
        return window, (places - (layer.x, layer.y)).astype(np.float32)

    def _made(self, frame: int) -> HairLayer | None:
        images = self._images
        taken = images.frame(frame), images.plate(frame), images.matte(frame)
        return hair_layer(*taken, self._footage.landmarks_px[frame], self._background.seen_at(frame))


def _nodes(window: tuple[slice, slice], cell: float) -> list[np.ndarray]:
    """x and y of places from the first to the last pixel of a window, two or more, no further apart than `cell` pixels."""
    return [
        np.linspace(part.start + 0.5, part.stop - 0.5, 2 + int((part.stop - part.start) / cell))
        for part in window[::-1]
    ]


def _window(
    layer: HairLayer, affine: np.ndarray, shape: tuple[int, ...], around_px: float
) -> tuple[slice, slice] | None:
    """Rows and columns of the image that the layer covers, and so much around it; None where that is nothing.

    Args:
        affine: (2, 3) from places of the image to those of the working frame.
    """
    x, y = (
        np.array([first - around_px, first + length + around_px])
        for first, length in ((layer.x, layer.width), (layer.y, layer.height))
    )
    corners = np.linalg.solve(affine[:, :2], np.stack([x[[0, 1, 1, 0]], y[[0, 0, 1, 1]]]) - affine[:, 2:])
    first = np.maximum(np.floor(corners.min(1)).astype(int), 0)
    last = np.minimum(np.ceil(corners.max(1)).astype(int), (shape[1], shape[0]))
    return (slice(first[1], last[1]), slice(first[0], last[0])) if (last > first).all() else None
