"""Deinterlacing: frames of two fields from different times become progressive ones."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
import av.filter

_CLOCK = Fraction(1, 1000)
"""The filter's own clock; each frame gets its own time stamp back afterwards."""

_PARITY = {"top": "tff", "bottom": "bff", "": "auto"}


def progressive(
    frames: Iterator[av.VideoFrame], field_order: str = "", unflagged: bool = False
) -> Iterator[av.VideoFrame]:
    """Frames without combs: bwdif removes them from those that are flagged as interlaced.

    Each frame's flag counts, as a file may mix both kinds. What comes before the first
    interlaced frame does not pass through the filter: a progressive clip costs nothing.

    Args:
        frames: decoded frames in display order.
        field_order: `top` or `bottom`, the field that comes first, where it was measured; else by the flag.
        unflagged: frames without the flag are interlaced as well.

    Yields:
        As many frames, with the time stamps of those given.
    """
    filter_: _Deinterlacer | None = None
    for frame in frames:
        if filter_ is not None and filter_.kind != _kind(frame):  # A filter is made for one size and format.
            yield from filter_.push(None)
            filter_ = None
        if filter_ is None and not (frame.interlaced_frame or unflagged):
            yield frame
            continue
        filter_ = filter_ or _Deinterlacer(frame, field_order, unflagged)
        yield from filter_.push(frame)
    if filter_ is not None:
        yield from filter_.push(None)


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


class _Deinterlacer:
    """One filter graph for frames of one size and format; what is not flagged passes through it unchanged."""

    def __init__(self, frame: av.VideoFrame, field_order: str, unflagged: bool) -> None:
        self.kind = _kind(frame)
        self._count = 0
        self._stamps: deque[tuple[int, Fraction, int]] = deque()
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_CLOCK)
        which = "all" if unflagged else "interlaced"
        bwdif = self._graph.add("bwdif", f"mode=send_frame:parity={_PARITY[field_order]}:deint={which}")
        source.link_to(bwdif)
        bwdif.link_to(self._graph.add("buffersink"))
        self._graph.configure()

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Give a frame, or None at the end, and take what is ready: the filter looks one frame ahead."""
        if frame is not None:
            self._stamps.append((frame.pts, frame.time_base, frame.duration))
            frame.pts, frame.time_base = self._count, _CLOCK
            self._count += 1
        self._graph.push(frame)
        with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):
            while self._stamps:
                filtered = self._graph.pull()
                filtered.pts, filtered.time_base, filtered.duration = self._stamps.popleft()
                yield filtered
