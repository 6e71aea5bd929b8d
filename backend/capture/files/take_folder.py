"""A take of Live Link Face: its folder, and the video or audio beside a file of face data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ...errors import CaptureError, SyncTalkError
from ...media.decode import probe
from ...media.guard import guarded
from ...workspace.frame_rate import Timecode

_VIDEO, _AUDIO = (".mov", ".mp4", ".m4v"), (".wav", ".m4a", ".aif", ".aiff", ".flac", ".mp3")
_OF_TAKE = re.compile(r"_(cal|raw|neutral)$", re.IGNORECASE)
_LOG = "frame_log"
"""Live Link Face's own CSV of the frames that it wrote; no face data."""


_CHOICE = {"cal": 0, "raw": 2, "neutral": 3}


@dataclass(frozen=True)
class Beside:
    """What was recorded with a take.

    Attributes:
        audio: a file with its audio; None where there is none.
        rate: frames a second of its video.
        start: the time code of its first image.
    """

    audio: Path | None = None
    rate: Fraction | None = None
    start: Timecode | None = None

    @classmethod
    def of(cls, path: Path) -> Beside:
        """What has the name of a file of face data, or is alone in its take's folder."""
        name = _OF_TAKE.sub("", path.stem).lower()
        try:
            others = sorted(other for other in path.parent.iterdir() if other.suffix.lower() in (*_VIDEO, *_AUDIO))
        except OSError:  # a folder that may be passed through but not listed
            return cls()
        named = [other for other in others if other.stem.lower() == name]
        if not named and (path.parent / "take.json").exists() and len(others) == 1:
            named = others
        videos = [other for other in named if other.suffix.lower() in _VIDEO]
        audio = next((other for other in named if other.suffix.lower() in _AUDIO), None)
        if not videos:
            return cls(audio)
        try:
            clip = guarded(probe, videos[0], about=videos[0])
        except SyncTalkError:
            return cls(audio)  # the face data is whole without it
        return cls(
            audio or (videos[0] if clip.has_audio else None), clip.rate, Timecode.parse(clip.timecode, clip.rate)
        )


def file_in(folder: Path) -> Path:
    """The face data in a take's folder: calibrated before raw.

    Raises:
        CaptureError: there is none, or there are several.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.stem.lower() != _LOG)
    if not found:
        raise CaptureError(f"{folder} has no CSV of face data: give a take's folder or the file itself.")
    if len({_OF_TAKE.sub("", path.stem) for path in found}) > 1:
        raise CaptureError(f"{folder} has {len(found)} takes: give one of its files, such as {found[0].name}.")
    return min(found, key=lambda path: _CHOICE.get(path.stem.lower().rsplit("_", 1)[-1], 1))
