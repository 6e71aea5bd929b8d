"""The face of another person's clip, as our own tracker has it: a processed workspace as a capture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import CaptureError
from ..protocol import BLENDSHAPE_NAMES
from ..workspace.poses import mean_rotation
from ..workspace.shapes import Float
from ..workspace.store import Workspace
from .face_capture import FaceCapture

LEAST_S = 0.5
"""Of tracked frames: less shows neither how the face rests nor how far it moves."""


@dataclass(frozen=True)
class TrackedFace:
    """A capture, and how late its audio runs.

    Attributes:
        audio_offset_ms: of the capture's audio.
    """

    capture: FaceCapture
    audio_offset_ms: float

    @classmethod
    def of(cls, workspace: Workspace) -> TrackedFace:
        """From a workspace processed up to `face_sync`; frames without a face are gaps.

        Its shapes are measured from that person's own neutral face, in that person's own size (docs/face-sync.md).

        Raises:
            CaptureError: the face is tracked in less than `LEAST_S`.
            WorkspaceError: it is not processed, or damaged.
        """
        workspace.require("media", "landmarks", "head_sync", "face_sync")
        track, rate = workspace.head_track(), workspace.subject.rate
        kept = np.flatnonzero(track.tracked)
        if len(kept) < LEAST_S * rate:
            raise CaptureError(
                f"{workspace.subject.source}: the face is tracked in {len(kept)} frames only: give a clip that shows it."
            )
        poses = track.head_to_camera[kept]
        turn, shift = _about_the_middle(poses)
        present = np.ones(len(BLENDSHAPE_NAMES), bool)
        audio, offset_ms = _audio(workspace)
        times_s = kept / float(rate)
        shapes = track.blendshapes[kept].astype(np.float64)
        capture = FaceCapture(
            times_s, shapes, present, rate, turn, shift, workspace.subject.timecode_at(int(kept[0])), audio
        )
        return cls(capture, offset_ms)


def _about_the_middle(poses: Float[np.ndarray, "n 4 4"]) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
    """Turns and shifts from the middle pose, in the axes of the head there."""
    middle = mean_rotation(poses[:, :3, :3])
    return middle.T @ poses[:, :3, :3], (poses[:, :3, 3] - np.median(poses[:, :3, 3], axis=0)) @ middle


def _audio(workspace: Workspace) -> tuple[Path | None, float]:
    """The clip's own audio while the clip is there, else the workspace's, of 16 kHz; and how late it runs, ms."""
    clip = Path(workspace.subject.source)
    path, offset_ms = workspace.aligned_audio
    if not workspace.subject.audio_timeline and workspace.subject.source and clip.is_file():
        return clip, offset_ms
    return (path if path.exists() else None), offset_ms
