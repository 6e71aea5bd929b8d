"""How long a job still takes: from what its stages took on this computer before, and from their pace now.

A job announces its stages with their sizes (`plan`). What is left of each is what it took in earlier runs, times how much
slower or faster this job runs at present. Standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from .protocol import Stage

KEPT_RUNS = 5
"""Runs of a stage that are kept: their median is not moved by one in which the computer was busy."""
RECENT_S = 15.0
"""Window of the current pace, seconds."""
PRIOR_S = 3.0
"""A job begins at the pace of earlier runs, which counts as much as these seconds."""
KNOWN_SHARE, KNOWN_S = 0.08, 5.0
"""Where a stage has no earlier run here, no time is given before this share of the job and these seconds are done."""
POINTS = 10
"""Parts of a stage's progress whose times are kept: progress within a stage is seldom even."""
HISTORY_VARIABLE = "SYNCTALK_HISTORY"
"""Names another file for the history; empty: none is kept."""


@dataclass(frozen=True)
class Typical:
    """A stage's time on two cores without a GPU, for a computer on which it has not run: fixed + per_unit · units."""

    fixed_s: float = 0.0
    per_unit_s: float = 1.0

    def seconds(self, units: float) -> float:
        return max(self.fixed_s + self.per_unit_s * units, 1e-3)


TYPICAL: dict[str, Typical] = {
    Stage.MEDIA: Typical(0.7, 0.004),
    Stage.LANDMARKS: Typical(0.2, 0.010),
    Stage.HEAD_SYNC: Typical(2.1, 0.024),
    Stage.FACE_SYNC: Typical(21.0, 0.002),
    Stage.PORTRAIT_SYNC: Typical(2.0, 0.043),
    Stage.FOOTAGE: Typical(0.5, 0.02),
    Stage.LOADING: Typical(0.3, 0.008),
    Stage.VISUAL_HULL: Typical(3.5, 0.0),
    Stage.FOCAL_LENGTH: Typical(1.0, 0.04),
    Stage.SAVING: Typical(4.0, 0.0),
    Stage.READINESS: Typical(3.5, 0.09),
}


class Run(TypedDict):
    """One run of a stage; `course`: shares of its time at 0, 1/POINTS … 1 of its progress."""

    units: float
    seconds: float
    course: list[float]


class History:
    """What stages took in earlier runs on this computer; one small file of the user's.

    Args:
        path: of the file; None keeps nothing beyond this object.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._runs: dict[str, list[Run]] = {}
        if path is not None:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                for name, runs in json.loads(path.read_text(encoding="utf-8"))["stages"].items():
                    self._runs[str(name)] = [run for run in runs if _is_run(run)][-KEPT_RUNS:]

    def knows(self, name: str) -> bool:
        """Whether the stage has run to its end on this computer."""
        return bool(self._runs.get(name))

    def seconds(self, name: str, units: float) -> float:
        """What a stage of this size takes."""
        typical = TYPICAL.get(name, Typical())
        ratios = [run["seconds"] / typical.seconds(run["units"]) for run in self._runs.get(name, [])]
        return typical.seconds(units) * (statistics.median(ratios) if ratios else 1.0)

    def share(self, name: str, units: float, part: float) -> float:
        """Share of the stage's time at a part of its progress: as in the earlier run nearest in length, the more evenly
        the more the lengths differ."""
        runs = self._runs.get(name)
        if not runs:
            return part
        apart, course = min((abs(math.log(run["units"] / max(units, 1e-9))), run["course"]) for run in runs)
        below = min(int(part * POINTS), POINTS - 1)
        known = course[below] + (course[below + 1] - course[below]) * (part * POINTS - below)
        evenness = min(1.0, apart / math.log(4)) / 2
        return evenness * part + (1 - evenness) * known

    def add(self, name: str, units: float, seconds: float, course: list[float]) -> None:
        """Keep a run; where the file cannot be written, for this process alone."""
        if units <= 0:
            return
        run: Run = {"units": units, "seconds": round(seconds, 3), "course": [round(value, 4) for value in course]}
        self._runs[name] = [*self._runs.get(name, []), run][-KEPT_RUNS:]
        if self._path is not None:
            from .errors import SyncTalkError
            from .workspace.files import write_json

            with contextlib.suppress(OSError, SyncTalkError):
                write_json(self._path, {"stages": self._runs})


def _is_run(run: Run) -> bool:
    course = run["course"]
    evenly_grown = len(course) == POINTS + 1 and course[0] == 0 and course[-1] == 1 and course == sorted(course)
    return evenly_grown and 0 < run["units"] < math.inf and 0 < run["seconds"] < math.inf


def user_history() -> History:
    """The history in the user's folder, or in the file that SYNCTALK_HISTORY names."""
    named = os.environ.get(HISTORY_VARIABLE)
    if named is None:
        from .models import user_folder

        return History(user_folder().parent / "durations.json")
    return History(Path(named) if named else None)


