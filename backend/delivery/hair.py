"""The footage's own hair over a rendered head, as far as the head is turned as in the footage (docs/portrait-sync.md)."""

from __future__ import annotations

import numpy as np

from ..portrait_sync.hair_layer import HairLayer, hair_layer
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

PARALLAX = (0.015, 0.05)
"""Up to the first the hair is the footage's, from the second on the rendered one: how far the hairline moves against the
outline of the head, in face heights. That is a turn of 2, and of 6 degrees."""
_NEAREST_M = 0.05


class Hair(FootageLayers[HairLayer]):
    """Puts the hair of one workspace's footage over one of its heads."""

    def __init__(self, workspace: Workspace, footage: FootageTrack, images: LastImages | None = None) -> None:
        super().__init__(workspace, footage, images)
        hairline = workspace.face_mesh().vertices_m[list(FOREHEAD)]
        self._points = np.concatenate([OUTLINE_M, hairline])

    def over(self, head: PlacedHead, place: Place) -> None:
        """Put the footage's hair over a head, in its own memory; unchanged where the head is turned away from the footage's, or the
        frame has no face or no hair.

        Args:
            place: of the working frame in the image.
        """
        self._replace(head, place, mattes=False)

    def mattes_over(self, head: PlacedHead, place: Place) -> None:
        """The same of the head's mattes of mouth, hair and skin and its alpha in place of its image, premultiplied: what is the
        footage's is hair."""
        self._replace(head, place, mattes=True)

    def _replace(self, head: PlacedHead, place: Place, mattes: bool) -> None:
        rgba, placed = head.rgba, self._placed(head, place)
        layer = None if placed is None else self._layer(head.frame)
        window = None if placed is None or layer is None else _window(layer, placed[0], rgba.shape[:2])
        if placed is None or layer is None or window is None:
            return
        to_layer = placed[0].copy()
        to_layer[:, 2] -= (layer.x, layer.y)
        shown = packed(layer.mattes if mattes else layer.head)
        corner, images = (window[0].start, window[1].start), (shown, layer.weight)
        on_threads(replace_by, rgba[window], *corner, to_layer.astype(np.float32), *images, np.float32(placed[1]))

    def _placed(self, head: PlacedHead, place: Place) -> tuple[np.ndarray, float] | None:
        """(2, 3) from places of the image to those of the working frame, and how much the footage's hair counts, above 0."""
        footage = self._footage_pose(head)
        if footage is None:
            return None
        then, depth_then = self._footage.track.camera.project(footage, self._points)
        now, depth = head.camera.project(head.head_to_camera, self._points)
        if min(depth.min(), depth_then.min()) < _NEAREST_M:
            return None
        outline = len(OUTLINE_M)
        affine = image_similarity(now[:outline], then[:outline])
        apart = now[outline:] @ affine[:, :2].T + affine[:, 2] - then[outline:]
        apart_px, height_px = float(np.hypot(*apart.T).max()), face_frame(self._footage.landmarks_px[head.frame]).height
        share = float(smoothstep(*PARALLAX[::-1], apart_px / height_px))
        exact = np.array(
            [[1 / place.scale, 0.0, -place.x / place.scale], [0.0, 1 / place.scale, -place.y / place.scale]]
        )
        # Where the head is where the footage has it nothing is resampled.
        same = np.abs(now @ (affine - exact)[:, :2].T + (affine - exact)[:, 2]).max() < 0.02
        return (exact if same else affine, share) if share > 0 else None

    def _made(self, frame: int) -> HairLayer | None:
        images = self._images
        taken = images.frame(frame), images.plate(frame), images.matte(frame)
        return hair_layer(*taken, self._footage.landmarks_px[frame])


def _window(layer: HairLayer, affine: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Rows and columns of the image that the layer covers; None where that is nothing."""
    x, y = np.array([0, layer.width, layer.width, 0]) + layer.x, np.array([0, 0, layer.height, layer.height]) + layer.y
    corners = np.linalg.solve(affine[:, :2], np.stack([x, y]) - affine[:, 2:])
    first = np.maximum(np.floor(corners.min(1)).astype(int), 0)
    last = np.minimum(np.ceil(corners.max(1)).astype(int), (shape[1], shape[0]))
    return (slice(first[1], last[1]), slice(first[0], last[0])) if (last > first).all() else None
