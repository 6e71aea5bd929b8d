"""Files in the page: embedded as data, or linked where they are too large."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from urllib.parse import quote

EMBEDDED_VIDEO_BYTES = 24_000_000
"""A larger video is linked: about four minutes are embedded, and the page still opens at once."""


def file_address(path: Path, kind: str) -> str:
    return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()


def video_address(video: Path, page: Path) -> str:
    """The video itself, or its address from the page where it is too large to be part of it."""
    return file_address(video, "video/mp4") if video.stat().st_size <= EMBEDDED_VIDEO_BYTES else link(video, page)


def link(path: Path, page: Path) -> str:
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())