@dataclass
class _Running:
    """The stage that runs."""

    name: str
    begun: float
    share: float
    """Of its time that is over."""
    from_start: bool
    """Whether it began at 0: only then it is kept."""
    marks: list[float] = field(default_factory=list)
    """Seconds at which each part of its progress was reached."""


class Estimator:
    """Follows one job: feed it every progress call."""

    def __init__(self, history: History | None = None) -> None:
        self._history = history or History()
        self._units: dict[str, float | None] = {}
        self._clock = ""
        self._clock_ends = 0.0
        self._planned = False
        self._stage: _Running | None = None
        self._begun: float | None = None
        self._last = 0.0
        self._took = self._expected = 0.0
        """Seconds of the last while, and what they should have been."""
        self._expected_in_all = 0.0
        self._fraction = 0.0

    def plan(self, units: Mapping[str, float | None], clock: str = "") -> None:
        """Announce the stages to come, in order, with their sizes; a plan replaces the one before.

        Args:
            units: of each stage, such as its frames; None for as many as the first of them has.
            clock: the stage that lasts as many seconds as it has units, on any computer.
        """
        self._units, self._clock, self._planned = dict(units), clock, True

    def update(self, now: float, stage: str, done: float, total: float) -> tuple[float | None, float | None]:
        """Take a progress call.

        Returns:
            The part of the job that is done, in [0, 1], never less than before, and the seconds left; each None while it
            is not known.
        """
        if self._begun is None:
            self._begun = self._last = now
        if not self._planned and (self._stage is None or self._stage.name != stage):
            self._units, self._stage, self._took, self._expected = {stage: total}, None, 0.0, 0.0
        part = min(1.0, max(0.0, done / total)) if total else 0.0
        if stage in self._units:
            self._units = {name: total if units is None else units for name, units in self._units.items()}
            self._advance(now, stage, part)
            if stage == self._clock:
                self._clock_ends = now + total * (1 - part)
        self._last = now
        if self._stage is None:
            return None, None
        left = self._left(now)
        if self._planned:
            elapsed = now - self._begun
            part = self._fraction = max(self._fraction, min(elapsed / max(elapsed + left, 1e-9), 1.0))
        return part, left if self._is_known(now, stage) else None

    def _advance(self, now: float, name: str, part: float) -> None:
        names = list(self._units)
        stage = self._stage
        if stage is None or stage.name != name:
            if stage is not None and stage.name in names:
                if names.index(name) < names.index(stage.name):
                    return  # done again: a detour
                self._keep(now)
            self._last = now
            stage = self._stage = _Running(name, now, self._share(name, part), part == 0.0)
        while len(stage.marks) < int(part * POINTS + 1e-9):
            stage.marks.append(now - stage.begun)
        share = max(stage.share, self._share(name, part))
        if name != self._clock:
            work = self._seconds(name) * (share - stage.share)
            faded = math.exp(-(now - self._last) / RECENT_S)
            self._took, self._expected = self._took * faded + now - self._last, self._expected * faded + work
            self._expected_in_all += work
        stage.share = share
        if part == 1.0 and name == names[-1]:
            self._keep(now)

    def _left(self, now: float) -> float:
        assert self._stage is not None
        names = list(self._units)
        prior = PRIOR_S if self._planned else 1e-6
        pace = (self._took + prior) / (self._expected + prior)
        left = 0.0
        for name in names[names.index(self._stage.name) :]:
            rest = 1 - self._stage.share if name == self._stage.name else 1.0
            if name != self._clock:
                left += pace * self._seconds(name) * rest
            elif name == self._stage.name:
                left += max(0.0, self._clock_ends - now)
            else:
                left += self._units[name] or 0.0
        return left

    def _is_known(self, now: float, stage: str) -> bool:
        assert self._stage is not None and self._begun is not None
        if self._stage.name == self._clock:
            return True  # also in a detour: the clock runs on through it
        if stage not in self._units:
            return False
        if not self._planned:
            return now - self._stage.begun > 3.0 and self._expected > 0
        others = [name for name in self._units if name != self._clock]
        if all(self._history.knows(name) for name in others):
            return True
        return now - self._begun > KNOWN_S and self._expected_in_all > KNOWN_SHARE * sum(map(self._seconds, others))

    def _seconds(self, name: str) -> float:
        return self._history.seconds(name, self._units[name] or 0.0)

    def _share(self, name: str, part: float) -> float:
        return self._history.share(name, self._units[name] or 0.0, part)

    def _keep(self, now: float) -> None:
        """Keep the stage that ends now, if it ran from its start."""
        stage = self._stage
        assert stage is not None
        seconds = now - stage.begun
        if not stage.from_start or stage.name == self._clock or not self._planned or seconds <= 0:
            return
        marks = [*stage.marks, *[seconds] * (POINTS - len(stage.marks))][: POINTS - 1]
        course = [0.0, *[mark / seconds for mark in marks], 1.0]
        self._history.add(stage.name, self._units[stage.name] or 0.0, seconds, course)
        stage.from_start = False
