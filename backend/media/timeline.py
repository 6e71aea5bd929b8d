"""One clock for the video and the audio of a clip, even with inconsistent time stamps.

The packets of a clip are listed once, undecoded. From that list come the time of each frame, the length of the video
track, and the corrections (`splices`) that keep video and audio together where the time stamps start again.
"""

from __future__ import annotations

import functools
import os
from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .completeness import missing_s
from .source import check_file, main_video, open_media, packets, rate_of
from .splices import Spans, Splice, correct

NONE = int(np.iinfo(np.int64).min)
"""A packet without a time stamp."""

_BACK_S = 0.2
"""Time stamps that go back by less are jitter."""

_HIGHEST_RATE = 300
_LONGEST_FRAME_S = 60.0


@dataclass(frozen=True)
class Track:
    """The packets of one track, in the order of the file; times are ticks of `time_base`.

    Attributes:
        stamps: (N) the file's time stamps of display; `NONE` where it has none.
        length: (N) how long each is shown or heard.
        hidden: (N) an edit list leaves it out.
        shift: (N) what is added to the file's time stamps.
        rate: frames a second; 0 for audio.
        in_coding_order: the stamps count the packets as they are coded, not as they are shown.
        reorder_depth: how many frames the codec may hold back to show them in another order than the file's.
    """

    time_base: Fraction
    stamps: np.ndarray
    length: np.ndarray
    hidden: np.ndarray
    shift: np.ndarray
    rate: Fraction = Fraction(0)
    in_coding_order: bool = False
    reorder_depth: int = 0

    @property
    def shown(self) -> np.ndarray:
        """(N) when each packet is shown or heard, corrected."""
        return np.where(self.stamps == NONE, NONE, self.stamps + self.shift)

    @property
    def source_end_s(self) -> float:
        """Where the last packet ends by the file's own time stamps."""
        return self._end_s(self.stamps)

    @property
    def end_s(self) -> float:
        """Where the last packet ends, corrected."""
        return self._end_s(self.shown)

    def _end_s(self, stamps: np.ndarray) -> float:
        known = (stamps != NONE) & ~self.hidden
        return float((stamps + self.length)[known].max() * self.time_base) if known.any() else 0.0

    def time_s(self, number: int) -> float:
        """When a packet is shown or heard, corrected; 0 where that is not known."""
        known = number < len(self.stamps) and self.stamps[number] != NONE
        return float(self.shown[number] * self.time_base) if known else 0.0

    @functools.cached_property
    def can_seek(self) -> bool:
        """Whether the time stamp alone identifies a packet."""
        plain = not self.in_coding_order and not self.shift.any() and bool((self.stamps != NONE).all())
        return plain and len(np.unique(self.stamps)) == len(self.stamps)

    def number_of(self, stamp: int | None) -> int | None:
        """Which packet has this time stamp of the file."""
        found = np.flatnonzero(self.stamps == (NONE if stamp is None else stamp))
        return int(found[0]) if len(found) == 1 else None

    def spans(self, kind: str, part: np.ndarray) -> Spans:
        """The track for `splices.correct`."""
        start_s = np.where((self.stamps == NONE) | self.hidden, np.nan, self.stamps * float(self.time_base))
        return Spans(kind, start_s, start_s + self.length * float(self.time_base), part)


class DisplayClock:
    """Gives decoded frames the time at which they are shown; their `pts` is the number of their packet.

    Where the file counts packets in coding order, the k-th frame takes the k-th of the sorted times. Frames that were
    lost, or that a packet only repeats, are counted by what must have been shown: of the packets that precede a frame in
    the file all but those held back, and all that precede a key frame.
    """

    def __init__(self, track: Track) -> None:
        self._track = track
        self._sorts = track.in_coding_order and track.reorder_depth > 0
        self._shown = np.sort(track.shown) if self._sorts else track.shown
        self._rank, self._last = -1, NONE
        self._since_key: list[int] = []

    def set_time(self, frame: av.VideoFrame) -> None:
        """Replace the packet's number in `pts` by the frame's time, which rises from frame to frame."""
        number = frame.pts if frame.pts is not None else self._rank + 1
        frame.duration = int(self._track.length[number]) if number < len(self._track.length) else 0
        if self._sorts:
            number = self._display_rank(number, bool(frame.key_frame))
        self._rank = number
        ticks = int(self._shown[number]) if number < len(self._shown) else NONE
        if ticks == NONE:
            ticks = 0 if self._last == NONE else self._last + round(1 / (self._track.rate * self._track.time_base))
        if self._last != NONE:  # Jitter hides no frame.
            ticks = max(ticks, self._last + 1)
        self._last = ticks
        frame.pts, frame.time_base = ticks, self._track.time_base

    def _display_rank(self, number: int, is_key: bool) -> int:
        rank = max(self._rank + 1, number - self._track.reorder_depth)
        if is_key:
            rank = max(rank, number + sum(earlier > number for earlier in self._since_key))
            self._since_key = []
        self._since_key.append(number)
        return min(rank, len(self._shown) - 1)


@dataclass(frozen=True)
class Timeline:
    """The time of a file, by its packets.

    Attributes:
        tracks: by index of the stream: the main video track and every audio track.
        splices: where time stamps were corrected, by the corrected clock.
        missing_s: how much of the video the file announces and does not hold, because it is cut off.
    """

    tracks: dict[int, Track]
    splices: tuple[Splice, ...]
    missing_s: float


