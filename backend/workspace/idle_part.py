"""The part of a clip that lies beneath speech: its longest run of tracked frames, or an idle part that the artist picks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..errors import FaceError, SyncTalkError
from ..protocol import BLENDSHAPE_NAMES
from .frame_rate import frames_of
from .head_track import HeadTrack
from .intervals import intervals
from .poses import project

SHORTEST_S = 1.0
CALM_S = 6.0
"""Length of the calm part that is proposed: long enough for a breath and a blink."""
BLINKS = [BLENDSHAPE_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]

_HEAD_POINTS_M = np.array([[0, 0, 0], [0, -0.06, -0.08], [-0.07, -0.04, -0.05], [0.07, -0.04, -0.05], [0, 0.06, -0.07]])
"""Neck joint, bridge of the nose, temples and chin, about, in the head frame: each turn or shift of the head moves them."""


def head_points_px(track: HeadTrack, start: int, stop: int) -> np.ndarray:
    """(n, 5, 2) places on the head in the working frames from `start` to `stop`."""
    return project(track.head_to_camera[start:stop], _HEAD_POINTS_M, track.focal_px, track.principal_px)


def takes(track: HeadTrack, start: int = 0, stop: int | None = None) -> list[tuple[int, int]]:
    """First and one-past-last frame of each run with a tracked head and without a cut, between two frames."""
    usable = np.array(track.valid, bool)
    usable[:start] = False
    usable[track.frames if stop is None else stop :] = False
    cuts = np.flatnonzero(track.cuts)
    found: list[tuple[int, int]] = []
    for first, last in intervals(usable):
        edges = [first, *(int(cut) for cut in cuts if first < cut < last), last]
        found += itertools.pairwise(edges)
    return found


def longest(runs: list[tuple[int, int]]) -> tuple[int, int]:
    """The longest of runs of frames.

    Raises:
        FaceError: there is none.
    """
    if not runs:
        raise FaceError("No frame of this clip has a tracked head: process a clip that shows the face.")
    return max(runs, key=lambda run: run[1] - run[0])


def idle_take(track: HeadTrack, idle_s: Sequence[float], rate: Fraction) -> tuple[int, int]:
    """The frames to play in an idle part, from and to in seconds of the clip: its longest take.

    Raises:
        SyncTalkError: it reaches beyond the clip, is too short, or does not show the head for long enough.
    """
    if len(idle_s) != 2 or not np.isfinite(idle_s).all():
        raise SyncTalkError("The idle part must be two numbers: from and to, in seconds of the clip.")
    part = f"The idle part from {idle_s[0]:g} to {idle_s[1]:g} s"
    first, last = (round(at_s * float(rate)) for at_s in idle_s)
    if not 0 <= first <= last <= track.frames:
        raise SyncTalkError(f"{part} is not inside the clip: choose one from 0 to {float(track.frames / rate):g} s.")
    if last - first < SHORTEST_S * rate:
        raise SyncTalkError(f"{part} is too short: choose {SHORTEST_S:g} s or more.")
    start, stop = max(takes(track, first, last), key=lambda run: run[1] - run[0], default=(0, 0))
    if stop - start < SHORTEST_S * rate:
        raise SyncTalkError(
            f"{part} has no tracked head for {SHORTEST_S:g} s without a cut: choose a part that shows the face."
        )
    return start, stop


def calm_part(track: HeadTrack, rate: Fraction) -> tuple[float, float]:
    """From and to, in seconds of the clip: the part of up to `CALM_S` in which the head moves least about where it rests.

    Raises:
        FaceError, SyncTalkError: the head is not tracked for `SHORTEST_S` in a row.
    """
    runs = takes(track)
    start, stop = longest(runs)
    length = min(stop - start, round(CALM_S * rate))
    if length < SHORTEST_S * rate:
        raise SyncTalkError(f"The head is not tracked for {SHORTEST_S:g} s in a row: there is no calm part.")
    calmest, best, stride = np.inf, start, frames_of(0.2, rate)
    for first, last in runs:
        if last - first < length:
            continue
        head = head_points_px(track, first, last)
        moves = np.linalg.norm(np.diff(head, axis=0, prepend=head[:1]), axis=2).mean(1)
        for begin in range(0, last - first - length + 1, stride):
            part = head[begin : begin + length]
            restless = moves[begin : begin + length].sum() + np.linalg.norm(part.std(0), axis=1).mean() * float(rate)
            if restless < calmest:
                calmest, best = float(restless), first + begin
    return float(best / rate), float((best + length) / rate)
