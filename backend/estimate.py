"""How long a job still takes: from what its stages took on this computer before, and from their pace now.

A job announces its stages with their sizes (`plan`). The rest of the present stage follows from its recent pace, the
later ones from their earlier runs, as much slower or faster as this job has been so far. Standard library alone.
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
from typing import Any

KEPT_RUNS = 5
"""Runs of a stage that are remembered: their median is not moved by one in which the computer was busy."""
RECENT_S = 15.0
"""The pace of the present stage is that of about so many seconds."""
PRIOR_S = 3.0
"""So many seconds of work as earlier runs had it count as seen before a job begins."""
KNOWN_SHARE, KNOWN_S = 0.08, 5.0
"""Where a stage has no earlier run here, no time is given before this share of the job and these seconds are done."""
DOUBT = 0.25
"""Share of a stage's expected time that stands against its own pace, where it never ran at such a length."""
MAX_CHANGE = 2.0
"""How much slower or faster than the job so far the present stage may seem."""
POINTS = 10
"""Parts of a stage's progress whose times are remembered: progress within a stage is seldom even."""
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
    "media": Typical(0.7, 0.004),
    "landmarks": Typical(0.2, 0.010),
    "head_sync": Typical(2.1, 0.024),
    "face_sync": Typical(21.0, 0.002),
    "portrait_sync": Typical(2.0, 0.043),
    "footage": Typical(0.5, 0.02),
    "loading frames": Typical(0.3, 0.008),
    "building the visual hull": Typical(3.5, 0.0),
    "choosing the focal length": Typical(1.0, 0.04),
    "saving the head": Typical(4.0, 0.0),
    "measuring mouth and eyes": Typical(3.5, 0.09),
}


class History:
    """What stages took in earlier runs on this computer; one small file of the user's.

    Args:
        path: of the file; None remembers nothing beyond this object.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._runs: dict[str, list[dict]] = {}
        if path is not None:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                for name, runs in json.loads(path.read_text(encoding="utf-8"))["stages"].items():
                    self._runs[str(name)] = [run for run in map(_checked, runs) if run is not None][-KEPT_RUNS:]

    def knows(self, name: str) -> bool:
        """Whether the stage has run to its end on this computer."""
        return bool(self._runs.get(name))

    def seconds(self, name: str, units: float) -> float:
        """What a stage of this size takes."""
        typical = TYPICAL.get(name, Typical())
        ratios = [run["seconds"] / typical.seconds(run["units"]) for run in self._runs.get(name, [])]
        return typical.seconds(units) * (statistics.median(ratios) if ratios else 1.0)

    def course(self, name: str, units: float) -> list[float]:
        """Shares of the stage's time at 0, 1/POINTS … 1 of its progress: as in the earlier run most like it in length;
        the less like it, the more even."""
        even = [point / POINTS for point in range(POINTS + 1)]
        runs = self._runs.get(name)
        if not runs:
            return even
        known = min(runs, key=lambda run: abs(math.log(run["units"] / max(units, 1e-9))))["course"]
        unlike = self.unlikeness(name, units) / 2
        return [unlike * one + (1 - unlike) * other for one, other in zip(even, known, strict=True)]

    def unlikeness(self, name: str, units: float) -> float:
        """0 where a run of this length is known, 1 where none is, or only of a quarter or four times the length."""
        apart = [abs(math.log(run["units"] / max(units, 1e-9))) / math.log(4) for run in self._runs.get(name, [])]
        return min([1.0, *apart])

    def add(self, name: str, units: float, seconds: float, course: list[float]) -> None:
        """Remember a run; where the file cannot be written, for this process alone."""
        if units <= 0:
            return
        run = {"units": units, "seconds": round(seconds, 3), "course": [round(value, 4) for value in course]}
        self._runs[name] = [*self._runs.get(name, []), run][-KEPT_RUNS:]
        if self._path is not None:
            from .errors import SyncTalkError
            from .workspace.files import write_json

            with contextlib.suppress(OSError, SyncTalkError):
                write_json(self._path, {"stages": self._runs})


def _checked(run: dict) -> dict | None:
    course = [float(value) for value in run["course"]]
    good = len(course) == POINTS + 1 and course[0] == 0 and course[-1] == 1 and course == sorted(course)
    good = good and 0 < float(run["units"]) < math.inf and 0 < float(run["seconds"]) < math.inf
    return {"units": float(run["units"]), "seconds": float(run["seconds"]), "course": course} if good else None


def user_history() -> History:
    """The history in the user's folder, or in the file that SYNCTALK_HISTORY names."""
    named = os.environ.get(HISTORY_VARIABLE)
    if named is not None:
        return History(Path(named) if named else None)
    from .models import user_folder

    return History(user_folder().parent / "durations.json")


@dataclass
class _Stage:
    """The planned stage that runs."""

    name: str
    begun: float
    whole: bool
    """Whether it began at 0: only then it is remembered."""
    position: float = 0.0
    """Share of its time that is done, by its course."""
    marks: list[float] = field(default_factory=list)
    """Seconds at which each part of its progress was reached."""


