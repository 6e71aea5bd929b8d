"""A head that moves before a camera, in the axes of other programs: y up, metres, the camera at eye height over the origin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ...errors import UsageError
from ...workspace.animation import Animation
from ...workspace.camera import Camera
from ...workspace.camera_path import CAMERA_HEIGHT_M
from ...workspace.moving_head import MovingHead
from ...workspace.shapes import Float
from ...workspace.store import Workspace

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From the axes of OpenCV (y down, z forward) to upright ones (y up, z backward), and back: half a turn about x."""

NEAR_M, FAR_M = 0.01, 100.0
"""What the camera sees, from where to where."""
SENSOR_MM = 36.0
"""Width of the camera's sensor, as Blender's camera has it; only its ratio to the focal length counts."""


class Take(MovingHead):
    """Head from the upright head frame (`splats.turned`); a camera that looks along -z, y up."""

    @classmethod
    def of(cls, animation: Animation, workspace: Workspace) -> Take:
        """The animation before the clip's camera, which moves where the clip's does."""
        path, subject = workspace.camera_path(), workspace.subject
        still = np.broadcast_to(np.eye(4), (animation.frames, 4, 4))
        camera_to_world = _FLIP @ (still if path is None else path.motions(animation)) @ _FLIP
        camera_to_world[:, 1, 3] += CAMERA_HEIGHT_M
        audio = None
        if animation.audio is not None:
            audio = animation.audio, animation.audio_offset_ms / 1000
        return cls(
            animation.blendshapes,
            camera_to_world @ _FLIP @ animation.head_to_camera @ _FLIP,
            camera_to_world,
            animation.camera.to_source(subject).cropped(0, 0, *subject.frame_size),
            animation.rate,
            audio,
        )

    @property
    def times_s(self) -> Float[np.ndarray, " n"]:
        return np.arange(self.frames) / float(self.rate)

    def part(self, first: int, last: int) -> Take:
        """These frames alone, counted from 0, the last one included.

        Raises:
            UsageError: it has no such frames.
        """
        if not 0 <= first <= last < self.frames:
            raise UsageError(f"--frames {first} {last}: the animation has the frames 0 to {self.frames - 1}.")
        chosen = slice(first, last + 1)
        return replace(
            self,
            blendshapes=self.blendshapes[chosen],
            head_to_world=self.head_to_world[chosen],
            camera_to_world=self.camera_to_world[chosen],
            audio=None if self.audio is None else (self.audio[0], self.audio[1] + float(first / self.rate)),
        )


def field_of_view(camera: Camera) -> float:
    """The vertical one of a camera whose principal point is in the middle, radians."""
    return 2 * math.atan2(camera.height / 2, camera.focal_px)


def quaternions(rotations: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 4"]:
    """Unit quaternions x y z w, each on the side of the one before, so that values between two are of the short way."""
    from scipy.spatial.transform import Rotation

    found = Rotation.from_matrix(rotations).as_quat()
    turned_over = np.cumprod(np.where((found[1:] * found[:-1]).sum(1) < 0, -1.0, 1.0))
    found[1:] *= turned_over[:, None]
    return found
