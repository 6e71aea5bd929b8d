"""Which frame of the footage lies beneath each frame of speech of any length.

Video textures (Schödl, Szeliski, Salesin, Essa 2000): playback leaves the footage's order where that is not seen. It turns where
the next frame looks like the one before, which is at rest or at the far point of a movement, and it jumps where two moments
look alike and move alike. Which transition is taken is drawn by its cost and by what it costs to leave where it leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter, minimum_filter1d

from ..workspace.frame_rate import frames_of
from ..workspace.shapes import Float, Int
from .footage_features import CHANGE_S

LONGEST_FOOTAGE = 7500
"""Frames, five minutes at 25 a second: of longer footage the end is played, so that memory does not grow with it."""
VISIBLE_COST = 2.0
"""A transition above this many of the clip's own changes of motion is seen by one who looks for it."""

_CALM_RUN_S, _SHORT = 3.0, 2.0
"""Length of a run between two transitions, and the cost of one that is much shorter."""
_MIN_SKIPPED_S = 1.0
_BLINK_S = 0.12
_BLINK = 0.25
_MATRIX_SIDE = 1500
_APART_S = 0.36
_KEPT_SPLICES = 200
_UNSEEN, _SEEN = 0.5, 6.0
"""What a transition may cost for nothing; and the weight of the square of the rest."""
_EACH, _BACKWARDS, _TIRED = 0.3, 0.004, 0.7
"""Costs of a transition as such, of 40 ms played backwards, times its squared motion, and of frames that were just shown."""
_AHEAD_S, _FRESH_S = 10.0, 20.0
"""How far costs ahead count, and how long ago a frame was shown that is as good as new; time constants."""
_ROUNDS, _TEMPERATURE = 60, 0.1


@dataclass(frozen=True)
class FootagePath:
    """Attributes:
    frames: frame of the footage beneath each frame of the speech.
    leaves: the frames of the speech after which the footage's order is left.
    costs: of these transitions, in the clip's own changes of motion (`footage_features`).
    """

    frames: Int[np.ndarray, " n"]
    leaves: Int[np.ndarray, " m"]
    costs: Float[np.ndarray, " m"]


@dataclass(frozen=True)
class _Transitions:
    """After frame `source`, played in the direction `before` (1 or -1), comes `target`, and `after` is the direction from there."""

    source: np.ndarray
    before: np.ndarray
    target: np.ndarray
    after: np.ndarray
    cost: np.ndarray