class Estimator:
    """Follows one job. Feed it every progress call; it says which part of the whole is done and how long it takes."""

    def __init__(self, history: History | None = None) -> None:
        self._history = history or History()
        self._units: dict[str, Any] = {}
        self._clock = ""
        self._planned = False
        self._stage: _Stage | None = None
        self._begun: float | None = None
        self._last = 0.0
        self._job = [0.0, 0.0]
        """Seconds of this job, and what they should have been."""
        self._recent = [0.0, 0.0]
        self._clock_left: tuple[float, float] | None = None
        self._fraction = 0.0

    def plan(self, units: Mapping[str, float | None], clock: str = "") -> None:
        """Announce the stages to come, in order, with their sizes; a plan replaces the one before.

        Args:
            units: of each stage, such as its frames; None for as many as the first stage to come will have.
            clock: the stage that lasts as many seconds as it has units, whatever the computer does.
        """
        self._units, self._clock, self._planned = dict(units), clock, True

    def update(self, now: float, stage: str, done: float, total: float) -> tuple[float | None, float | None]:
        """Take a progress call.

        Returns:
            The part of the job that is done, in [0, 1], never less than before, and the seconds left; each None until
            it can be told.
        """
        if self._begun is None:
            self._begun = self._last = now
        if not self._planned and (self._stage is None or self._stage.name != stage):
            self._units, self._stage, self._recent = {stage: total}, None, [0.0, 0.0]
        part = min(1.0, max(0.0, done / total)) if total else 0.0
        if stage in self._units:
            self._units = {name: total if units is None else units for name, units in self._units.items()}
            self._advance(now, stage, part)
            if stage == self._clock:
                self._clock_left = now, total * (1 - part)
        self._last = now
        if self._stage is None:
            return None, None
        left = self._left(now)
        if self._planned:
            elapsed = now - self._begun
            self._fraction = max(self._fraction, min(elapsed / max(elapsed + left, 1e-9), 1.0))
            return self._fraction, left if self._is_known(now, stage) else None
        return part, left if self._is_known(now, stage) else None

    def _advance(self, now: float, name: str, part: float) -> None:
        names = list(self._units)
        if self._stage is None or self._stage.name != name:
            if self._stage is not None and self._stage.name in names:
                if names.index(name) < names.index(self._stage.name):
                    return  # done again: a detour
                self._remember(now)
                if self._stage.name != self._clock:
                    self._job[0] += now - self._last
            self._last = now
            self._stage = _Stage(name, now, whole=part == 0.0)
            self._stage.position = self._at(name, part)
            self._recent = [0.0, 0.0]
        stage = self._stage
        while len(stage.marks) < int(part * POINTS + 1e-9):
            stage.marks.append(now - stage.begun)
        position = max(stage.position, self._at(name, part))
        if name != self._clock:
            work = self._history.seconds(name, self._units[name]) * (position - stage.position)
            faded = math.exp(-(now - self._last) / RECENT_S)
            for sums, kept in ((self._job, 1.0), (self._recent, faded)):
                sums[0] = sums[0] * kept + (now - self._last)
                sums[1] = sums[1] * kept + work
        stage.position = position
        if part == 1.0 and name == names[-1]:
            self._remember(now)

    def _at(self, name: str, part: float) -> float:
        """Share of a stage's time at a part of its progress."""
        course = self._history.course(name, self._units[name])
        below = min(int(part * POINTS), POINTS - 1)
        return course[below] + (course[below + 1] - course[below]) * (part * POINTS - below)

    def _left(self, now: float) -> float:
        assert self._stage is not None
        names = list(self._units)
        later = names[names.index(self._stage.name) + 1 :]
        pace = self._pace(self._job)
        left = sum(
            self._units[name] if name == self._clock else pace * self._history.seconds(name, self._units[name])
            for name in later
        )
        if self._stage.name == self._clock:
            assert self._clock_left is not None
            return left + max(0.0, self._clock_left[1] - (now - self._clock_left[0]))
        name, rest = self._stage.name, 1 - self._stage.position
        whole = self._history.seconds(name, self._units[name])
        # Progress may be uneven in a way that is not known of this length: the stage's own pace counts little at first.
        doubt = DOUBT * whole * self._history.unlikeness(name, self._units[name]) * rest**2
        own = min(max(self._pace(self._recent, pace, doubt), pace / MAX_CHANGE), pace * MAX_CHANGE)
        return left + own * whole * rest

    def _pace(self, sums: list[float], prior: float = 1.0, doubt: float = 0.0) -> float:
        """Seconds for what should take one."""
        weight = PRIOR_S + doubt if self._planned else 1e-6
        return (sums[0] + weight * prior) / (sums[1] + weight)

    def _is_known(self, now: float, stage: str) -> bool:
        assert self._stage is not None and self._begun is not None
        if stage not in self._units:
            return self._stage.name == self._clock  # a detour: how long it takes is not known, but the clock is
        if not self._planned:
            return now - self._stage.begun > 3.0 and self._recent[1] > 0
        others = [name for name in self._units if name != self._clock]
        if all(self._history.knows(name) for name in others) or self._stage.name == self._clock:
            return True
        whole = sum(self._history.seconds(name, self._units[name]) for name in others)
        return now - self._begun > KNOWN_S and self._job[1] > KNOWN_SHARE * whole

    def _remember(self, now: float) -> None:
        stage = self._stage
        assert stage is not None
        seconds = now - stage.begun
        if not stage.whole or stage.name == self._clock or not self._planned or seconds <= 0:
            return
        marks = [*stage.marks, *[seconds] * (POINTS - len(stage.marks))]
        marks[-1] = seconds
        self._history.add(stage.name, self._units[stage.name], seconds, [0.0, *[mark / seconds for mark in marks]])
        stage.whole = False
