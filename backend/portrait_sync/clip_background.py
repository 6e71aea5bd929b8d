"""The background of a processed clip as each of its frames shows it."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..workspace.camera_path import CameraPath
from ..workspace.images import read_image
from ..workspace.store import Workspace
from .model_file import read_seen
from .moving_camera.mosaic import seen_by, shown_in


class ClipBackground:
    """Of a workspace; files are read when the first frame is asked for."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def at(self, index: int) -> np.ndarray:
        """(S, S, 3) uint8, without the person, behind frame `index`; the same array for all where the camera is still."""
        if self._path is None:
            return self._image
        return seen_by(self._image, self._path, index, self._workspace.subject.size)

    def seen_at(self, index: int) -> np.ndarray:
        """(S, S) bool: where some frames show the background behind frame `index`; elsewhere it is filled in."""
        if self._path is None:
            return self._seen
        return shown_in(self._seen, self._path, index, self._workspace.subject.size)

    @cached_property
    def _path(self) -> CameraPath | None:
        return self._workspace.camera_path()

    @cached_property
    def _image(self) -> np.ndarray:
        return read_image(self._workspace.background_path)

    @cached_property
    def _seen(self) -> np.ndarray:
        return read_seen(self._workspace)
