"""The evaluated rig written to a file, frame by frame, for a farm to render from: `render --directions FILE`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import bpy
import numpy as np

from ...backend.workspace.animation import Animation
from ...backend.workspace.camera import Camera
from ...backend.workspace.frame_rate import exact_rate
from ...backend.workspace.subject import Subject
from . import camera, rig
from .directions import Directions
from .errors import SceneError
from .scene_setup import FIRST_FRAME

_SLICE_S = 0.05
"""How long one `poll` may keep Blender from drawing."""


class RigFrames(NamedTuple):
    """What `RigWalk` read, frame by frame, and the camera of the whole image."""

    directions: list[Directions]
    pinhole: Camera
    cameras: list[np.ndarray]
    """(4, 4) each: the camera object's world matrix."""


class RigWalk:
    """Reads the rig at every frame, a few at each `poll`, so a long shot can be cancelled and Blender stays responsive.

    A job waits for it as for a request to the backend.

    Args:
        size: width and height of the image whose camera is read, pixels.
        frames: how many scene frames, from `first_frame` on.
    """

    def __init__(
        self,
        scene: bpy.types.Scene,
        found: rig.Rig,
        size: tuple[int, int],
        frames: int,
        first_frame: int = FIRST_FRAME,
    ) -> None:
        self.progress: dict[str, Any] | None = None
        self._scene, self._rig, self._size, self._frames = scene, found, size, frames
        self._first = first_frame
        self._directions: list[Directions] = []
        self._cameras: list[np.ndarray] = []
        self._pinhole: Camera | None = None
        self._before = scene.frame_current
        self._error: SceneError | None = None
        self._cancelled = False

    def poll(self) -> bool:
        """Read on for a moment; whether the last frame was read, or one could not be."""
        until = time.monotonic() + _SLICE_S
        try:
            while len(self._directions) < self._frames and not self._cancelled:
                self._read(self._first + len(self._directions))
                if time.monotonic() > until:
                    return False
        except SceneError as error:
            self._error = error
        self._scene.frame_set(self._before)
        return True

    def result(self) -> RigFrames:
        """The rig's values at each frame, and the camera in pixels of the image.

        Raises:
            SceneError: the rig cannot be read, or the camera's lens is animated.
        """
        if self._cancelled:
            raise SceneError("Cancelled.", "cancelled")
        if self._error is not None:
            raise self._error
        assert self._pinhole is not None
        return RigFrames(self._directions, self._pinhole, self._cameras)

    def cancel(self) -> None:
        """Stop at the next `poll`."""
        self._cancelled = True

    def _read(self, frame: int) -> None:
        self._scene.frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        lens = (self._scene.camera or self._rig.camera).evaluated_get(depsgraph)
        pinhole = camera.camera_intrinsics(self._scene, lens, *self._size)
        if self._pinhole is not None and not _is_same(self._pinhole, pinhole):
            raise SceneError(
                f"The lens of “{lens.name}” changes at frame {frame}, but baked frames and exported files have one "
                "focal length: remove its keyframes, or render with the engine SyncTalk instead."
            )
        self._pinhole = pinhole
        self._cameras.append(rig.world_matrix(lens))
        self._directions.append(rig.read_rig(self._rig, depsgraph, self._cameras[-1]))
        done = len(self._directions)
        self.progress = {
            "stage": "reading the rig", "done": done, "total": self._frames, "message": "Reading the rig",
            "eta_s": None, "elapsed_s": 0.0,
        }  # fmt: skip


def write(
    path: Path, directions: list[Directions], pinhole: Camera, subject: Subject, plate_frame: np.ndarray, fps: float
) -> Path:
    """Write what `RigWalk` read as an `animation.npz`.

    Args:
        plate_frame: (N) the footage's frame beneath each of `directions`.
        fps: how many of them there are a second: the scene's rate.

    Raises:
        StorageError: the file cannot be written.
    """
    Animation(
        np.stack([frame.blendshapes for frame in directions]),
        np.stack([frame.head_to_camera for frame in directions]),
        pinhole.to_working(subject),
        plate_frame,
        exact_rate(fps),
    ).write(path)
    return path


def _is_same(a: Camera, b: Camera) -> bool:
    values = zip((a.focal_px, *a.principal_px), (b.focal_px, *b.principal_px), strict=True)
    return all(math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-3) for one, other in values)
