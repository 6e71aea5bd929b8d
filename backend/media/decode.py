"""Any clip as upright RGB images with square pixels at the clip's frame rate, or another, chosen by time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..errors import MediaError
from ..workspace.subject import AS_STORED, FrameCorrections
from .alpha import AlphaMeter
from .colour import ColourTags
from .conversion import Converter, Layout, encoding_of_frame
from .frame_pairs import PairMeter
from .frame_rate import kept_rate, own_rate
from .interlacing import progressive
from .source import audio_stream, decoded, open_media, video_stream
from .splices import Splice
from .timeline import DisplayClock, Track, timeline_of

_SEEK_MARGIN_S = 1.0
_HELD_S = 1.0
"""A frame that stays on the screen for longer is reported."""

_TIME_TOLERANCE_S = 0.001
"""Containers round time stamps, Matroska to a millisecond."""


@dataclass(frozen=True)
class ClipInfo:
    """What a clip states, and what its first frame shows.

    Attributes:
        width, height: of the image as it is shown: upright, with square pixels.
        rate: at which its frames are kept: its own, see `kept_rate`.
        fps: its own frame rate, constant or in the mean.
        duration_s: of the video track: what the file holds, and what it announces beyond.
        start_s: time stamp of the first image, which is time 0 everywhere else.
        encoding: of `encodings.ENCODINGS`, or an empty text for an ordinary image.
        corrections: with which it was read.
        splices: where the file's time stamps were corrected.
        timecode: SMPTE time code of the first frame, of the video track or of one of its own; empty where there is none.
    """

    path: Path
    width: int
    height: int
    rate: Fraction
    fps: float
    duration_s: float
    start_s: float
    codec: str
    has_audio: bool
    encoding: str = ""
    corrections: FrameCorrections = AS_STORED
    splices: tuple[Splice, ...] = ()
    timecode: str = ""

    @property
    def frames(self) -> int:
        """How many frames that duration makes at `rate`; the decoded clip has the last word."""
        return frames_in(self.duration_s, self.rate)


def frames_in(duration_s: float, rate: Fraction) -> int:
    """How many frames at a rate a video track of that length makes."""
    # A last image shown for less than a quarter of a frame makes none of its own.
    return max(math.ceil(duration_s * float(rate) - 0.25), 0)


def probe(path: str | os.PathLike, corrections: FrameCorrections = AS_STORED) -> ClipInfo:
    """Read a clip's header and first image.

    Args:
        corrections: width and height are those of the corrected image.

    Raises:
        MediaError: it cannot be opened, has no image, or not one image can be decoded.
    """
    path = Path(path)
    timeline = timeline_of(path)
    with open_media(path) as container:
        stream = video_stream(container, path)
        track, colours = timeline.tracks[stream.index], ColourTags.of(container, stream)
        first = next(_in_order(container, stream, track, []), None)
        if first is None:
            raise MediaError(f"No frame of {path} can be decoded: convert the clip to H.264 in an MP4 file.")
        layout = Layout.of(first, stream.sample_aspect_ratio, colours).turned(corrections.rotate_deg)
        return ClipInfo(
            path=path,
            width=layout.width - 2 * corrections.bars_px[0],
            height=layout.height - 2 * corrections.bars_px[1],
            rate=kept_rate(track),
            fps=float(own_rate(track)),
            duration_s=track.end_s - _time_of(first) + timeline.missing_s,
            start_s=_time_of(first),
            codec=stream.codec_context.name,
            has_audio=audio_stream(container) is not None,
            encoding=encoding_of_frame(first, corrections),
            corrections=corrections,
            splices=timeline.splices,
            timecode=_timecode_of(container, stream),
        )


def frames(
    path: str | os.PathLike, start_s: float = 0.0, rate: Fraction | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """The clip at its own frame rate, or at `rate`: (time in seconds, (H, W, 3) uint8 RGB), beginning at the frame of `start_s`.

    Raises:
        MediaError: as `probe`.
    """
    yield from FrameReader(path, start_s=start_s, rate=rate)


class FrameReader:
    """Iterates over a clip at a frame rate, its own as a rule; knows afterwards where it ended and what was damaged.

    The image of frame k is the one shown at k / rate plus half a source frame (at most half of ours). For a constant
    rate that is the image nearest in time; at the clip's own rate jitter in its time stamps neither drops nor doubles one.

    Args:
        path: the clip.
        start_s: begin with the frame of this time.
        every: yield one frame of so many; the rest are decoded, not converted.
        max_side: make images no larger than this on their longer side, for a quick first pass.
        corrections: of the subject the clip belongs to.
        meter: is shown every decoded frame.
        keep_alpha: yield (H, W, 4) where the clip has an alpha channel that counts: the colours over grey as without,
            and the alpha.
        rate: frames a second; None for the clip's own.

    Attributes:
        rate: frames a second that are yielded.
        end_s: end of the last decoded image, once the iteration is over.
        damaged_s: times near which packets could not be decoded.
        interlaced_s: times of the frames that were flagged as interlaced.
        source_frames: how many frames of the file were decoded.
        held_s: (start, end) of each frame that stays on the screen for more than a second.
        sizes: (time, width, height) from which frames have another size than before; they are fitted into the first.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        start_s: float = 0.0,
        every: int = 1,
        max_side: int | None = None,
        corrections: FrameCorrections = AS_STORED,
        meter: PairMeter | AlphaMeter | None = None,
        keep_alpha: bool = False,
        rate: Fraction | None = None,
    ) -> None:
        self.path = Path(path)
        self.info = probe(path, corrections)
        self.rate = rate or self.info.rate
        self._fps = float(self.rate)
        self.corrections = corrections
        bars = corrections.bars_px
        self._full_size = self.info.width + 2 * bars[0], self.info.height + 2 * bars[1]
        self._meter = meter
        self._channels = 4 if keep_alpha else 3
        self.end_s = 0.0
        self.damaged_s: list[float] = []
        self.interlaced_s: list[float] = []
        self.source_frames = 0
        self.held_s: list[tuple[float, float]] = []
        self.sizes: list[tuple[float, int, int]] = []
        self._first = max(round(start_s * self._fps), 0)
        self._every = every
        self._max_side = max_side

    def __iter__(self) -> Iterator[tuple[float, Any]]:
        lead_s = min(0.5 / self.info.fps, 0.5 / self._fps)
        convert = self._conversion()
        index, shown, image = self._first, None, None
        for frame, layout in self._from_start(lead_s):
            self.source_frames += 1
            time_s = _time_of(frame) - self.info.start_s
            # `shown` stays on the screen until this frame comes.
            while shown is not None and index / self._fps + lead_s < time_s - _TIME_TOLERANCE_S:
                if (index - self._first) % self._every == 0:
                    image = convert(*shown) if image is None else image
                    yield index / self._fps, image
                index += 1
            self._note(layout, time_s, None if shown is None else _time_of(shown[0]) - self.info.start_s)
            shown, image = (frame, layout), None
            self.end_s = time_s + (float(frame.duration * frame.time_base) or 1 / self.info.fps)
        if shown is not None:
            self._note_held(_time_of(shown[0]) - self.info.start_s, self.end_s)
        while shown is not None and index < frames_in(self.end_s, self.rate):
            if (index - self._first) % self._every == 0:
                image = convert(*shown) if image is None else image
                yield index / self._fps, image
            index += 1

    def _conversion(self) -> Callable[[av.VideoFrame, Layout], Any]:
        """What makes of a decoded frame what is yielded."""
        convert = Converter(self._full_size, self._max_side, self.corrections)
        return lambda frame, layout: self._kept(convert(frame, layout))

    def _kept(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        left, top = (
            round(bar * side / full)
            for bar, side, full in zip(self.corrections.bars_px, (width, height), self._full_size, strict=True)
        )
        return np.ascontiguousarray(image[top : height - top, left : width - left, : self._channels])

    def _note(self, layout: Layout, time_s: float, last_s: float | None) -> None:
        size = self.sizes[-1][1:] if self.sizes else self._full_size
        if (layout.width, layout.height) != size:
            self.sizes.append((time_s, layout.width, layout.height))
        if last_s is not None:
            self._note_held(last_s, time_s)

    def _note_held(self, from_s: float, to_s: float) -> None:
        if to_s - from_s > _HELD_S:
            self.held_s.append((from_s, to_s))

    def _from_start(self, lead_s: float) -> Iterator[tuple[av.VideoFrame, Layout]]:
        """Decoded frames from a key frame well before the first one wanted."""
        start_s = self._first / self._fps
        if start_s > 2 * _SEEK_MARGIN_S:
            found = self._decoded(start_s - _SEEK_MARGIN_S)
            first = next(found, None)
            if first is not None and _time_of(first[0]) - self.info.start_s <= start_s + lead_s:
                yield first
                yield from found
                return
            # No index, or one that points beyond its target: decode from the beginning instead.
        yield from self._decoded()

    def _decoded(self, from_s: float | None = None) -> Iterator[tuple[av.VideoFrame, Layout]]:
        with open_media(self.path) as container:
            stream = video_stream(container, self.path)
            track = timeline_of(self.path).tracks[stream.index]
            aspect, colours = stream.sample_aspect_ratio, ColourTags.of(container, stream)
            if from_s is not None:
                if not track.can_seek:
                    return
                container.seek(round((from_s + self.info.start_s) * av.time_base), backward=True)
            found = self._seen(_in_order(container, stream, track, self.damaged_s, sought=from_s is not None))
            for frame in progressive(found, self.corrections.field_order, self.corrections.unflagged):
                yield frame, Layout.of(frame, aspect, colours).turned(self.corrections.rotate_deg)

    def _seen(self, found: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in found:
            if frame.interlaced_frame:
                self.interlaced_s.append(_time_of(frame) - self.info.start_s)
            if self._meter is not None:
                self._meter.see(frame, _time_of(frame) - self.info.start_s)
            yield frame


def _in_order(
    container, stream: av.VideoStream, track: Track, damaged_s: list[float], sought: bool = False
) -> Iterator[av.VideoFrame]:
    """Decoded frames with time stamps that rise, and the length for which each is shown."""
    clock = DisplayClock(track)
    for frame in decoded(container, stream, track, damaged_s, sought):
        clock.set_time(frame)
        if frame.is_corrupt:
            damaged_s.append(_time_of(frame))
        yield frame


def _timecode_of(container, stream: av.VideoStream) -> str:
    found = (part.metadata.get("timecode", "") for part in (stream, *container.streams.data, container))
    return next(filter(None, found), "")


def _time_of(frame: av.VideoFrame) -> float:
    return float(frame.pts * frame.time_base)
