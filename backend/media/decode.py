"""Any clip as upright RGB pictures with square pixels at 25 frames a second, chosen by time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from ..errors import MediaError
from ..workspace import AS_STORED, FPS, FrameCorrections
from . import hdr
from .frame_pairs import PairMeter
from .interlacing import progressive
from .source import audio_stream, decoded, open_media, video_stream

_SEEK_MARGIN_S = 1.0
_LONGEST_STILL_S = 60.0
"""No one holds still for longer: time stamps that leap by more are broken, and following them would fill the disk."""

_TIME_TOLERANCE_S = 0.001
"""Containers round time stamps, Matroska to a millisecond."""

_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True)
class ClipInfo:
    """What a clip says of itself, and what its first picture shows.

    Attributes:
        width, height: of the picture as it is shown: upright, with square pixels.
        fps: mean frame rate.
        duration_s: of the picture track, as the container states it; 0 when it does not.
        start_s: time stamp of the first picture, which is time 0 everywhere else.
        hdr: `pq`, `hlg`, or an empty text for an ordinary picture.
        corrections: with which it was read.
    """

    path: Path
    width: int
    height: int
    fps: float
    duration_s: float
    start_s: float
    codec: str
    has_audio: bool
    hdr: str = ""
    corrections: FrameCorrections = AS_STORED

    @property
    def frames(self) -> int:
        """How many frames at 25 a second the stated duration makes; the decoded clip has the last word."""
        return frames_in(self.duration_s)


def frames_in(duration_s: float) -> int:
    """How many frames at 25 a second a picture track of that length makes."""
    # A last picture shown for less than a quarter of a frame makes none of its own.
    return max(math.ceil(duration_s * FPS - 0.25), 0)


def probe(path: str | os.PathLike, corrections: FrameCorrections = AS_STORED) -> ClipInfo:
    """Read a clip's header and first picture.

    Args:
        corrections: width and height are those of the corrected picture.

    Raises:
        MediaError: it cannot be opened, has no picture, or not one picture can be decoded.
    """
    path = Path(path)
    with open_media(path) as container:
        stream = video_stream(container, path)
        first = next(_in_order(container, stream, []), None)
        if first is None:
            raise MediaError(f"Not one picture of {path} can be decoded: convert the clip to H.264 in an MP4 file.")
        layout = _Layout.of(first, stream).turned(corrections.rotate_deg)
        duration = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if duration <= 0 and container.duration:
            duration = container.duration / av.time_base
        return ClipInfo(
            path=path,
            width=layout.width,
            height=layout.height,
            fps=float(_rate(stream)),
            duration_s=duration,
            start_s=_time_of(first),
            codec=stream.codec_context.name,
            has_audio=audio_stream(container) is not None,
            hdr=hdr.kind_of(first),
            corrections=corrections,
        )


def frames(path: str | os.PathLike, start_s: float = 0.0) -> Iterator[tuple[float, np.ndarray]]:
    """The clip at 25 frames a second: (time in seconds, (H, W, 3) uint8 RGB), beginning at the frame of `start_s`.

    Raises:
        MediaError: as `probe`.
    """
    yield from FrameReader(path, start_s=start_s)


class FrameReader:
    """Iterates over a clip at 25 frames a second; knows afterwards where it ended and what was damaged.

    The picture of frame k is the one shown at k/25 s plus half a source frame (at most half of ours). For a constant
    rate that is the picture nearest in time; jitter in the time stamps of a 25 frames-a-second clip neither drops nor
    doubles one.

    Args:
        path: the clip.
        start_s: begin with the frame of this time.
        every: yield one frame of so many; the rest are decoded, not converted.
        max_side: make pictures no larger than this on their longer side, for a quick look.
        corrections: of the subject the clip belongs to.
        meter: is shown every decoded frame.

    Attributes:
        end_s: end of the last decoded picture, once the iteration is over.
        damaged_s: times near which packets could not be decoded.
        interlaced_s: times of the frames that were flagged as interlaced.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        start_s: float = 0.0,
        every: int = 1,
        max_side: int | None = None,
        corrections: FrameCorrections = AS_STORED,
        meter: PairMeter | None = None,
    ) -> None:
        self.path = Path(path)
        self.info = probe(path, corrections)
        self.corrections = corrections
        self._meter = meter
        self.end_s = 0.0
        self.damaged_s: list[float] = []
        self.interlaced_s: list[float] = []
        self._first = max(round(start_s * FPS), 0)
        self._every = every
        self._max_side = max_side

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        lead_s = min(0.5 / self.info.fps, 0.5 / FPS)
        with open_media(self.path) as container:
            stream = video_stream(container, self.path)
            convert = _Converter(stream, self._max_side, self.corrections.rotate_deg)
            index, shown, picture = self._first, None, None
            for frame in self._from_start(container, stream, lead_s):
                time_s = _time_of(frame) - self.info.start_s
                if time_s - self.end_s > _LONGEST_STILL_S:
                    raise MediaError(
                        f"The time stamps of {self.path} jump from {self.end_s:.1f} s to {time_s:.1f} s: convert the "
                        "clip to a new MP4 file, or cut it there."
                    )
                # `shown` stays on the screen until this frame comes.
                while shown is not None and index / FPS + lead_s < time_s - _TIME_TOLERANCE_S:
                    if (index - self._first) % self._every == 0:
                        picture = convert(shown) if picture is None else picture
                        yield index / FPS, picture
                    index += 1
                shown, picture = frame, None
                self.end_s = time_s + _length_of(frame, stream)
            while shown is not None and index < frames_in(self.end_s):
                if (index - self._first) % self._every == 0:
                    picture = convert(shown) if picture is None else picture
                    yield index / FPS, picture
                index += 1

    def _from_start(self, container, stream, lead_s: float) -> Iterator[av.VideoFrame]:
        """Decoded frames from a key frame well before the first one wanted."""
        start_s = self._first / FPS
        if start_s > 2 * _SEEK_MARGIN_S and not _is_counted(container):
            container.seek(round((start_s - _SEEK_MARGIN_S + self.info.start_s) * av.time_base), backward=True)
            pictures = self._progressive(container, stream)
            frame = next(pictures, None)
            if frame is not None and _time_of(frame) - self.info.start_s <= start_s + lead_s:
                yield frame
                yield from pictures
                return
            container.seek(0)  # An index that points beyond its target: decode from the beginning instead.
        yield from self._progressive(container, stream)

    def _progressive(self, container, stream) -> Iterator[av.VideoFrame]:
        def seen() -> Iterator[av.VideoFrame]:
            for frame in _in_order(container, stream, self.damaged_s):
                if frame.interlaced_frame:
                    self.interlaced_s.append(_time_of(frame) - self.info.start_s)
                if self._meter is not None:
                    self._meter.see(frame, _time_of(frame) - self.info.start_s)
                yield frame

        return progressive(seen(), self.corrections.field_order, self.corrections.unflagged)


