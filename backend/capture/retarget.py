"""A capture of anyone's face on this person's own range: neutral taken out, gain by range, no further than the head has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ..protocol import BLENDSHAPE_NAMES, BROWS_PART, EYES_PART, HEAD_PART, MOUTH_PART
from ..workspace.poses import mean_rotation, rotation_exp, rotation_log
from ..workspace.shapes import Bool, Float
from .face_capture import FaceCapture
from .parts import BOTH_WAYS, BROWS, GAZE, OPPOSITES, PARTS
from .person import PersonRange, as_motions, as_shapes

MAX_REST, MAX_GAZE_REST, MAX_BROW_REST = 0.15, 0.5, 0.7
"""A face's own neutral, or a phone held low, is taken out up to here; more is meant, such as a smile held throughout. Some
speakers keep their brows up all the while."""

GAINS, GAINS_BOTH_WAYS = (0.5, 2.0), (0.25, 2.0)
"""Between which a gain by ranges stays; of what moves both ways, where one way may be nearly all that a person uses."""

SURE_S = 8.0
"""A take this long shows its person's range; the gains of a shorter one are nearer to 1."""

STILL = 0.03
"""A shape that moves less, in a take or in the clip, has no range to compare."""

BEYOND_SHARE, BEYOND_LEAST = 0.1, 0.02
"""How far a motion may leave what the head has seen: of its range, and at least."""

HEAD_DEG, HEAD_BEYOND_DEG, HEAD_SHIFT_M = 10.0, 2.0, 0.02
"""A head turns as far as in its own clip, or 10° where that is less, and softly up to 2° more; it moves 2 cm."""

TURN_GAINS, TURN_REACH = (0.5, 1.0), 0.95
"""Between which the gain of a head's turns stays, by this quantile of both heads' turns."""


@dataclass(frozen=True)
class Fit:
    """How a capture becomes a person's.

    Attributes:
        take: of `protocol.CAPTURE_PARTS`: what is driven.
        strength: of the motion about the rest; 1 is natural.
        gains: factors on top by a shape's or a part's name.
        as_is: the file's own values, within [0, 1]: no neutral, gain or limit.
    """

    take: tuple[str, ...] = (MOUTH_PART, BROWS_PART, EYES_PART)
    strength: float = 1.0
    gains: Mapping[str, float] = field(default_factory=dict)
    as_is: bool = False

    def factors(self) -> Float[np.ndarray, " 52"]:
        """Strength and gains, of each shape."""
        factors = np.full(len(BLENDSHAPE_NAMES), float(self.strength))
        for part, indices in PARTS.items():
            factors[indices] *= self.gains.get(part, 1.0)
        return factors * np.array([self.gains.get(name, 1.0) for name in BLENDSHAPE_NAMES])


def resampled(
    capture: FaceCapture, values: Float[np.ndarray, "n ..."], frames: int, rate: Fraction
) -> Float[np.ndarray, "frames ..."]:
    """Values (n, …) of a capture's samples at the frames of an animation, held before the first and after the last.

    Linear in time. Of samples that come faster than frames, those of the difference in time are averaged, so that what is
    faster than the frames does not flicker in them; at the same rate nothing is.
    """
    at_s = np.arange(frames) / float(rate)
    times_s, flat = capture.times_s, values.reshape(len(values), -1)
    width_s = float(1 / rate - 1 / capture.rate)
    if width_s <= 1e-6:
        columns = [np.interp(at_s, times_s, column) for column in flat.T]
    else:
        # The mean over an interval is the difference of the integral, which is exact for lines between samples.
        sums = np.concatenate(
            [np.zeros((1, flat.shape[1])), np.cumsum((flat[1:] + flat[:-1]) / 2 * np.diff(times_s)[:, None], 0)]
        )
        edges = np.stack([at_s - width_s / 2, at_s + width_s / 2])
        columns = [_mean(edges, times_s, column, total) for column, total in zip(flat.T, sums.T, strict=True)]
    return np.stack(columns, 1).reshape(frames, *values.shape[1:])


