"""How long the video of a file should be, by what the file states: whether it is cut off."""

from __future__ import annotations

import re

import av

from .source import rate_of

_STATES_LENGTH = ("mov", "matroska", "flv", "avi", "mxf", "asf")
"""Formats with a length in the header; FFmpeg guesses the others' from the end of the file."""

_TOLERANCE_S, _ASF_TOLERANCE_S = 0.1, 1.0


def missing_s(container: av.container.InputContainer, video: av.VideoStream, end_s: float, longest_s: float) -> float:
    """How much of the video the file announces beyond its last packet, in seconds.

    MP4 and MOV state each track's own length. The others state that of their longest track: such a file is
    complete when any track reaches it.

    Args:
        end_s: end of the video's last packet, by the file's own time stamps.
        longest_s: end of the last packet of any track.
    """
    name = container.format.name
    if not name.startswith(_STATES_LENGTH):
        return 0.0
    if name.startswith("mov"):
        announced_s = longest_announced_s = float(((video.start_time or 0) + (video.duration or 0)) * video.time_base)
        longest_s = end_s
    else:
        longest_announced_s = 0.0 if _is_guessed(container) else (container.duration or 0) / av.time_base
        if name == "avi":  # Without its index, at the end, its duration is what is there.
            longest_announced_s = max(longest_announced_s, float(video.frames / rate_of(video)))
        announced_s = min(_tag_s(video) or longest_announced_s, longest_announced_s)
    # ASF's counts the time before its first packet in as well.
    tolerance_s = _ASF_TOLERANCE_S if name == "asf" else _TOLERANCE_S
    return max(announced_s - end_s, 0.0) if longest_announced_s - longest_s > tolerance_s else 0.0


def _tag_s(video: av.VideoStream) -> float:
    """The track's own length by Matroska's statistics, 0 where there are none."""
    tags = {key.upper(): value for key, value in video.metadata.items()}
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", tags.get("DURATION", ""))
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else 0.0


def _is_guessed(container: av.container.InputContainer) -> bool:
    """Whether FFmpeg took the length from the size of the file and the tracks' stated bit rates: live recordings."""
    stated = sum(stream.codec_context.bit_rate or 0 for stream in container.streams if stream.codec_context is not None)
    return bool(stated) and abs(container.bit_rate - stated) < 0.01 * stated