class _Converter:
    """Decoded frames to upright RGB with square pixels; keeps the scaler's tables between frames."""

    def __init__(self, stream: av.VideoStream, max_side: int | None, rotate_deg: int = 0) -> None:
        self._stream = stream
        self._rotate_deg = rotate_deg
        self._max_side = max_side
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        layout = _Layout.of(frame, self._stream).turned(self._rotate_deg)
        width, height = layout.stored
        if self._max_side and max(width, height) > self._max_side:
            scale = self._max_side / max(width, height)
            width, height = max(round(width * scale), 1), max(round(height * scale), 1)
        kind = hdr.kind_of(frame)
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb48le" if kind else "rgb24",
            src_colorspace=_matrix_of(frame),
            interpolation=_CONVERSION,
            threads=1,
        )
        picture = converted.to_ndarray()
        if kind:
            picture = hdr.to_sdr(picture, kind)
        return layout.upright(picture)


@dataclass(frozen=True)
class _Layout:
    """How a stored picture is to be shown: its size with square pixels, then the quarter turn or mirror."""

    stored: tuple[int, int]
    swap: bool
    flip_x: bool
    flip_y: bool

    @classmethod
    def of(cls, frame: av.VideoFrame, stream: av.VideoStream) -> _Layout:
        width, height = frame.width, frame.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if aspect > 1:  # Stretch, never shrink: nothing that was recorded is lost.
            width = round(width * aspect)
        elif 0 < aspect < 1:
            height = round(height / aspect)
        return cls((width, height), *_display_turn(frame))

    def turned(self, degrees: int) -> _Layout:
        """The same, then turned clockwise by quarter turns."""
        layout = self
        for _ in range(degrees // 90):  # Clockwise: the axes change places, then left and right do.
            layout = _Layout(layout.stored, not layout.swap, not layout.flip_y, layout.flip_x)
        return layout

    @property
    def width(self) -> int:
        return self.stored[1] if self.swap else self.stored[0]

    @property
    def height(self) -> int:
        return self.stored[0] if self.swap else self.stored[1]

    def upright(self, picture: np.ndarray) -> np.ndarray:
        if self.swap:
            picture = cv2.transpose(picture)
        if self.flip_x or self.flip_y:
            picture = cv2.flip(picture, -1 if self.flip_x and self.flip_y else (1 if self.flip_x else 0))
        return picture


def _display_turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """The display matrix as (swap axes, then mirror x, mirror y).

    ISO/IEC 14496-12, 6.2.2: a stored point (p, q) is shown at (a p + c q + x, b p + d q + y). Cameras write quarter
    turns and mirrors; the translation only brings the picture back to the origin.
    """
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(float) / 65536
    if abs(a) + abs(d) < abs(b) + abs(c):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _matrix_of(frame: av.VideoFrame) -> int:
    """The Y'CbCr matrix; when a clip does not say, BT.709 from 720 lines on and BT.601 below, as players do."""
    known = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601}
    known |= {7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020}
    guessed = Colorspace.ITU709 if min(frame.width, frame.height) >= 720 else Colorspace.ITU601
    return known.get(int(frame.colorspace), guessed)


def _in_order(container, stream: av.VideoStream, damaged_s: list[float]) -> Iterator[av.VideoFrame]:
    """Decoded pictures with time stamps that rise."""
    last_pts = None
    for index, frame in enumerate(decoded(container, stream, damaged_s)):
        if _is_counted(container) or frame.pts is None:
            frame.pts, frame.time_base = index, 1 / _rate(stream)
        if last_pts is None or frame.pts > last_pts:
            last_pts = frame.pts
            if frame.is_corrupt:
                damaged_s.append(_time_of(frame))
            yield frame


def _is_counted(container) -> bool:
    """Whether a container keeps no display times, only a constant rate; then pictures are counted from the first on."""
    return container.format.name in ("avi", "h264", "hevc", "m4v")


def _rate(stream: av.VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return Fraction(rate) if rate else Fraction(25)


def _time_of(frame: av.VideoFrame) -> float:
    return float(frame.pts * frame.time_base)


def _length_of(frame: av.VideoFrame, stream: av.VideoStream) -> float:
    length = float(frame.duration * frame.time_base) if frame.duration else 0.0
    return length if 0 < length < 1 else float(1 / _rate(stream))