def _mean(edges: np.ndarray, times_s: np.ndarray, column: np.ndarray, total: np.ndarray) -> np.ndarray:
    """(frames,) means of a column (n) between edges (2, frames)."""
    inside = np.clip(edges, times_s[0], times_s[-1])
    at = np.clip(np.searchsorted(times_s, inside, side="right") - 1, 0, len(times_s) - 2)
    since = inside - times_s[at]
    slope = (column[at + 1] - column[at]) / (times_s[at + 1] - times_s[at])
    integral = (
        total[at] + since * (column[at] + slope * since / 2) + (edges - inside) * np.interp(inside, times_s, column)
    )
    return (integral[1] - integral[0]) / (edges[1] - edges[0])


def driven_shapes(capture: FaceCapture) -> Bool[np.ndarray, " 52"]:
    """The shapes that a capture drives: of each part that moves, those it has.

    A part whose shapes are all still was not captured: speech software writes eyes of zeros.
    """
    moves = np.ptp(capture.blendshapes, axis=0) > 1e-4
    driven = np.zeros(len(BLENDSHAPE_NAMES), bool)
    for indices in PARTS.values():
        if (moves & capture.present)[indices].any():
            driven[indices] = capture.present[indices]
    for one, other in OPPOSITES:  # half of a motion is none
        driven[[one, other]] = driven[one] and driven[other]
    return driven


def retargeted_shapes(
    capture: FaceCapture,
    person: PersonRange,
    beneath: Float[np.ndarray, "frames 52"],
    rate: Fraction,
    fit: Fit,
) -> Float[np.ndarray, "frames 52"]:
    """The face of an animation: the capture where it drives, the footage's own beneath elsewhere.

    A shape that the capture lacks of a part that it drives rests.

    Args:
        person: the subject's range.
        beneath: of the footage's frames beneath.
    """
    driven = driven_shapes(capture)
    shapes = np.array(beneath, np.float64)
    taken = resampled(capture, capture.blendshapes, len(beneath), rate)
    fitted = taken if fit.as_is else _fitted(capture, driven, taken, person, fit)
    rest = as_shapes(person.rest[None])[0]
    for part, indices in PARTS.items():
        if part in fit.take and driven[indices].any():
            has = driven[indices]
            shapes[:, indices[has]] = fitted[:, indices[has]]
            shapes[:, indices[~has]] = rest[indices[~has]]
    return np.clip(shapes, 0, 1).astype(np.float32)


def _fitted(
    capture: FaceCapture, driven: np.ndarray, taken: np.ndarray, person: PersonRange, fit: Fit
) -> Float[np.ndarray, "frames 52"]:
    """(frames, 52) of samples `taken` of the capture on the person's range."""
    rest, gain = rest_and_gains(capture, person, fit)
    return as_shapes(limited(person.rest + scaled(as_motions(taken) - rest, gain), person))


def scaled(about: Float[np.ndarray, "*n 52"], gains: Float[np.ndarray, "2 52"]) -> Float[np.ndarray, "*n 52"]:
    """Motions about the rest, times the gains down and up."""
    return np.where(about < 0, gains[0], gains[1]) * about


def rest_and_gains(
    capture: FaceCapture, person: PersonRange, fit: Fit
) -> tuple[Float[np.ndarray, " 52"], Float[np.ndarray, "2 52"]]:
    """Where the captured face rests, of motions (`as_motions`), and by how much each becomes larger on the person, down and up."""
    source = PersonRange.of(capture.blendshapes)
    most = np.full(len(BLENDSHAPE_NAMES), MAX_REST)
    most[GAZE], most[BROWS] = MAX_GAZE_REST, MAX_BROW_REST
    gains = range_gains(source, person, float(capture.times_s[-1] - capture.times_s[0])) * fit.factors()
    return np.clip(source.rest, -most, most), gains


def range_gains(source: PersonRange, person: PersonRange, duration_s: float) -> Float[np.ndarray, "2 52"]:
    """How much further than the captured person this one moves each shape, down and up; gaze is an angle, which all share."""
    known = (source.reach > STILL) & (person.reach > STILL)
    up = np.clip(np.where(known, person.reach / np.maximum(source.reach, STILL), 1.0), *GAINS)
    down = up.copy()
    for one in BOTH_WAYS:
        for gains, own, other in ((down, person.fall, source.fall), (up, person.reach, source.reach)):
            moves = max(own[one], other[one]) > STILL
            gains[one] = np.clip(max(own[one], STILL) / max(other[one], STILL), *GAINS_BOTH_WAYS) if moves else 1.0
    down[GAZE] = up[GAZE] = 1.0
    return np.stack([down, up]) ** min(duration_s / SURE_S, 1.0)


