"""Frames unwrapped to the head: the face by its landmarks' triangles, what is around it by a similarity."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import sparse
from scipy.spatial import Delaunay

from ...workspace.landmarks import SKIN_COUNT
from ..head_region import FACE_OVAL, face_frame, fill_polygon

SIDE = 128
"""Texels of the map's side."""
_LOW, _SIZE = np.array([-0.85, -1.55]), np.array([1.7, 2.1])
"""The map's corner and size: across and down from the chin, in face heights."""
_RING = 5
_FRAMES = 64


class HeadMap:
    """Where each texel of a head's map is in a frame.

    Args:
        landmarks_px: (N, 478, 2) of the clip.
        usable: (N) bool, at least one.
    """

    def __init__(self, landmarks_px: np.ndarray, usable: np.ndarray) -> None:
        known = np.flatnonzero(usable)
        sampled = landmarks_px[known[np.linspace(0, len(known) - 1, min(_FRAMES, len(known))).astype(int)]]
        layouts = []
        for points in sampled:
            axes = face_frame(points)
            away = points[:SKIN_COUNT] - axes.chin
            layouts.append(np.stack([away @ axes.across, away @ axes.down], 1) / axes.height)
        self._layout = np.median(layouts, axis=0)
        across, down = (np.linspace(low, low + size, _RING) for low, size in zip(_LOW, _SIZE, strict=True))
        grid = np.stack(np.meshgrid(across, down), -1)
        self._ring = np.concatenate([grid[0], grid[-1], grid[1:-1, 0], grid[1:-1, -1]])
        mesh = Delaunay(np.concatenate([self._layout, self._ring]))
        rows, columns = np.mgrid[0:SIDE, 0:SIDE].reshape(2, -1)
        texels = _LOW + (np.stack([columns, rows], 1) + 0.5) / SIDE * _SIZE
        found = mesh.find_simplex(texels, tol=1e-9)
        to_weights = mesh.transform[found]
        two = np.einsum("nij,nj->ni", to_weights[:, :2], texels - to_weights[:, 2])
        weights = np.concatenate([two, 1 - two.sum(1, keepdims=True)], 1).astype(np.float32)
        places = np.repeat(np.arange(len(texels)), 3), mesh.simplices[found].ravel()
        self._weights = sparse.csr_matrix((weights.ravel(), places), (len(texels), mesh.npoints))
        outline = (self._layout[list(FACE_OVAL)] - _LOW) / _SIZE * SIDE
        self.face = fill_polygon(outline, (SIDE, SIDE), 1.0) > 0.5
        """(SIDE, SIDE) bool: within the face's oval."""
        self._face_weights = self._weights[np.flatnonzero(self.face)]

    def places_px(self, landmarks_px: np.ndarray, face_only: bool = False) -> np.ndarray:
        """(SIDE, SIDE, 2) float32 pixels of the texels; with `face_only` (F, 1, 2), those of the face alone."""
        points = landmarks_px[:SKIN_COUNT]
        centre, middle = self._layout.mean(0), points.mean(0)
        layout, image = self._layout - centre, points - middle
        # The similarity of least squares, with a turn and a scale in one complex number.
        share = 1.0 / (layout**2).sum()
        along = (layout * image).sum() * share
        turn = (layout[:, 0] * image[:, 1] - layout[:, 1] * image[:, 0]).sum() * share
        ring = (self._ring - centre) @ np.array([[along, turn], [-turn, along]]) + middle
        vertices = np.concatenate([points, ring]).astype(np.float32)
        weights = self._face_weights if face_only else self._weights
        return (weights @ vertices).reshape(-1, 1, 2) if face_only else (weights @ vertices).reshape(SIDE, SIDE, 2)

    def unwrapped(self, image: np.ndarray, places_px: np.ndarray, divisor: int = 1) -> np.ndarray:
        """The image, `divisor` times smaller than the frame, at places of the frame."""
        at = places_px / divisor - 0.5
        return cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
