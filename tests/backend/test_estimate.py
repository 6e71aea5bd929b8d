"""Times left are honest: from a job's own pace and what its stages took before, and none where too little is known."""

from __future__ import annotations

import json

import pytest

from backend.estimate import POINTS, Estimator, History, Typical
from backend.progress import Progress, Reporter

STAGES = {"read": 2.0, "follow": 20.0, "fit": 30.0, "cut": 12.0}
"""Seconds of a made-up job for 100 frames; `fit` does not grow with them, and spends half on its first fifth."""


def seconds_of(name: str, frames: int, slowness: float) -> float:
    return STAGES[name] * slowness * (1 if name == "fit" else frames / 100)


def run(estimator: Estimator, frames: int, slowness: float = 1.0, until: float = 1.0):
    """Do the job by a clock of its own; yields (seconds left, seconds estimated, fraction) at each call."""
    estimator.plan(dict.fromkeys(STAGES, frames))
    total = sum(seconds_of(name, frames, slowness) for name in STAGES)
    now = 0.0
    for name in STAGES:
        length = seconds_of(name, frames, slowness)
        for step in range(51):
            part = step / 50
            share = 0.4 * min(part / 0.2, 1) + 0.6 * part if name == "fit" else part
            at = now + length * share
            if at > until * total:
                return
            fraction, eta = estimator.update(at, name, part * frames, frames)
            yield total - at, eta, fraction
        now += length


@pytest.fixture
def typical(monkeypatch):
    """What is known of these stages on any computer: roughly right sizes."""
    known = {"read": Typical(0, 0.03), "follow": Typical(0, 0.15), "fit": Typical(20, 0), "cut": Typical(0, 0.15)}
    monkeypatch.setattr("backend.estimate.TYPICAL", known)


def after_a_fifth(updates):
    """(left, estimate) where there is an estimate after a fifth of the job, and some seconds are left."""
    first = next(iter(updates))[0]
    return [(left, eta) for left, eta, _ in updates if left < 0.8 * first and left > 3 and eta is not None]


@pytest.mark.parametrize(("frames", "slowness"), [(100, 1.0), (600, 1.0), (100, 2.0), (60, 1.0)])
def test_after_an_earlier_run_the_time_left_is_right_for_another_length_and_a_busier_computer(
    typical, tmp_path, frames, slowness
):
    history = History(tmp_path / "durations.json")
    list(run(Estimator(history), 100))
    updates = list(run(Estimator(History(tmp_path / "durations.json")), frames, slowness))
    judged = after_a_fifth(updates)
    assert len(judged) > 30
    for left, eta in judged:
        assert 0.7 * left < eta < 1.3 * left


def test_the_first_run_on_a_computer_shows_no_time_at_first_and_no_wild_one_later(typical):
    # Three times as slow, and the longest stage slows down: nothing of it can be known.
    updates = list(run(Estimator(), 100, slowness=3.0))
    assert updates[0][1] is None
    for left, eta in after_a_fifth(updates):
        assert 0.3 * left < eta < 3.5 * left


def test_the_bar_never_goes_back(typical):
    fractions = [fraction for _, _, fraction in run(Estimator(), 100, slowness=3.0)]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0
    assert fractions[-1] == pytest.approx(1.0, abs=0.01)


def test_a_stage_with_a_clock_counts_down_to_its_limit_and_adds_what_follows():
    history = History()
    history.add("measure", 30, 6.0, [point / POINTS for point in range(POINTS + 1)])
    estimator = Estimator(history)
    estimator.plan({"train": 120.0, "measure": 30}, clock="train")
    assert estimator.update(0.0, "train", 0.0, 120.0)[1] == pytest.approx(126, abs=1)
    assert estimator.update(60.0, "train", 60.0, 120.0)[1] == pytest.approx(66, abs=1)
    # A refinement within the training's time: its pace is not that of the job.
    assert estimator.update(70.0, "refine", 1, 300)[1] == pytest.approx(56, abs=1)
    assert estimator.update(80.0, "train", 100.0, 120.0)[1] == pytest.approx(26, abs=1)
    assert estimator.update(101.0, "measure", 15, 30)[1] == pytest.approx(3, abs=1.5)


def test_a_job_without_a_plan_goes_by_its_recent_pace():
    estimator = Estimator()
    for frame in range(100):  # ten frames a second, later five
        estimator.update(frame * 0.1, "rendering", frame, 500)
    for frame in range(100, 400):
        _, eta = estimator.update(10 + (frame - 100) * 0.2, "rendering", frame, 500)
    assert eta == pytest.approx(101 * 0.2, rel=0.15)


def test_before_a_few_seconds_there_is_no_estimate():
    estimator = Estimator()
    updates = [estimator.update(0.1 * call, "rendering", call, 500)[1] for call in range(20)]
    assert updates == [None] * 20


def test_a_resumed_stage_is_not_remembered_as_if_it_were_complete(typical):
    history = History()
    estimator = Estimator(history)
    estimator.plan(dict.fromkeys(STAGES, 100))
    for done in range(90, 101):
        estimator.update(0.2 * done, "follow", done, 100)
    estimator.update(21.0, "fit", 0, 100)
    assert not history.knows("follow")


def test_a_plan_of_which_the_first_stages_are_done_already_is_right(typical):
    history = History()
    list(run(Estimator(history), 100))
    estimator = Estimator(history)
    estimator.plan(dict.fromkeys(STAGES, 100))
    assert estimator.update(0.0, "cut", 0, 100)[1] == pytest.approx(12, rel=0.1)


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"stages": {"read": [{}]}}', '{"stages": {"read": 3}}'])
def test_a_damaged_history_is_none(tmp_path, text):
    (tmp_path / "durations.json").write_text(text)
    assert not History(tmp_path / "durations.json").knows("read")


def test_the_history_is_written_whole_and_keeps_the_latest_runs(tmp_path):
    path = tmp_path / "new" / "durations.json"
    for seconds in range(1, 9):
        History(path).add("read", 100, float(seconds), [point / POINTS for point in range(POINTS + 1)])
    kept = json.loads(path.read_text())["stages"]["read"]
    assert [run["seconds"] for run in kept] == [4, 5, 6, 7, 8]
    assert [entry.name for entry in path.parent.iterdir()] == ["durations.json"]
    assert History(path).seconds("read", 200) == pytest.approx(12.0)


def test_a_place_that_cannot_be_written_does_no_harm(tmp_path):
    (tmp_path / "file").touch()
    history = History(tmp_path / "file" / "durations.json")
    history.add("read", 100, 2.0, [point / POINTS for point in range(POINTS + 1)])
    assert history.knows("read")


def test_a_reporter_sends_the_time_left_of_the_whole_job():
    events: list[Progress] = []
    history = History()
    for name in ("one", "two"):
        history.add(name, 10, 100.0, [point / POINTS for point in range(POINTS + 1)])
    reporter = Reporter(events.append, history=history, interval_s=0)
    reporter.plan({"one": 10, "two": 10})
    reporter.progress("one", 0, 10)
    assert events[-1].eta_s == pytest.approx(200, rel=0.05)
    reporter.progress("two", 5, 10)
    assert events[-1].eta_s == pytest.approx(50, rel=0.2)
    assert events[0].fraction <= events[-1].fraction <= 1
