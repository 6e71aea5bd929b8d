"""A neck that follows a directed head: the footage's own body, warped, under the rendered head (docs/portrait-sync.md).

The rendered head is composited over a plate in which the body is where the footage has it. What moves of it is put beneath
the head into the same RGBA image, so whatever composites a head composites its neck as well.
"""

from __future__ import annotations

import numpy as np

from ..portrait_sync.body_layer import BodyLayer, UnderJaw, body_layer
from ..portrait_sync.clip_background import ClipBackground
from ..portrait_sync.hair_surface import hanging_beside
from ..portrait_sync.head_region import JAW, UNDER_JAW, face_frame, under_jaw
from ..portrait_sync.placed_head import PlacedHead
from ..renderer.lanes import packed
from ..renderer.underlay import Window, composite_under
from ..workspace.store import Workspace
from .layers import FootageLayers, FootageTrack, LastImages
from .neck_motion import VISIBLE_PX, Edges, JawMotion, grid_of
from .place import Place
from .threads import on_threads

ENDS_MOVED = 0.05
"""Moved so far, in face heights, a head ends at its jaw: what is under that in the footage is under it here."""


class Neck(FootageLayers[BodyLayer]):
    """Puts the neck of one workspace under one of its heads."""

    def __init__(self, workspace: Workspace, footage: FootageTrack, images: LastImages | None = None) -> None:
        super().__init__(workspace, footage, images)
        mesh, subject = workspace.face_mesh(), workspace.subject
        self._jaw, self._jaw_shapes = mesh.vertices_m[list(JAW)], mesh.shape_keys[:, list(JAW)]
        self._beside = hanging_beside(mesh)
        self._background = ClipBackground(workspace)
        crop, (width, height) = subject.place, subject.source_size
        inside = crop.x > 0.5, crop.x + crop.size < width - 0.5, crop.y + crop.size < height - 0.5
        self._edges = Edges(subject.size, *inside)

    def under(self, head: PlacedHead, place: Place) -> None:
        """Put its neck under a head, in the head's own memory, and end it at its jaw; unchanged where the head is where the footage has
        it, or the frame has no face.

        Args:
            place: of the working frame in the image.
        """
        rgba, (layer, motion) = head.rgba, self._layer_and_motion(head, place)
        if layer is None or motion is None:
            return
        behind = layer.behind_in(place.scale, place.x, place.y, rgba.shape[:2])
        grid = grid_of(layer, motion, self._edges)
        changed = None if behind is None else _changed(grid, layer, place, behind[:2])
        if behind is None or changed is None:
            return
        rows, columns = changed
        first = (
            (columns.start + 0.5 - place.x) / place.scale - layer.x,
            (rows.start + 0.5 - place.y) / place.scale - layer.y,
        )
        self._end_at_jaw(head, place, layer, motion)
        numbers = (*first, 1 / place.scale, layer.width, layer.height)
        window = Window(rows.start, columns.start, *(np.float32(number) for number in numbers))
        inside = behind[2][
            rows.start - behind[0].start : rows.stop - behind[0].start,
            columns.start - behind[1].start : columns.stop - behind[1].start,
        ]
        on_threads(composite_under, rgba, window, grid, packed(layer.body_for(place.scale)), packed(inside))

    def end_at_jaw(self, head: PlacedHead, place: Place) -> None:
        """End a head at its jaw as `under` does: of its mattes, say."""
        layer, motion = self._layer_and_motion(head, place)
        if layer is not None and motion is not None:
            self._end_at_jaw(head, place, layer, motion)

    def _end_at_jaw(self, head: PlacedHead, place: Place, layer: BodyLayer, motion: JawMotion) -> None:
        moved = motion.moved_px[: len(JAW)]
        jaw = place.scale * (self._footage.landmarks_px[head.frame][list(JAW)] + moved) + (place.x, place.y)
        found = under_jaw(jaw, place.scale * layer.face_height, head.rgba.shape[:2], UNDER_JAW)
        if found is None:
            return
        window, strip = found
        share = min(1.0, motion.largest_px / (ENDS_MOVED * layer.face_height))
        head.rgba[window] *= (1.0 - np.float32(share) * strip)[..., None]

    def _layer_and_motion(self, head: PlacedHead, place: Place) -> tuple[BodyLayer | None, JawMotion | None]:
        track, footage = self._footage.track, self._footage_pose(head)
        if footage is None:
            return None, None
        seen_by = place.to_working(head.camera, self._workspace.subject.size)
        jaws = self._jaw_of(track.blendshapes[head.frame]), self._jaw_of(head.blendshapes)
        motion = JawMotion.between((track.camera, footage, jaws[0]), (seen_by, head.head_to_camera, jaws[1]))
        if motion is None or motion.largest_px < VISIBLE_PX[0]:
            return None, None
        return self._layer(head.frame), motion

    def _jaw_of(self, blendshapes: np.ndarray) -> np.ndarray:
        """(n, 3) the jaw line in the head frame, metres, and what hangs beside it at its corners' height."""
        jaw = self._jaw + np.tensordot(blendshapes[: len(self._jaw_shapes)], self._jaw_shapes, 1)
        return np.concatenate([jaw, self._beside])

    def _made(self, frame: int) -> BodyLayer | None:
        images, axes = self._images, face_frame(self._footage.landmarks_px[frame])
        parts = images.plate(frame), images.matte(frame), self._background.at(frame)
        strip = UnderJaw.of(images.frame(frame), self._footage.landmarks_px[frame])
        return body_layer(*parts, axes.height, axes.centre, strip)


def _changed(
    grid: np.ndarray, layer: BodyLayer, place: Place, within: tuple[slice, slice]
) -> tuple[slice, slice] | None:
    """Rows and columns of the image that the grid shows anything in; None where it shows nothing."""
    box = []
    for axis, start, length, origin, limit in (
        (0, layer.y, layer.height, place.y, within[0]),
        (1, layer.x, layer.width, place.x, within[1]),
    ):
        found = np.flatnonzero((grid[..., 2] > 0).any(axis=1 - axis))
        if not found.size:
            return None
        cell = place.scale * length / grid.shape[axis]  # what a place shows reaches to the middle of the next cell
        first = origin + place.scale * start + cell * (found[0] - 0.5)
        last = origin + place.scale * start + cell * (found[-1] + 1.5)
        begin, end = max(limit.start, int(first)), min(limit.stop, int(last) + 1)
        # The outermost cells reach to the edge.
        begin, end = (
            (limit.start if found[0] == 0 else begin),
            (limit.stop if found[-1] == grid.shape[axis] - 1 else end),
        )
        if end <= begin:
            return None
        box.append(slice(begin, end))
    return box[0], box[1]
