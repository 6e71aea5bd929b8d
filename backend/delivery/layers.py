"""What is taken from a frame of the footage to be shown with a head: made once, and kept for the frames last used."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np

from ..portrait_sync.head_region import smooth_landmarks
from ..portrait_sync.placed_head import PlacedHead
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace

_KEPT = 32
"""Layers that are kept, of the frames last used."""


Layer = TypeVar("Layer")


@dataclass(frozen=True)
class FootageTrack:
    """Where the footage has the head that is rendered.

    Attributes:
        track: of that head.
        landmarks_px: (N, 478, 2) without jitter, and usable: (N) bool, where they can be used.
    """

    track: HeadTrack
    landmarks_px: np.ndarray
    usable: np.ndarray

    @classmethod
    def of(cls, track: HeadTrack) -> FootageTrack:
        return cls(track, *smooth_landmarks(track.landmarks_px, track.valid, track.fps))

    def pose(self, frame: int) -> np.ndarray | None:
        """(4, 4) of the head in a frame; None where that shows none."""
        if not (0 <= frame < self.track.frames and self.usable[frame]):
            return None
        found = self.track.head_to_camera[frame]
        return found if np.isfinite(found).all() else None


class LastImages:
    """Images of a workspace's frames, not to be changed: the last of each kind is kept, as all layers of a frame are made of them."""

    def __init__(self, workspace: Workspace) -> None:
        reads = workspace.read_frame, workspace.read_plate, workspace.read_matte
        self.frame, self.plate, self.matte = (lru_cache(maxsize=1)(read) for read in reads)


class FootageLayers(Generic[Layer]):
    """The layers of one workspace under one of its heads; a class of them says how one is made.

    Args:
        workspace: processed.
        images: of the workspace, where others read them too.

    Raises:
        WorkspaceError: files are missing or damaged.
    """

    def __init__(self, workspace: Workspace, footage: FootageTrack, images: LastImages | None = None) -> None:
        self._workspace, self._footage, self._images = workspace, footage, images or LastImages(workspace)
        self._layers: OrderedDict[int, Layer | None] = OrderedDict()

    def _footage_pose(self, head: PlacedHead) -> np.ndarray | None:
        """(4, 4) of the head in the frame beneath; None where it shows none, or the rendered head has no pose."""
        return self._footage.pose(head.frame) if np.isfinite(head.head_to_camera).all() else None

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
