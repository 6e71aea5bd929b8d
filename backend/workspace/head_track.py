"""The head's motion through a clip: `tracking.npz`, read and written here alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WorkspaceError
from ..protocol import BLENDSHAPE_NAMES
from .camera import Camera
from .checkpoint_index import RefinedTrack
from .files import PROCESS_AGAIN, read_arrays, write_arrays
from .frame_rate import UNSTATED
from .landmarks import COUNT
from .shapes import Bool, Float


def _nothing() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True)
class HeadTrack:
    """A clip of `n` frames as tracked. Pixels are of the working frame, metres of the head frame (docs/animation.md).

    A pose never travels without its camera: take both from one track.

    Attributes:
        head_to_camera: OpenCV camera; not finite where the face was not tracked, or bridged.
        valid: frames in which the face was tracked.
        blendshapes: in [0, 1], `protocol.BLENDSHAPE_NAMES`.
        face_head_m: the neutral face at the landmarks; of no rows in files of earlier versions.
        points_head_m, points_px, points_seen: the tracked head points; none in files of earlier versions.
        cuts: frames that begin a new shot.
        reprojection_px: root mean square of the landmarks' residuals.
        head_sync: key of the stage that found the poses; empty in files of earlier versions.
    """

    camera: Camera
    head_to_camera: Float[np.ndarray, "n 4 4"]
    valid: Bool[np.ndarray, " n"]
    landmarks_px: Float[np.ndarray, "n 478 2"]
    blendshapes: Float[np.ndarray, "n 52"]
    face_head_m: Float[np.ndarray, "f 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    points_head_m: Float[np.ndarray, "k 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    points_px: np.ndarray = field(default_factory=_nothing)
    points_seen: np.ndarray = field(default_factory=_nothing)
    cuts: np.ndarray = field(default_factory=_nothing)
    reprojection_px: np.ndarray = field(default_factory=_nothing)
    head_sync: str = ""
    fps: float = 25.0
    """Frames a second, for what is a time and counted in frames."""

    def __post_init__(self) -> None:
        """Optional arrays that were not given are there with the right length."""
        frames, points = len(self.valid), len(self.points_head_m)
        empty = {
            "points_px": np.full((frames, points, 2), np.nan, np.float32),
            "points_seen": np.zeros((frames, points), bool),
            "cuts": np.zeros(frames, bool),
            "reprojection_px": np.full(frames, np.nan),
        }
        for name, value in empty.items():
            if not getattr(self, name).size:
                object.__setattr__(self, name, value)

    @property
    def frames(self) -> int:
        return len(self.valid)

    @property
    def tracked(self) -> Bool[np.ndarray, " n"]:
        """Frames in which the face was tracked, and whose pose is known."""
        return self.valid & np.isfinite(self.head_to_camera).all((1, 2))

    @property
    def focal_px(self) -> float:
        return self.camera.focal_px

    @property
    def principal_px(self) -> Float[np.ndarray, " 2"]:
        return np.array(self.camera.principal_px)

    @property
    def seen_share(self) -> Float[np.ndarray, " k"]:
        """Part of the frames that each head point was seen in, 0 to 1."""
        return self.points_seen.astype(np.float64).mean(0)

    def refined_by(self, track: RefinedTrack | None) -> HeadTrack:
        """With the poses, focal length and blendshapes of a training, where it began from this track."""
        if track is None or len(track.head_to_camera) != self.frames:
            return self
        if track.head_sync != self.head_sync if track.head_sync else not self._is_of_same_clip(track):
            return self
        camera = replace(self.camera, focal_px=track.focal_px)
        blendshapes = self.blendshapes if track.blendshapes is None else track.blendshapes
        return replace(self, camera=camera, head_to_camera=track.head_to_camera, blendshapes=blendshapes)

    def _is_of_same_clip(self, track: RefinedTrack) -> bool:
        """Whether a track of as many frames and of an earlier version, without a key, follows the same head."""
        own, other = (poses[self.valid] for poses in (self.head_to_camera, track.head_to_camera))
        known = np.isfinite(own).all((1, 2)) & np.isfinite(other).all((1, 2))
        if not known.any() or not 0 < track.focal_px < math.inf:
            return False
        trace = (own[known, :3, :3] * other[known, :3, :3]).sum((1, 2))
        apart_deg = np.median(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))
        return bool(apart_deg < _SAME_CLIP_DEG and abs(math.log(track.focal_px / self.focal_px)) < _SAME_CLIP_LOG_FOCAL)

    @classmethod
    def read(cls, path: Path, size: int) -> HeadTrack:
        """The tracker's own track of a workspace whose working frame has sides of `size` pixels.

        Raises:
            WorkspaceError: the file is missing, damaged, or holds other arrays than docs/workspace.md promises.
        """
        arrays = read_arrays(path)
        try:
            names = [str(name) for name in arrays["blendshape_names"]]
            missing = [name for name in BLENDSHAPE_NAMES if name not in names]
            if missing:
                raise WorkspaceError(f"{path} lacks the blendshape {missing[0]}: {PROCESS_AGAIN}.")
            focal, principal = float(arrays["focal_px"]), arrays["principal_px"]
            if not (math.isfinite(focal) and focal > 0):
                raise WorkspaceError(f"{path} has a focal length of {focal}: {PROCESS_AGAIN}.")
            parts: dict[str, Any] = {
                "head_to_camera": arrays["head_to_camera"].astype(np.float64),
                "valid": arrays["valid"].astype(bool),
                "landmarks_px": arrays["landmarks_px"].astype(np.float32),
                "blendshapes": arrays["blendshapes"].astype(np.float32)[
                    :, [names.index(name) for name in BLENDSHAPE_NAMES]
                ],
            } | {name: arrays[name].astype(kind) for name, kind in _OPTIONAL.items() if name in arrays}
            if not parts.keys() >= _POINTS:
                parts = {name: value for name, value in parts.items() if name not in _POINTS}
            camera = Camera(size, size, focal, (float(principal[0]), float(principal[1])))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise WorkspaceError(f"{path} is incomplete ({error}): {PROCESS_AGAIN}.") from error
        _check(path, parts)
        fps = _fps_of(arrays.get("frame_time_s", np.zeros(0)))
        return cls(camera, **parts, head_sync=str(arrays.get("head_sync", "")), fps=fps)

    def write(self, path: Path, fps: float) -> None:
        """Write the file, atomically."""
        write_arrays(
            path,
            frame_time_s=np.arange(self.frames) / fps,
            focal_px=self.camera.focal_px,
            principal_px=self.camera.principal_px,
            head_to_camera=self.head_to_camera,
            valid=self.valid,
            landmarks_px=self.landmarks_px,
            blendshapes=self.blendshapes,
            blendshape_names=np.array(BLENDSHAPE_NAMES),
            head_sync=self.head_sync,
            **{name: getattr(self, name) for name in _OPTIONAL if len(self.face_head_m) or name != "face_head_m"},
        )


def _fps_of(time_s: np.ndarray) -> float:
    """25 where the file states no times."""
    lasts_s = float(time_s[-1] - time_s[0]) if len(time_s) > 1 else 0.0
    return (len(time_s) - 1) / lasts_s if lasts_s > 0 else float(UNSTATED)


_SAME_CLIP_DEG, _SAME_CLIP_LOG_FOCAL = 3.0, 0.2
"""Another tracking of a clip is closer to the refined track than this; tracks of two clips, or sizes, are not."""

_POINTS = {"points_head_m", "points_px", "points_seen"}
"""Of no use one without the others."""

_OPTIONAL: dict[str, type] = {
    "face_head_m": np.float64,
    "points_head_m": np.float64,
    "points_px": np.float32,
    "points_seen": bool,
    "cuts": bool,
    "reprojection_px": np.float64,
}
"""Arrays that files of earlier versions may lack, and their kinds."""


def _check(path: Path, parts: dict[str, np.ndarray]) -> None:
    """Raise `WorkspaceError` unless the arrays have the shapes of one clip."""
    frames, points = len(parts["valid"]), len(parts.get("points_head_m", ()))
    wanted = {
        "head_to_camera": (frames, 4, 4), "valid": (frames,), "landmarks_px": (frames, COUNT, 2),
        "blendshapes": (frames, len(BLENDSHAPE_NAMES)), "face_head_m": (COUNT, 3), "points_head_m": (points, 3),
        "points_px": (frames, points, 2), "points_seen": (frames, points), "cuts": (frames,), "reprojection_px": (frames,),
    }  # fmt: skip
    wrong = [f"{name} {value.shape}" for name, value in parts.items() if value.shape != wanted[name]]
    if not frames or wrong or not np.isfinite(parts.get("points_head_m", 0)).all():
        what = ", ".join(wrong) or "no frames, or points at no place"
        raise WorkspaceError(f"{path} does not fit together ({what}): {PROCESS_AGAIN}.")
