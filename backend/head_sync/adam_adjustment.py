"""Bundle adjustment by Adam (Kingma & Ba 2015), all frames at once, in the paper's two stages (Eq. 7, then Eq. 8).

`bundle_adjustment.py` solves the same problem by Levenberg-Marquardt with dense coupling, which allows some hundred
frames. Here a step costs one pass over the observations, so memory and time grow with their number alone and a complete
clip fits. Loss and prior are the same, so the costs of the two compare.

The gradients are written by hand: NumPy computes a dozen sums and products in pieces that stay in the processor's cache,
while automatic differentiation would write each of them to memory (measured in `adam_bundle_adjust`). All sums run in a
fixed order: the same input gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..workspace.poses import rotation_exp, similarity
from ..workspace.shapes import Float, Int
from .bundle_adjustment import HUBER, Bundle, Prior
from .shapes import PerPoint, Pixels, Points, Poses, Principal, Weights

PIECE = 1 << 15
"""Observations of one piece: its two dozen temporary arrays stay in the cache of a core."""

POINTS_PART = 0.15
"""Part of the iterations for Eq. 7: uncoupled points converge within some dozen steps."""

FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.95
"""Adam's decays. The second is shorter than the usual 0.999: the gradients are exact and fall by orders of magnitude, and
a longer memory would make the steps too small."""

LAST_RATE = 5e-3
"""Learning rate of the last step over that of the first, with exponential decay between. Adam's steps do not shrink by
themselves: this is the precision of the result."""

GAUGE_EVERY = 50
"""Steps between two of `_fix_gauge`. A similarity of head and poses against one another leaves the projections unchanged,
and the prior holds it too weakly for Adam: without this step costs ended 0.1 to 10 % above Levenberg-Marquardt's, with it
below 0.1 %."""


def adam_bundle_adjust(
    points_px: Pixels,
    weights: Weights,
    points: Points,
    poses: Poses,
    focal: float,
    principal: Principal,
    prior: Prior,
    iterations: int = 400,
    rate_px: float = 2.0,
    on_step: Callable[[float], None] | None = None,
) -> Bundle:
    """Points alone with the poses held (Eq. 7), then points and poses together (Eq. 8), by Adam over all frames.

    Adam's step is about its learning rate for any size of the gradient. So each kind of unknown has its own rate, such
    that a step of any moves the projection by about `rate_px`:

    - a point, and a head across the image: `rate_px` · depth / focal metres;
    - a head's rotation: that over the head's radius, radians, about the mean of the points; about the head frame's
      origin in the neck rotation and translation would be indistinguishable;
    - a head's depth: that times depth over radius, metres, for an approaching head grows only by the ratio of the two.

    With one core and 1,779 frames of 1,000 points, a quarter seen, a step takes 27 ms, 10 s in total; torch 2.13's
    automatic differentiation took 69 ms (float32: 50) for its gradients alone.

    Args:
        points_px, weights, points, poses, focal, principal, prior: as in `bundle_adjustment`, with every frame of the
            clip; `points_px` may be float32, weights are mostly 0.
        iterations: steps of both stages together.
        rate_px: reach of the first steps in pixels; poses that are wrong by more than about a tenth of `rate_px` times
            `iterations` are not reached.
        on_step: called with the part done, 0 to 1, after each step; may raise to stop.

    Returns:
        points, poses and cost; the focal length is held. Frames without observations keep their pose, points without
        take their prior's mean. The arguments are not modified.
    """
    seen = _Observed.of(points_px, weights, principal)
    frames = np.unique(seen.frame)
    middle = points[np.unique(seen.point)].mean(0) if len(seen.frame) else points.mean(0)
    rotation = poses[:, :3, :3].astype(np.float64)
    place = poses[:, :3, 3] + rotation @ middle
    # From here the head frame's origin is the mean of the points.
    local, mean = points - middle, prior.mean - middle
    unseen = (np.bincount(seen.point, minlength=len(points)) == 0) & (prior.weight > 0)
    local[unseen] = mean[unseen]
    holds = np.where(unseen, 0.0, prior.weight) ** 2

    if len(frames):
        depth = float(np.median(place[frames, 2]))
        radius = float(np.sqrt((local[np.unique(seen.point)] ** 2).sum(1).mean()))
        across = rate_px * depth / focal
        rates = across * np.array([1 / radius] * 3 + [1.0, 1.0, depth / radius])
        for_points = Adam(local.shape, across)
        for_poses = Adam((len(poses), 6), rates)
        alone = round(POINTS_PART * iterations)
        for step in range(iterations):
            _, by_pose, by_point = _differentiate(seen, rotation, place, local, focal)
            by_point += holds[:, None] * (local - mean)
            together = step >= alone
            # Each stage has its own decay of the learning rate; the first may end coarser, for it gives a start.
            done = (step - alone) / (iterations - alone) if together else 0.5 * step / alone
            decay = LAST_RATE**done
            local = local + for_points.step(by_point, decay)
            if together:
                move = for_poses.step(by_pose, decay)
                rotation = rotation_exp(move[:, :3]) @ rotation
                place = place + move[:, 3:]
                if (iterations - 1 - step) % GAUGE_EVERY == 0:
                    rotation, place, local = _fix_gauge(rotation, place, local, mean, holds)
                    local[unseen] = mean[unseen]
            if on_step is not None:
                on_step((step + 1) / iterations)

    cost = _differentiate(seen, rotation, place, local, focal)[0]
    cost += 0.5 * float(((prior.weight[:, None] * (local - mean)) ** 2).sum())
    adjusted = poses.astype(np.float64)
    adjusted[frames, :3, :3] = rotation[frames]
    adjusted[frames, :3, 3] = place[frames] - rotation[frames] @ middle
    return Bundle(local + middle, adjusted, float(focal), 0.0, cost)


def _fix_gauge(
    rotation: Float[np.ndarray, "n 3 3"],
    place: Float[np.ndarray, "n 3"],
    points: Points,
    mean: Points,
    weight: PerPoint,
) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"], Points]:
    """The same projections from points as close to their prior as possible: the similarity of least squares (Umeyama
    1991), compensated by the poses."""
    if not weight.any():
        return rotation, place, points
    scale, turn, shift = similarity(points, mean, weight)
    if not (np.isfinite(scale) and scale > 0):
        return rotation, place, points
    rotation = rotation @ turn.T
    return rotation, scale * place - rotation @ shift, scale * points @ turn.T + shift


class Adam:
    """Adam's moments of one array of unknowns. `rate`: learning rate, broadcast against their `shape`."""

    def __init__(self, shape: tuple[int, ...], rate: float | np.ndarray) -> None:
        self._rate = rate
        self._first, self._second = np.zeros(shape), np.zeros(shape)
        self._steps = 0

    def step(self, gradient: np.ndarray, decay: float) -> np.ndarray:
        """Change of the unknowns, with the learning rate times `decay`; 0 where there never was a gradient."""
        self._steps += 1
        self._first += (1 - FIRST_MOMENT) * (gradient - self._first)
        self._second += (1 - SECOND_MOMENT) * (gradient**2 - self._second)
        first = self._first / (1 - FIRST_MOMENT**self._steps)
        second = self._second / (1 - SECOND_MOMENT**self._steps)
        return -decay * self._rate * first / (np.sqrt(second) + 1e-12)


