"""How the camera of a clip moves: `camera_motion.npz`, read and written here alone. A still camera has no such file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import WorkspaceError
from .animation import Animation
from .camera import Camera
from .files import PROCESS_AGAIN, read_arrays, write_arrays
from .shapes import Float

CAMERA_HEIGHT_M = 1.6
"""Where the camera is in a scene, Blender's or an exported one: level, at eye height over the origin."""
STEADY_ZOOM = 1.03
"""The longest focal length over the shortest up to which it counts as a hand's unsteadiness."""
_GRID = 7
_MIDDLE = np.array([0.5, 0.5, 1.0])


@dataclass(frozen=True)
class CameraPath:
    """Of every working frame, where its background lies in `background.png`, the mosaic of them all.

    Places are fractions of the working frame's side: (0, 0) is its top left corner and (1, 1) the lower right one.

    Attributes:
        to_reference: homographies from places of each frame to those of one reference frame.
        residual_px: RMS distance of the background's points from it, by their upper quartile, pixels of the working frame; NaN
            where a frame could not be registered and has its neighbours' motion, interpolated.
        mosaic_origin: the mosaic's top left corner, in the reference frame.
        mosaic_scale: pixels of the mosaic for a side of the reference frame.
    """

    to_reference: Float[np.ndarray, "n 3 3"]
    residual_px: Float[np.ndarray, " n"]
    mosaic_origin: Float[np.ndarray, " 2"]
    mosaic_scale: float

    @property
    def to_pixels(self) -> Float[np.ndarray, "3 3"]:
        """From places of the reference frame to pixels of the mosaic as OpenCV counts them, the first one's centre at 0."""
        x, y = -self.mosaic_scale * self.mosaic_origin - 0.5
        return np.array([[self.mosaic_scale, 0.0, x], [0.0, self.mosaic_scale, y], [0.0, 0.0, 1.0]])

    def scales(self) -> Float[np.ndarray, " n"]:
        """How much larger than in the reference frame the background is in the middle of each frame."""
        depth = self.to_reference[:, 2] @ _MIDDLE
        return np.sqrt(np.abs(depth**3 / np.linalg.det(self.to_reference)))

    def zooms(self, camera: Camera) -> Float[np.ndarray, " n"]:
        """The focal length at each frame over the reference's: `scales`, without what the turn of a camera does to them.

        An area of the image is that of its directions times f² / cos³ of their angle from the axis.

        Args:
            camera: of the working frame.
        """
        principal, focal = np.array(camera.principal_px) / camera.width, camera.focal_px / camera.width
        moved = self.to_reference @ _MIDDLE
        cosines = [
            1.0 / np.sqrt(1.0 + (((place - principal) / focal) ** 2).sum(-1))
            for place in (_MIDDLE[:2], moved[:, :2] / moved[:, 2:])
        ]
        return self.scales() * (cosines[0] / cosines[1]) ** 1.5

    def turns(self, camera: Camera) -> Float[np.ndarray, "n 3 3"]:
        """The rotation of the camera at each frame against the reference's: x_reference = R x, OpenCV axes.

        A camera that turns by R about its centre and zooms moves the image by K₀ R K⁻¹ (Hartley and Zisserman, section 8.4). R is
        fitted to the directions of a grid of places (orthogonal Procrustes), the focal length in K being `camera`'s times
        the zoom.

        Args:
            camera: of the working frame.
        """
        axis = (np.arange(_GRID) + 0.5) / _GRID
        x, y = (part.ravel() for part in np.meshgrid(axis, axis))
        places = np.stack([x, y, np.ones_like(x)])
        moved = self.to_reference @ places
        moved = moved[:, :2] / moved[:, 2:]
        principal = np.array(camera.principal_px)[:, None] / camera.width
        focal = camera.focal_px / camera.width

        def directions(at: np.ndarray, focal: np.ndarray) -> np.ndarray:
            offset = (at - principal) / focal
            rays = np.concatenate([offset, np.ones_like(offset[..., :1, :])], axis=-2)
            return rays / np.linalg.norm(rays, axis=-2, keepdims=True)

        here = directions(places[None, :2], focal * self.zooms(camera)[:, None, None])
        u, _, vt = np.linalg.svd(directions(moved, np.array(focal)) @ here.transpose(0, 2, 1))
        signs = np.ones((len(u), 1, 3))
        signs[:, 0, 2] = np.linalg.det(u @ vt)
        return (u * signs) @ vt

    def motions(self, animation: Animation) -> Float[np.ndarray, "n 4 4"]:
        """The camera at each frame of `animation`: from its axes to those of the reference frame's, OpenCV axes, metres.

        A scene has one lens, and the tracker finds a head that is zoomed in on nearer. So a zoom by z moves the camera forward, by as
        much as keeps the head in its place: its usual distance times 1 - 1 / z.
        """
        focal = self.zooms(animation.camera)
        zooms = focal[animation.plate_frame]
        motion = np.tile(np.eye(4), (animation.frames, 1, 1))
        motion[:, :3, :3] = self.turns(animation.camera)[animation.plate_frame]
        low, high = np.percentile(focal, [1, 99])
        if high > STEADY_ZOOM * low:
            distance = np.nanmedian(animation.head_to_camera[:, 2, 3] * zooms)
            motion[:, :3, 3] = motion[:, :3, 2] * (distance * (1.0 - 1.0 / zooms))[:, None]
        return motion

    @classmethod
    def read(cls, path: Path) -> CameraPath | None:
        """The file's; None where there is none, the camera being still.

        Raises:
            WorkspaceError: it is damaged or incomplete.
        """
        if not path.exists():
            return None
        arrays = read_arrays(path)
        try:
            return cls(
                arrays["to_reference"].astype(np.float64),
                arrays["residual_px"].astype(np.float64),
                arrays["mosaic_origin"].astype(np.float64),
                float(arrays["mosaic_scale"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WorkspaceError(f"{path} is incomplete ({error}): {PROCESS_AGAIN}.") from error

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        names = "to_reference", "residual_px", "mosaic_origin", "mosaic_scale"
        write_arrays(path, **{name: getattr(self, name) for name in names})
