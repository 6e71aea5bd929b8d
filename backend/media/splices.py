"""Time stamps that restart or jump, corrected equally for all tracks of a file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

PAUSE_S = 1.0
"""A gap longer than this in all tracks is a pause in the recording, or a broken time stamp."""


_PADDING_S = 0.3
"""Audio codecs begin a file with up to a packet of silence and end it with another: AAC of 8 kHz 128 ms each."""


@dataclass(frozen=True)
class Splice:
    """A place at which the time stamps were corrected.

    Attributes:
        at_s: on the corrected clock.
        from_s, to_s: the file's own time stamps before and after.
        tracks: `video`, `audio`, or both: what was shifted.
    """

    at_s: float
    from_s: float
    to_s: float
    tracks: tuple[str, ...]


@dataclass
class Spans:
    """When the packets of one track are shown, by the file's own time stamps.

    Attributes:
        kind: `video` or `audio`.
        start_s, end_s: (N) of each packet, in the order of the file; NaN where the file states none.
        part: (N) which part of the file each packet belongs to: time stamps go back from one part to the next.
        shift_s: (N) what `correct` adds.
    """

    kind: str
    start_s: np.ndarray
    end_s: np.ndarray
    part: np.ndarray
    shift_s: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.shift_s = np.zeros(len(self.start_s))

    def within(self, part: int) -> np.ndarray:
        """Indices of the packets of a part that have a known time."""
        return np.flatnonzero((self.part == part) & ~np.isnan(self.start_s))


@dataclass(frozen=True)
class _Gap:
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


def correct(tracks: list[Spans]) -> tuple[Splice, ...]:
    """Set the tracks' `shift_s` to make time continuous; the places where it was not.

    A part is put behind the part before it, and its tracks keep their places against each other; nothing overlaps but
    the padding of audio codecs. A
    gap that is filled by no other track is left out of all tracks that have it; one that another track fills stays.
    """
    places: list[tuple[int, int, float, tuple[str, ...]]] = []
    end_s: dict[int, float] = {}
    source_end_s: dict[int, float] = {}
    for part in np.unique(np.concatenate([track.part for track in tracks])) if tracks else ():
        inside = {index: track.within(part) for index, track in enumerate(tracks)}
        inside = {index: packets for index, packets in inside.items() if len(packets)}
        places += _close_gaps(tracks, inside)
        starts_s = {index: _first_s(tracks[index], packets) for index, packets in inside.items()}
        offsets_s = {index: end_s[index] - starts_s[index] for index in inside if index in end_s}
        if offsets_s:
            longest = _leading(tracks, offsets_s)
            for index, packets in inside.items():
                tracks[index].shift_s[packets] += offsets_s[longest]
            first = inside[longest][np.argmin(tracks[longest].start_s[inside[longest]])]
            places.append((longest, int(first), source_end_s[longest], _kinds(tracks, inside)))
        for index, packets in inside.items():
            source_end_s[index] = float(tracks[index].end_s[packets].max())
            end_s[index] = float((tracks[index].end_s + tracks[index].shift_s)[packets].max())
    found = (
        Splice(float((tracks[index].start_s + tracks[index].shift_s)[packet]), before_s, float(to_s), kinds)
        for index, packet, before_s, kinds in places
        for to_s in (tracks[index].start_s[packet],)
    )
    return tuple(sorted(found, key=lambda splice: splice.at_s))


def _leading(tracks: list[Spans], offsets_s: dict[int, float]) -> int:
    """The track that decides how far a part is moved: the one that needs it most, or the video where only padding is longer."""
    longest = max(offsets_s, key=lambda index: offsets_s[index])
    video = next((index for index in offsets_s if tracks[index].kind == "video"), longest)
    return video if offsets_s[longest] - offsets_s[video] <= _PADDING_S else longest


def _first_s(track: Spans, packets: np.ndarray) -> float:
    return float((track.start_s + track.shift_s)[packets].min())


def _close_gaps(tracks: list[Spans], inside: dict[int, np.ndarray]) -> list[tuple[int, int, float, tuple[str, ...]]]:
    """Leave out the gaps that no other track fills; (track, first packet behind, time before, kinds) of each."""
    gaps = {index: _gaps(tracks[index], packets) for index, packets in inside.items()}
    closed: dict[_Gap, tuple[int, int, float, set[str]]] = {}
    for index, packets in inside.items():
        start_s = tracks[index].start_s[packets]
        for gap in gaps[index]:
            others = {other: found for other, found in inside.items() if other != index}
            if any(_fills(tracks[other], found, gap) for other, found in others.items()):
                continue
            common = _common(gap, [gaps[other] for other in others])
            behind = packets[start_s >= gap.end_s]
            tracks[index].shift_s[behind] -= common.length_s
            first = int(behind[np.argmin(tracks[index].start_s[behind])])
            closed.setdefault(common, (index, first, gap.start_s, set()))[3].add(tracks[index].kind)
    return [
        (track, first, time_s, tuple(sorted(kinds, reverse=True))) for track, first, time_s, kinds in closed.values()
    ]


def _gaps(track: Spans, packets: np.ndarray) -> list[_Gap]:
    order = packets[np.argsort(track.start_s[packets], kind="stable")]
    reached_s = np.maximum.accumulate(track.end_s[order])[:-1]
    next_s = track.start_s[order][1:]
    return [_Gap(float(reached_s[k]), float(next_s[k])) for k in np.flatnonzero(next_s - reached_s > PAUSE_S)]


def _fills(track: Spans, packets: np.ndarray, gap: _Gap) -> bool:
    """Whether a track has packets for at least half of a gap."""
    start_s, end_s = track.start_s[packets], track.end_s[packets]
    overlap_s = np.minimum(end_s, gap.end_s) - np.maximum(start_s, gap.start_s)
    return float(np.maximum(overlap_s, 0).sum()) > 0.5 * gap.length_s


def _common(gap: _Gap, others: list[list[_Gap]]) -> _Gap:
    """What a gap has in common with those of the other tracks: as much is left out of each."""
    for gaps in others:
        for other in gaps:
            start_s, end_s = max(gap.start_s, other.start_s), min(gap.end_s, other.end_s)
            if end_s - start_s > 0.5 * gap.length_s:
                gap = _Gap(start_s, end_s)
    return gap


def _kinds(tracks: list[Spans], inside: dict[int, np.ndarray]) -> tuple[str, ...]:
    return tuple(sorted({tracks[index].kind for index in inside}, reverse=True))
