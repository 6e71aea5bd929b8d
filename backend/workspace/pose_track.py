"""The poses and head points that `head_sync` found: `head_sync.npz`, read and written here alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import WorkspaceError
from .camera import Camera
from .files import PROCESS_AGAIN, read_arrays, write_arrays
from .shapes import Bool, Float


@dataclass(frozen=True)
class PoseTrack:
    """The tracker's own poses, which stages and a new training begin from; everything else takes `HeadTrack`.

    Attributes:
        valid: frames in which the face was tracked.
        cuts: frames that begin a new shot.
        face_head_m, surface_head_m: landmarks and points of the face's surface, in the head frame.
        focal_range_px: the likely lowest and highest focal length.
    """

    camera: Camera
    head_to_camera: Float[np.ndarray, "n 4 4"]
    valid: Bool[np.ndarray, " n"]
    cuts: Bool[np.ndarray, " n"]
    face_head_m: Float[np.ndarray, "478 3"]
    surface_head_m: Float[np.ndarray, "m 3"]
    points_head_m: Float[np.ndarray, "k 3"]
    points_px: Float[np.ndarray, "n k 2"]
    points_seen: Bool[np.ndarray, "n k"]
    reprojection_px: Float[np.ndarray, " n"]
    focal_range_px: tuple[float, float]

    @property
    def principal_px(self) -> Float[np.ndarray, " 2"]:
        return np.array(self.camera.principal_px)

    @classmethod
    def read(cls, path: Path, size: int) -> PoseTrack:
        """The file of a workspace whose working frame has sides of `size` pixels.

        Raises:
            WorkspaceError: it is missing, damaged or incomplete.
        """
        arrays = read_arrays(path)
        try:
            focal, (x, y), valid = float(arrays["focal_px"]), arrays["principal_px"], arrays["valid"].astype(bool)
            return cls(
                Camera(size, size, focal, (float(x), float(y))),
                arrays["head_to_camera"].astype(np.float64),
                valid,
                arrays["cuts"].astype(bool) if "cuts" in arrays else np.zeros(len(valid), bool),
                arrays["face_head_m"].astype(np.float64),
                arrays.get("surface_head_m", np.zeros((0, 3))).astype(np.float64),
                arrays["points_head_m"].astype(np.float64),
                arrays["points_px"],
                arrays["points_seen"].astype(bool),
                arrays["reprojection_px"].astype(np.float64),
                (float(arrays.get("focal_low_px", focal)), float(arrays.get("focal_high_px", focal))),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise WorkspaceError(f"{path} is incomplete ({error}): {PROCESS_AGAIN}.") from error

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_arrays(
            path,
            focal_px=self.camera.focal_px,
            principal_px=self.principal_px,
            focal_low_px=self.focal_range_px[0],
            focal_high_px=self.focal_range_px[1],
            **{name: getattr(self, name) for name in _ARRAYS},
        )


_ARRAYS = (
    "head_to_camera", "valid", "cuts", "face_head_m", "surface_head_m", "points_head_m", "points_px", "points_seen",
    "reprojection_px",
)  # fmt: skip