def timeline_of(path: str | os.PathLike) -> Timeline:
    """List the packets of a file; the last few files are remembered.

    Raises:
        MediaError: it cannot be opened.
    """
    path = Path(path)
    check_file(path)
    state = path.stat()
    return _read(path, Path.cwd(), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _read(path: Path, folder: Path, size: int, changed_ns: int) -> Timeline:
    with open_media(path) as container:
        video = main_video(container)
        streams = [stream for stream in (video, *container.streams.audio) if stream is not None]
        rows, parts = {stream.index: array("q") for stream in streams}, _Parts()
        longest_s = 0.0  # of any track: subtitles, a second camera
        for packet in packets(container, list(container.streams)):
            pts, dts = (NONE if stamp is None else stamp for stamp in (packet.pts, packet.dts))
            length = max(packet.duration or 0, 0)
            if packet.stream_index in rows:
                rows[packet.stream_index].extend((pts, dts, length, packet.is_discard))
                parts.add(packet)
            elif packet.pts is not None:
                longest_s = max(longest_s, float((pts + length) * packet.time_base))
        tracks = {stream.index: _track(container, stream, rows[stream.index]) for stream in streams}
        spans = {stream.index: tracks[stream.index].spans(stream.type, parts.of(stream.index)) for stream in streams}
        splices = correct(list(spans.values()))
        for index, track in tracks.items():
            track.shift[:] = np.round(spans[index].shift_s / float(track.time_base))
        longest_s = max(longest_s, *(track.source_end_s for track in tracks.values()), 0.0)
        missing = 0.0 if video is None else missing_s(container, video, tracks[video.index].source_end_s, longest_s)
    return Timeline(tracks, splices, missing)


class _Parts:
    """Numbers the parts of a file: a new one begins where the time stamps of a track go back.

    The tracks cross from one part to the next at their own packets, not far from each other in the file.
    """

    def __init__(self) -> None:
        self._of: dict[int, array] = {}
        self._last_s: dict[int, float] = {}
        self._newest = 0

    def of(self, index: int) -> np.ndarray:
        """(N) the part of each packet of a track."""
        return np.array(self._of.get(index, []), np.int64)

    def add(self, packet: av.Packet) -> None:
        """Take the next packet of the file."""
        index = packet.stream_index
        parts = self._of.setdefault(index, array("i"))
        part = parts[-1] if parts else 0
        if packet.dts is not None:
            time_s = float(packet.dts * packet.time_base)
            if time_s < self._last_s.get(index, time_s) - _BACK_S:
                part = part + 1 if part < self._newest else self._newest + 1
                self._newest = max(self._newest, part)
            self._last_s[index] = time_s
        parts.append(part)


def _track(container, stream, rows: array) -> Track:
    pts, dts, length, hidden = np.array(rows, np.int64).reshape(-1, 4).T
    base, shift = Fraction(stream.time_base), np.zeros(len(pts), np.int64)
    if stream.type != "video":
        return Track(base, np.where(pts == NONE, dts, pts), length, hidden != 0, shift)
    rate = rate_of(stream)
    if (pts == NONE).all() and (dts == NONE).all() and stream.codec_context and stream.codec_context.framerate:
        rate = Fraction(stream.codec_context.framerate)  # FFmpeg takes raw streams for 25 frames a second
    if not 1 <= rate <= _HIGHEST_RATE:  # Recorders in browsers state the clock of their time stamps, 1000.
        rate = _measured_rate(np.where(pts == NONE, dts, pts), base) or Fraction(25)
    frame_ticks = max(round(1 / (rate * base)), 1)
    longest_s = _LONGEST_FRAME_S if container.format.name.startswith("mov") else 1.0
    length = np.where((length == 0) | (length * float(base) > longest_s), frame_ticks, length)
    stamps, in_coding_order = _display_stamps(container, pts, dts, frame_ticks)
    depth = stream.codec_context.reorder_depth if stream.codec_context is not None else 0
    return Track(base, stamps, length, hidden != 0, shift, rate, in_coding_order, depth)


def _measured_rate(stamps: np.ndarray, base: Fraction) -> Fraction | None:
    steps = np.diff(np.unique(stamps[stamps != NONE]))
    return Fraction(1 / (float(np.median(steps)) * float(base))).limit_denominator(1001) if len(steps) else None


def _display_stamps(container, pts: np.ndarray, dts: np.ndarray, frame_ticks: int) -> tuple[np.ndarray, bool]:
    """Time stamps of display, and whether they are in coding order: then only the sorted ones are of use.

    Containers without display times (AVI; MXF and ASF with H.264; raw streams) have them a fixed time behind those of
    decoding, as no file with reordered frames has. AVI counts its chunks, those of dropped frames included.
    """
    if not (pts != NONE).any() and not (dts != NONE).any():
        return np.arange(len(pts)) * frame_ticks, True
    if container.format.name == "avi" and (dts != NONE).all():
        return dts, True
    if not (pts != NONE).all():
        return pts, False
    behind, count = np.unique((pts - dts)[dts != NONE], return_counts=True)
    in_coding_order = bool(len(count) and count.max() > 0.9 * count.sum())
    # FFmpeg makes up the last of them.
    return (dts + behind[count.argmax()] if in_coding_order and (dts != NONE).all() else pts), in_coding_order