def footage_path(
    features: Float[np.ndarray, "n d"], lids: Float[np.ndarray, " n"], frames: int, rate: Fraction
) -> FootagePath:
    """A path of `frames` over `n` frames in a row, from the first: in order for as long as they last, else with transitions.

    Args:
        features: see `footage_features`. lids: how far they are shut, 0 to 1: nothing turns or jumps at a blink.
        rate: frames a second.
    """
    count = len(features)
    if frames <= count or count < 3:  # of two frames the second is held
        return FootagePath(np.minimum(np.arange(frames), count - 1), np.empty(0, int), np.empty(0))
    lag = min(frames_of(CHANGE_S, rate), (count - 1) // 2)
    found = _transitions(features, lids, rate, lag)
    motion = np.linalg.norm(features - features[np.maximum(np.arange(count) - lag, 0)], axis=1)
    effort = np.square(motion).clip(max=4.0) / lag
    return _Walk(found, _BACKWARDS * np.cumsum(effort), rate).path(frames)


class _Walk:
    """Args:
    effort: (n,) what playing backwards up to each frame costs. rate: frames a second.
    """

    def __init__(self, found: _Transitions, effort: np.ndarray, rate: Fraction) -> None:
        self._found, self._effort, self._fps = found, effort, float(rate)
        states = list(zip(found.target, found.after, strict=True))
        runs, lasting = (np.stack(each) for each in zip(*(self._runs_from(*state) for state in states), strict=True))
        self._ahead = np.zeros(len(runs))
        for _ in range(_ROUNDS):
            self._ahead = (runs + lasting * self._ahead).min(1)

    def _runs_from(self, frame: int, direction: int) -> tuple[np.ndarray, np.ndarray]:
        """Cost of playing from a frame to each transition and taking it, and what a cost counts that comes after it.

        Infinite where the transition is not ahead.
        """
        found, effort = self._found, self._effort
        length = (found.source - frame) * direction
        backwards = np.abs(effort[found.source] - effort[frame]) if direction < 0 else 0.0
        possible = (found.before == direction) & (length > 0)
        short = _SHORT * np.square(np.maximum(1 - length / (_CALM_RUN_S * self._fps), 0))
        cost = _EACH + _SEEN * np.square(np.maximum(found.cost - _UNSEEN, 0)) + backwards + short
        return np.where(possible, cost, np.inf), np.exp(-np.abs(length) / (_AHEAD_S * self._fps))

    def path(self, frames: int) -> FootagePath:
        found, rng = self._found, np.random.default_rng(0)  # the same speech has the same path
        frame, direction, done = 0, 1, 0
        parts: list[np.ndarray] = []
        leaves: list[int] = []
        costs: list[float] = []
        tired = np.zeros(len(self._effort))
        while True:
            left = len(self._effort) - frame if direction > 0 else frame + 1
            if left >= frames - done:
                parts.append(frame + direction * np.arange(frames - done))
                return FootagePath(np.concatenate(parts), np.array(leaves, int), np.array(costs, float))
            cost, lasting = self._runs_from(frame, direction)
            shown = np.cumsum(tired)
            seen = np.abs(shown[found.source] - shown[frame]) / np.maximum(np.abs(found.source - frame), 1)
            cost = cost + lasting * self._ahead + _TIRED * seen
            chance = np.exp(-(cost - cost.min()) / _TEMPERATURE)
            chosen = int(rng.choice(len(cost), p=chance / chance.sum()))
            run = np.arange(frame, found.source[chosen] + direction, direction)
            parts.append(run)
            done += len(run)
            leaves.append(done - 1)
            costs.append(float(found.cost[chosen]))
            tired *= np.exp(-len(run) / (_FRESH_S * self._fps))
            tired[run] += 1
            frame, direction = int(found.target[chosen]), int(found.after[chosen])


def _transitions(features: np.ndarray, lids: np.ndarray, rate: Fraction, lag: int) -> _Transitions:
    """Those that are the best near them; each also where the footage is played the other way.

    Moments are compared `lag` frames apart: neighbours alone hardly differ at 60 frames a second.
    """
    count, apart = len(features), frames_of(_APART_S, rate)
    blinks = maximum_filter1d(lids > np.median(lids) + _BLINK, 2 * frames_of(_BLINK_S, rate) + 1)
    # Beyond the ends the motion is taken to continue.
    ends = 2 * features[[0]] - features[2 * lag : 0 : -1]
    beyond = 2 * features[[-1]] - features[-2 : -2 - 2 * lag : -1]
    padded = np.concatenate([ends, features, beyond])
    near, far = (
        np.linalg.norm(padded[2 * lag + k : 2 * lag + k + count] - padded[2 * lag - k : 2 * lag - k + count], axis=1)
        for k in (lag, 2 * lag)
    )
    cost = np.maximum(near, far / 2) + 100.0 * blinks
    best = minimum_filter1d(cost, apart) == cost
    best[[0, -1]] = True  # so that nothing leads beyond the ends
    turns = np.flatnonzero(best)
    forwards, backwards = turns[turns > 0], turns[turns < count - 1]
    one = [np.ones(len(each), int) for each in (forwards, backwards)]
    a, b, jump_cost = _jumps(features, blinks, rate, lag)
    ahead = np.ones(len(a), int)
    return _Transitions(
        np.concatenate([forwards, backwards, a, b]),
        np.concatenate([one[0], -one[1], ahead, -ahead]),
        np.concatenate([forwards - 1, backwards + 1, b, a]),
        np.concatenate([-one[0], one[1], ahead, -ahead]),
        np.concatenate([cost[forwards], cost[backwards], jump_cost, jump_cost]),
    )


def _jumps(
    features: np.ndarray, blinks: np.ndarray, rate: Fraction, lag: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames a, b and costs: b may follow a as the frame after a does, and so may the moments before and after."""
    count = len(features)
    stride = -(-count // _MATRIX_SIDE)
    at = np.arange(2 * lag, count - 2 * lag, stride)
    if len(at) < 2:
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    cost = np.zeros((len(at), len(at)), np.float32)
    for k, weight in ((1 - 2 * lag, 0.5), (1 - lag, 1.0), (1, 1.0), (1 + lag, 0.5)):
        np.maximum(cost, weight * _distances(features[at + k], features[at + k - 1]), out=cost)
    near = np.abs(at[:, None] - at) < frames_of(_MIN_SKIPPED_S, rate)
    cost[near | blinks[at][:, None] | blinks[at]] = np.inf
    best = (minimum_filter(cost, max(1, frames_of(_APART_S, rate) // stride)) == cost) & np.isfinite(cost)
    rows, columns = np.nonzero(best)
    order = np.argsort(cost[rows, columns])[:_KEPT_SPLICES]
    return at[rows[order]], at[columns[order]], cost[rows[order], columns[order]].astype(float)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(a), len(b)) Euclidean."""
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0.0))
