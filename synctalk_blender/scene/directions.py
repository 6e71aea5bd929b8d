"""What drives a head: at one frame, and as the file that a farm renders from (docs/animation.md). No `bpy` here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...backend.protocol import BLENDSHAPE_NAMES
from .errors import SceneError


@dataclass(frozen=True)
class Directions:
    """What the rig tells the renderer at one frame."""

    head_to_camera: np.ndarray
    """(4, 4), OpenCV camera, metres."""
    blendshapes: np.ndarray
    """(52,), `protocol.BLENDSHAPE_NAMES`."""


def write_directions(
    path: Path,
    frames: list[Directions],
    *,
    fps: float,
    focal_px: float,
    principal_px: tuple[float, float],
    plate_frame: np.ndarray,
    audio: str,
) -> None:
    """Write an `animation.npz`, whole or not at all.

    Args:
        focal_px, principal_px: in pixels of the working frame.
        plate_frame: (N) frames of the footage beneath.
        audio: file name of the sound beside `path`, or empty.

    Raises:
        SceneError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.tmp-{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            np.savez(
                file,
                frame_time_s=np.arange(len(frames)) / fps,
                fps=fps,
                blendshapes=np.stack([frame.blendshapes for frame in frames]),
                blendshape_names=BLENDSHAPE_NAMES,
                head_to_camera=np.stack([frame.head_to_camera for frame in frames]),
                focal_px=focal_px,
                principal_px=principal_px,
                plate_frame=plate_frame,
                audio=audio,
            )
        os.replace(temporary, path)
    except OSError as error:
        raise SceneError(
            f"{path} cannot be written ({error.strerror}): choose another folder, or free some space."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
