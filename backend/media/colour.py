"""The Y'CbCr matrix of a clip's frames: what the file states, and what is meant where it states nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

import av
from av.video.reformatter import Colorspace

_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
"""By ITU-T H.273's matrix coefficients; what is not here is unknown, or no Y'CbCr."""

_NEVER_ASKS_THE_FILE = ("dnxhd", "vp8", "libvpx")
"""Decoders of FFmpeg that mark all frames BT.709 or all BT.601: the container's tag is used."""

_ALWAYS_709 = ("prores", "dnxhd")
"""Written by editors, which do not change the matrix with the size."""

_BLENDERS_DATE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d")
"""Blender stamps its videos with the date in this form, which FFmpeg's own tools do not use."""


@dataclass(frozen=True)
class ColourTags:
    """What a file states of its colours, besides the frames themselves.

    Attributes:
        codec: FFmpeg's name.
        matrix: of the track, as the container or the codec's header states it; ITU-T H.273.
        from_blender: written by Blender.
    """

    codec: str
    matrix: int
    from_blender: bool

    @classmethod
    def of(cls, container: av.container.InputContainer, stream: av.VideoStream) -> ColourTags:
        """Read them before the first frame is decoded: a decoder may write its own into the stream."""
        tags = {key.lower(): value for key, value in container.metadata.items()}
        by_ffmpeg = tags.get("encoder", tags.get("software", "")).startswith("Lavf")
        from_blender = by_ffmpeg and bool(_BLENDERS_DATE.fullmatch(tags.get("date", "")))
        return cls(stream.codec_context.name, int(stream.codec_context.colorspace), from_blender)

    def matrix_of(self, frame: av.VideoFrame) -> int:
        """The matrix to convert `frame` with, as PyAV's `Colorspace`."""
        stated = int(frame.colorspace), self.matrix
        if self.codec in _NEVER_ASKS_THE_FILE:
            stated = stated[::-1]
        known = [_MATRICES[matrix] for matrix in stated if matrix in _MATRICES]
        if known:
            return known[0]
        if self.codec in _ALWAYS_709:
            return Colorspace.ITU709
        if self.from_blender:  # Up to 4.4 it writes no tags; from 4.5 on they are there.
            return Colorspace.ITU601
        return Colorspace.ITU709 if min(frame.width, frame.height) >= 720 else Colorspace.ITU601