def limited(motions: Float[np.ndarray, "n 52"], person: PersonRange) -> Float[np.ndarray, "n 52"]:
    """Motions that stay near what the person was seen to do: as they are inside, softly bent beyond."""
    margin = np.maximum(BEYOND_SHARE * (person.highest - person.lowest), BEYOND_LEAST)
    return _soft(motions, person.lowest, person.highest, margin)


def _soft(values: np.ndarray, lowest: np.ndarray, highest: np.ndarray, margin: np.ndarray | float) -> np.ndarray:
    beyond = np.maximum(values - highest, 0) - np.maximum(lowest - values, 0)
    return np.clip(values, lowest, highest) + margin * np.tanh(beyond / margin)


def retargeted_poses(
    capture: FaceCapture,
    clip_poses: Float[np.ndarray, "m 4 4"],
    beneath: Float[np.ndarray, "frames 4 4"],
    rate: Fraction,
    fit: Fit,
) -> Float[np.ndarray, "frames 4 4"]:
    """Poses of an animation: the footage's beneath, turned and moved as the captured head is about its own middle.

    Args:
        clip_poses: of the subject's tracked frames.
    """
    if HEAD_PART not in fit.take or (capture.head_turn is None and capture.head_shift_m is None):
        return beneath
    poses, frames = np.array(beneath, np.float64), len(beneath)
    limits = TurnLimits.of(clip_poses)
    middle, strength = limits.middle, fit.gains.get(HEAD_PART, 1.0)
    if capture.head_turn is not None:
        about = rotation_log(mean_rotation(capture.head_turn).T @ capture.head_turn)
        gain = strength * turn_gain(about, clip_poses, float(capture.times_s[-1] - capture.times_s[0]))
        turn = rotation_exp(gain * resampled(capture, about, frames, rate))
        total = rotation_log(middle.T @ poses[:, :3, :3] @ turn)
        poses[:, :3, :3] = middle @ rotation_exp(limits.soft(total))
    if capture.head_shift_m is not None:
        shift = strength * resampled(capture, capture.head_shift_m - np.median(capture.head_shift_m, 0), frames, rate)
        poses[:, :3, 3] += HEAD_SHIFT_M * np.tanh(shift / HEAD_SHIFT_M) @ middle.T
    return poses


def turn_gain(about: Float[np.ndarray, "n 3"], clip_poses: Float[np.ndarray, "m 4 4"], duration_s: float) -> float:
    """How much of a captured head's turns a person makes who turns less: down to half, never more than all.

    Args:
        about: the turns about their middle, rotation vectors.
    """
    rotations = clip_poses[:, :3, :3]
    own, other = (
        float(np.quantile(np.linalg.norm(turns, axis=1), TURN_REACH))
        for turns in (rotation_log(mean_rotation(rotations).T @ rotations), about)
    )
    return float(np.clip(own / max(other, 1e-6), *TURN_GAINS)) ** min(duration_s / SURE_S, 1.0)


@dataclass(frozen=True)
class TurnLimits:
    """How far a head turns about its middle: as in its own clip, or `HEAD_DEG` where that is less; softly a little more.

    Attributes:
        middle: of the clip's rotations.
        lowest, highest: rotation vectors about it, degrees.
    """

    middle: Float[np.ndarray, "3 3"]
    lowest: Float[np.ndarray, " 3"]
    highest: Float[np.ndarray, " 3"]

    @classmethod
    def of(cls, clip_poses: Float[np.ndarray, "m 4 4"]) -> TurnLimits:
        """Of the poses of the subject's tracked frames."""
        middle = mean_rotation(clip_poses[:, :3, :3])
        own = np.degrees(rotation_log(middle.T @ clip_poses[:, :3, :3]))
        return cls(middle, np.minimum(own.min(0), -HEAD_DEG), np.maximum(own.max(0), HEAD_DEG))

    def soft(self, about: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Rotation vectors about the middle, radians, within the limits."""
        return np.radians(_soft(np.degrees(about), self.lowest, self.highest, HEAD_BEYOND_DEG))
