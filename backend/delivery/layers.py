"""What is taken from a frame of the footage to be shown with a head: made once, and kept for the frames last used."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

import numpy as np

from ..portrait_sync.head_region import smooth_landmarks
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace

_KEPT = 32
"""Layers that are kept, of the frames last used."""


Layer = TypeVar("Layer")


class FootageLayers(Generic[Layer]):
    """The layers of one workspace under one of its heads; a class of them says how one is made.

    Args:
        workspace: processed.
        track: of the head that is rendered.

    Raises:
        WorkspaceError: files are missing or damaged.
    """

    def __init__(self, workspace: Workspace, track: HeadTrack) -> None:
        self._workspace, self._track = workspace, track
        self._landmarks, self._usable = smooth_landmarks(track.landmarks_px, track.valid)
        self._layers: OrderedDict[int, Layer | None] = OrderedDict()

    def _footage_pose(self, frame: int, pose: np.ndarray) -> np.ndarray | None:
        """(4, 4) of the head in a frame; None where it shows none, or `pose` is no pose."""
        if not (0 <= frame < self._track.frames and self._usable[frame]):
            return None
        footage = self._track.head_to_camera[frame]
        return footage if np.isfinite(footage).all() and np.isfinite(pose).all() else None

    def _layer(self, frame: int) -> Layer | None:
        """That of a frame; None where it has none."""
        if frame in self._layers:
            self._layers.move_to_end(frame)
            return self._layers[frame]
        layer = self._layers[frame] = self._made(frame)
        if len(self._layers) > _KEPT:
            self._layers.popitem(last=False)
        return layer

    def _made(self, frame: int) -> Layer | None:
        raise NotImplementedError
