"""The first image of what a job made, for the summary."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from ..errors import SyncTalkError
from .job import Job, Record

SIDE = 240
"""Longer side, pixels: shown at half of it on the page."""


_GREY = 0.5


def write_first_image(job: Job, record: Record, out: Path) -> None:
    """Write a small JPEG of the first frame that the result names; nothing where it names none that can be read."""
    import cv2

    from ..workspace.files import atomic_path

    image = None
    for path in map(Path, record.files):
        with contextlib.suppress(SyncTalkError, OSError):
            image = _first_frame(path)
        if image is not None:
            break
    if image is None:
        return
    scale = SIDE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    with atomic_path(out) as temporary:
        temporary.write_bytes(coded.tobytes())


def first_frame(video: Path) -> np.ndarray | None:
    """(H, W, 3) uint8, the first frame of a video; for a reader process."""
    from ..media.decode import FrameReader

    return next((image for _, image in FrameReader(video)), None)


def _first_frame(path: Path) -> np.ndarray | None:
    from ..media.guard import guarded

    if path.is_dir():
        folder = path / "frames" if (path / "subject.json").exists() else path
        names = sorted(name for name in folder.glob("*") if name.suffix.lower() in (".png", ".jpg"))
        return _over_grey(names[0]) if names else None
    if path.suffix.lower() in (".mp4", ".mov"):
        return guarded(first_frame, path, about=path)
    return None


def _over_grey(path: Path) -> np.ndarray | None:
    """(H, W, 3) uint8, an image of any depth with or without alpha."""
    import cv2

    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3:
        return None
    image = image / np.iinfo(image.dtype).max
    alpha = image[..., 3:] if image.shape[2] == 4 else 1.0
    return np.rint(255 * (image[..., 2::-1] * alpha + _GREY * (1 - alpha))).astype(np.uint8)
