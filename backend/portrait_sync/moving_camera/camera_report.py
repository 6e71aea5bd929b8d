"""What is reported of a camera that moves: one sentence each, with amounts."""

from __future__ import annotations

import numpy as np

from ...workspace.camera import Camera
from ...workspace.camera_path import CameraPath
from ...workspace.subject import Subject
from ..frame import ClipModel
from .moving import REGISTERED

ZOOM = 1.03
"""A zoom beyond this is reported."""
STRONG_ZOOM = 1.3
"""Beyond this the head's tracking, which knows one focal length, no longer fits its perspective."""
BLURRED_PX = 1.0
"""At this residual, at 512², the background's finest detail is lost: the background has depth and the camera walks, or it blurs."""


def shown_part(subject: Subject) -> np.ndarray | None:
    """(S, S) uint8: 255 where the working frame shows the source, 0 where it repeats the source's edge; None for all of it."""
    crop, (width, height), side = subject.crop, subject.source_size, subject.size
    if crop is None:
        return None
    low = np.array([-crop.x, -crop.y]) / subject.scale
    high = low + np.array([width, height]) / subject.scale
    if (low < 0.5).all() and (high > side - 0.5).all():
        return None
    middles = np.arange(side) + 0.5
    columns, rows = ((middles > first + 1) & (middles < last - 1) for first, last in zip(low, high, strict=True))
    return np.where(rows[:, None] & columns, np.uint8(255), np.uint8(0))


def describe(model: ClipModel, subject: Subject, camera: Camera) -> list[tuple[str, str]]:
    """Sentences on a camera that moves, each with its level, `info` or `warning`; none for one that is still."""
    side, name = subject.size, subject.source or "the clip"
    if not model.camera_motion:
        return []
    moves = f"The camera moves in {name}: the background moves by {model.camera_motion * side:.0f} of {side} pixels"
    if model.camera is None:
        return [(
            "warning",
            f"{moves}, and not as one plane or as far as it could be followed, which blurs background and plate: "
            "record from a tripod or without cuts, or stabilize the clip first.",
        )]  # fmt: skip
    path = model.camera
    residual, lost = float(np.nanmedian(path.residual_px)), int(np.isnan(path.residual_px).sum())
    result = [("info", f"{moves}, and is registered to {residual:.2f} pixels.")]
    if lost > (1.0 - REGISTERED) * len(path.residual_px):
        result.append((
            "warning",
            f"In {lost} of {len(path.residual_px)} frames of {name} the background is blurred, plain or hidden and does not "
            "show how the camera moves: there plate and mattes follow the frames around them; record with a slower "
            "camera.",
        ))  # fmt: skip
    if residual * 512 / side > BLURRED_PX:
        result.append((
            "warning",
            f"The background of {name} has depth and its parts move by {residual:.1f} pixels against each other, which blurs "
            "the plate behind the head: turn the camera on the spot instead of walking with it.",
        ))  # fmt: skip
    zoom = zoom_range(path, camera)
    if zoom > ZOOM:
        strong = (
            " Beyond 1.3 times faces get flatter than the tracking allows: record without a zoom."
            if zoom > STRONG_ZOOM
            else ""
        )
        result.append((
            "warning" if strong else "info",
            f"The camera zooms by {zoom:.2f} times in {name}: the head is tracked as coming nearer instead.{strong}",
        ))  # fmt: skip
    return result


def zoom_range(path: CameraPath, camera: Camera) -> float:
    """The longest focal length over the shortest, without the outermost hundredths."""
    low, high = np.percentile(path.zooms(camera), [1, 99])
    return float(high / low)