@dataclass(frozen=True)
class _Observed:
    """M observations in the order of frames; `x` and `y` in pixels from the principal point."""

    frame: Int[np.ndarray, " m"]
    point: Int[np.ndarray, " m"]
    x: Float[np.ndarray, " m"]
    y: Float[np.ndarray, " m"]
    weight: Float[np.ndarray, " m"]

    @classmethod
    def of(cls, points_px: np.ndarray, weights: np.ndarray, principal: np.ndarray) -> _Observed:
        frame, point = np.nonzero(weights > 0)
        x, y = points_px[frame, point].astype(np.float64).T - np.asarray(principal, np.float64)[:, None]
        return cls(frame, point, np.ascontiguousarray(x), np.ascontiguousarray(y), weights[frame, point].astype(float))


def _differentiate(
    seen: _Observed, rotation: Float[np.ndarray, "n 3 3"], place: Float[np.ndarray, "n 3"], points: Points, focal: float
) -> tuple[float, Float[np.ndarray, "n 6"], Points]:
    """Huber's loss of all observations and its gradients by pose (rotation and translation in the camera's axes) and by
    point."""
    turns = np.ascontiguousarray(rotation.reshape(-1, 9).T)
    shifts, columns = np.ascontiguousarray(place.T), np.ascontiguousarray(points.T)
    by_pose, by_point = np.zeros((6, len(rotation))), np.zeros((3, len(points)))
    cost = 0.0
    for begin in range(0, len(seen.frame), PIECE):
        part = slice(begin, begin + PIECE)
        frame, point, weight = seen.frame[part], seen.point[part], seen.weight[part]
        first = frame[0]
        here = slice(first, frame[-1] + 1)
        frame = frame - first
        turn = [row[here][frame] for row in turns]
        x, y, z = (row[point] for row in columns)
        turned = [turn[3 * row] * x + turn[3 * row + 1] * y + turn[3 * row + 2] * z for row in range(3)]
        u, v, w = (own + row[here][frame] for own, row in zip(turned, shifts, strict=True))
        scale = focal / w
        u, v = u * scale, v * scale
        error_x, error_y = u - seen.x[part], v - seen.y[part]
        distance = weight * np.sqrt(error_x**2 + error_y**2)
        near = np.minimum(distance, HUBER)
        cost += float((near * (distance - 0.5 * near)).sum())
        pull = scale * weight**2 * near / np.maximum(distance, 1e-12)
        gx, gy = pull * error_x, pull * error_y
        gz = -(gx * u + gy * v) / focal
        # g · (w x q) = w · (q x g)
        qx, qy, qz = turned
        count = here.stop - first
        for axis, moment in enumerate((qy * gz - qz * gy, qz * gx - qx * gz, qx * gy - qy * gx, gx, gy, gz)):
            by_pose[axis, here] += np.bincount(frame, moment, count)
        for axis in range(3):
            moment = turn[axis] * gx + turn[3 + axis] * gy + turn[6 + axis] * gz
            by_point[axis] += np.bincount(point, moment, len(points))
    return cost, by_pose.T, by_point.T
