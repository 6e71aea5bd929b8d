"""When a training does what, as shares of its time or as steps: rates, sampling of rays, evaluations."""

from __future__ import annotations

import math
import time

from ..renderer.field.field import Field
from ..renderer.field.kernels import Grid

EVALUATION_SECONDS, EVALUATION_SHARE = 5.0, 0.05
"""Seconds between two evaluations; more where evaluating would take more than this share of the time."""
CHECKPOINT_SECONDS = 30.0
COARSE_STEPS = ((250, 2, 24),)
"""(until step, multiple of the step length, samples per ray): the hull is thick, so it is first sampled coarsely."""
ANNEAL = 0.85
"""Share of the time from which the learning rates fall to a hundredth."""


def rate_decay(share: float, final: float = 0.1) -> float:
    """The learning rates' factor after this share of the time: `final` at the end, and from `ANNEAL` another tenth."""
    decay: float = final**share
    return decay if share < ANNEAL else decay * ((1 - share) / (1 - ANNEAL) * 0.9 + 0.1)


def sampling_grid(field: Field, step: int, max_samples: int) -> Grid:
    """How rays are sampled at this step."""
    for until, multiple, samples in COARSE_STEPS:
        if step < until:
            return field.grid(multiple, min(samples, max_samples))
    return field.grid(max_samples=max_samples)


def twin_steps(steps: int) -> int:
    """Steps of the twin after so many of the field: each draws complete images."""
    return max(1, steps // 4)


class EvaluationTimer:
    """When the next evaluation is due, and how many steps a second were made since the last."""

    def __init__(self, step: int) -> None:
        self._step, self._ended = step, time.monotonic()
        self._cost_s, self._pause_s = math.inf, EVALUATION_SECONDS

    def is_due(self) -> bool:
        return time.monotonic() - self._ended > self._pause_s

    def steps_per_s(self, step: int) -> float:
        """Since the last evaluation."""
        return (step - self._step) / max(time.monotonic() - self._ended, 1e-3)

    def ended(self, step: int, cost_s: float) -> None:
        """Count from here after an evaluation that took `cost_s`."""
        self._step, self._ended = step, time.monotonic()
        self._cost_s = min(self._cost_s, cost_s)  # the first one also reads its frames
        self._pause_s = max(EVALUATION_SECONDS, self._cost_s / EVALUATION_SHARE)
