"""The part of the footage beneath an animation, and what the face does in it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..progress import Reporter
from ..workspace.head_track import HeadTrack
from ..workspace.idle_part import BLINKS, idle_take, longest, takes
from ..workspace.intervals import intervals
from ..workspace.shapes import Float, Int
from ..workspace.store import Workspace
from .blinks import blinking
from .footage_features import footage_features
from .footage_path import LONGEST_FOOTAGE, VISIBLE_COST, footage_path


def footage_beneath(
    workspace: Workspace, track: HeadTrack, frames: int, idle_s: Sequence[float], reporter: Reporter
) -> Int[np.ndarray, " frames"]:
    """The frame of the footage beneath each frame of an animation: `footage_path` over the longest run, or the idle part.

    Args:
        idle_s: the part of the clip to stay in, from and to in seconds; twice 0 for all of it.

    Raises:
        FaceError, SyncTalkError: no part of the clip shows the head for long enough.
    """
    if any(idle_s):
        start, stop = idle_take(track, idle_s, workspace.subject.rate)
    else:
        start, stop = longest(intervals(np.asarray(track.valid, bool)))
        if frames > stop - start:
            start, stop = longest(takes(track))
    start = max(start, stop - LONGEST_FOOTAGE) if frames > stop - start else start
    if frames <= stop - start:
        return np.arange(start, start + frames)
    rate = workspace.subject.rate
    features = footage_features(workspace, track, start, stop)
    path = footage_path(features, track.blendshapes[start:stop, BLINKS].max(1), frames, rate)
    seen = np.flatnonzero(path.costs > VISIBLE_COST)
    if len(seen):
        reporter.warning(
            f"The footage has no hidden place to turn: a transition at {float(path.leaves[seen[0]] / rate):.1f} s may be seen. "
            "Choose another idle part, or longer footage."
        )
    return start + path.frames


def shapes_beneath(
    track: HeadTrack, plate_frame: Int[np.ndarray, " frames"], idle_s: Sequence[float], rate: Fraction
) -> Float[np.ndarray, "frames 52"]:
    """What the face does in the footage beneath, with blinks where it is not played in order."""
    if any(idle_s) or (np.diff(plate_frame) != 1).any():
        return blinking(track.blendshapes[plate_frame], plate_frame, track.blendshapes[track.valid], rate)
    return track.blendshapes[plate_frame]
