"""How alike two frames of the footage look beneath a head: what a transition between them would show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..protocol import BLENDSHAPE_NAMES
from ..workspace.frame_rate import frames_of
from ..workspace.head_track import HeadTrack
from ..workspace.idle_part import head_points_px
from ..workspace.images import read_image
from ..workspace.shapes import Float
from ..workspace.store import Workspace

UPPER_FACE = [k for k, name in enumerate(BLENDSHAPE_NAMES) if name.startswith(("eye", "brow"))]
"""What speech takes from the footage's face beside the pose: lids, gaze and brows."""

_UPPER_FACE_STEP = 0.3
_QUANTILE = 0.9
_DIVISOR = 8
CHANGE_S = 0.04
"""Time over which a clip's own changes of motion are measured, whatever its rate."""
_LEAST_HEAD_PX, _LEAST_GREY = 0.001, 1.0
"""The least unit of the head, as a share of the frame's side, and of images: a footage that hardly moves has no smaller one."""


def footage_features(workspace: Workspace, track: HeadTrack, start: int, stop: int) -> Float[np.ndarray, "n d"]:
    """Rows whose Euclidean distance compares frames `start` to `stop`: head, body and background, lids, gaze and brows.

    Each part is in units of how far the clip itself departs from steady motion, |I(+) - 2 I(0) + I(-)|, `CHANGE_S` apart, which one
    frame in ten exceeds: a frame in the place of another at a distance below about 1 is no more of a surprise than the clip's own.

    Raises:
        WorkspaceError: images are missing or damaged.
    """
    head, lag = head_points_px(track, start, stop), frames_of(CHANGE_S, workspace.subject.rate)
    upper = track.blendshapes[start:stop, UPPER_FACE].astype(np.float64) / _UPPER_FACE_STEP
    parts = [_in_changes(head, _LEAST_HEAD_PX * track.camera.width, lag), upper.astype(np.float32)]
    parts += [_in_changes(images, _LEAST_GREY, lag) for images in _images(workspace, start, stop)]
    return np.concatenate(parts, 1)


def _in_changes(values: np.ndarray, least: float, lag: int) -> np.ndarray:
    """(n, d) float32, whose distances are root mean squares of `values` (n, …) in units of the clip's own changes."""
    flat = values.reshape(len(values), -1).astype(np.float32)
    flat -= flat.mean(0)
    change = np.sqrt(np.square(flat[2 * lag :] - 2 * flat[lag:-lag] + flat[: -2 * lag]).mean(1))
    unit = max(least, float(np.quantile(change, _QUANTILE))) if len(change) else least
    flat /= unit * np.sqrt(flat.shape[1])
    return flat


def _images(workspace: Workspace, start: int, stop: int) -> list[np.ndarray]:
    """Small grey images of frames, each (n, pixels) uint8: the plate, and of a clip that is larger than it what is around.

    Without plates, before their stage, there are none: the pose alone is compared.
    """
    subject, found = workspace.subject, []
    if all(workspace.plate_path(index).exists() for index in (start, stop - 1)):
        found.append(np.stack([_grey(workspace.plate_path(index)).ravel() for index in range(start, stop)]))
    footage = None if subject.is_full_frame else workspace.footage
    if footage is not None:
        first = _grey(Path(str(footage) % start))
        scale = first.shape[1] / subject.source_size[0]
        crop, outside = subject.place, np.ones(first.shape, bool)
        low_x, low_y = (max(0, round(at * scale)) for at in (crop.x, crop.y))
        high_x, high_y = (max(0, round((at + crop.size) * scale)) for at in (crop.x, crop.y))
        outside[low_y:high_y, low_x:high_x] = False
        if outside.any():
            found.append(np.stack([_grey(Path(str(footage) % index))[outside] for index in range(start, stop)]))
    return found


def _grey(path: Path) -> np.ndarray:
    """(h, w) uint8: the green channel of an image at an eighth of its size."""
    return read_image(path, divisor=_DIVISOR)[..., 1]
