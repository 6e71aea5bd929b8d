"""What drives a head: `animation.npz` (docs/animation.md), read and written here alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import WorkspaceError
from ..protocol import BLENDSHAPE_NAMES
from .camera import Camera
from .files import read_arrays, write_arrays
from .frame_rate import UNSTATED, exact_rate
from .head_track import HeadTrack
from .shapes import Float, Int
from .subject import Subject

_MAX_FPS = 1000.0


@dataclass(frozen=True)
class Animation:
    """What a head does in `n` frames, and where it is seen from.

    Attributes:
        blendshapes: `protocol.BLENDSHAPE_NAMES`.
        camera: of the working frame.
        plate_frame: the frame of the footage beneath.
        audio: the audio beside the file; None where it is silent.
        rate: frames a second: the subject's, but of a scene of Blender its own.
        audio_offset_ms: how late the audio runs.
    """

    blendshapes: Float[np.ndarray, "n 52"]
    head_to_camera: Float[np.ndarray, "n 4 4"]
    camera: Camera
    plate_frame: Int[np.ndarray, " n"]
    rate: Fraction
    audio: Path | None = None
    audio_offset_ms: float = 0.0

    @property
    def frames(self) -> int:
        return len(self.blendshapes)

    @property
    def fps(self) -> float:
        """Frames a second, rounded."""
        return float(self.rate)

    def on_track(self, track: HeadTrack) -> Animation:
        """The same expressions on the poses and the camera that `track` has for the footage's frames beneath."""
        poses = track.head_to_camera[np.minimum(self.plate_frame, track.frames - 1)]
        return replace(self, head_to_camera=poses, camera=track.camera)

    def is_on_track(self, track: HeadTrack) -> bool:
        """Whether poses and camera are those of `track`."""
        there = self.on_track(track)
        return math.isclose(self.camera.focal_px, there.camera.focal_px, rel_tol=1e-6) and np.allclose(
            self.head_to_camera, there.head_to_camera, atol=1e-6, equal_nan=True
        )

    @classmethod
    def read(cls, path: Path, subject: Subject, *, hold_last: bool = False) -> Animation:
        """Read and check a file that an artist may have made.

        Args:
            hold_last: what reaches beyond the subject's footage lies over its last frame, as when the video was processed
                again and is shorter now; else it is an error.

        Raises:
            WorkspaceError: arrays missing, of the wrong shape, or naming frames that the subject's footage lacks.
        """
        arrays = read_arrays(path, "speak again, or export it again")
        try:
            names = [str(name) for name in arrays["blendshape_names"]]
            blendshapes = arrays["blendshapes"].astype(np.float32)[:, [names.index(name) for name in BLENDSHAPE_NAMES]]
            poses = arrays["head_to_camera"].astype(np.float64)
            plate = arrays["plate_frame"].astype(int)
            focal, principal = float(arrays["focal_px"]), arrays["principal_px"]
            camera = Camera(subject.size, subject.size, focal, (float(principal[0]), float(principal[1])))
        except (KeyError, ValueError, IndexError) as error:
            raise WorkspaceError(
                f"{path} is not an animation of docs/animation.md ({error}): export it again."
            ) from error
        if not 0 < len(poses) == len(blendshapes) == len(plate) or poses.shape[1:] != (4, 4):
            raise WorkspaceError(f"{path}: its arrays differ in length: export it again.")
        if hold_last:
            plate = np.minimum(plate, subject.frames - 1)
        outside = np.flatnonzero((plate < 0) | (plate >= subject.frames))
        if len(outside):
            raise WorkspaceError(
                f"{path}: frame {outside[0]} uses footage frame {plate[outside[0]]}, but the clip has "
                f"{subject.frames}: export it again from this workspace."
            )
        bad = np.flatnonzero(~np.isfinite(poses).all((1, 2)) | ~np.isfinite(blendshapes).all(1))
        if len(bad):
            raise WorkspaceError(f"{path}: frame {bad[0]} has invalid numbers (NaN or infinity): export it again.")
        if not (math.isfinite(focal) and focal > 0):
            raise WorkspaceError(f"{path} has a focal length of {focal}: export it again.")
        audio = path.with_name(str(arrays["audio"])) if str(arrays.get("audio", "")) else None
        rate = _rate_of(arrays, path)
        return cls(blendshapes, poses, camera, plate, rate, audio, float(arrays.get("audio_offset_ms", 0.0)))

    def write(self, path: Path) -> None:
        """Write the file, atomically; its audio is named as lying beside it."""
        write_arrays(
            path,
            frame_time_s=np.arange(self.frames) / self.fps,
            rate=np.array([self.rate.numerator, self.rate.denominator]),
            blendshapes=self.blendshapes,
            blendshape_names=np.array(BLENDSHAPE_NAMES),
            head_to_camera=self.head_to_camera,
            focal_px=self.camera.focal_px,
            principal_px=self.camera.principal_px,
            plate_frame=self.plate_frame.astype(np.int32),
            audio="" if self.audio is None else self.audio.name,
            audio_offset_ms=self.audio_offset_ms,
        )


def _rate_of(arrays: dict[str, np.ndarray], path: Path) -> Fraction:
    """The file's `rate`; earlier versions and artists' own programs state `fps`, a number."""
    try:
        if "rate" in arrays:
            numerator, denominator = (int(part) for part in arrays["rate"])
            rate = exact_rate(Fraction(numerator, denominator))
        else:
            rate = exact_rate(float(arrays.get("fps", UNSTATED)))
        if rate <= _MAX_FPS:
            return rate
    except (ValueError, OverflowError, ZeroDivisionError):
        pass
    stated = arrays.get("rate", arrays.get("fps"))
    raise WorkspaceError(f"{path} has a frame rate of {stated}: export it again.")
