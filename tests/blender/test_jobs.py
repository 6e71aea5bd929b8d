"""Jobs run beside the interface and to their end alike, and nothing that happens meanwhile harms Blender."""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest

FAKE = Path(__file__).with_name("fake_backend.py")
STAGES = ("media", "landmarks", "head_sync", "face_sync", "portrait_sync")


@pytest.fixture
def parts(kit, monkeypatch):
    """The add-on's modules, with a fake backend behind `shared_backend`; a request's `fault` param sets its faults."""
    names = ("facts", "job", "jobs", "steps")
    found = SimpleNamespace(client=kit.part("client.shared"), **{name: kit.part(name) for name in names})
    found.backend, found.track, found.train = (kit.part(f"work.{name}") for name in ("backend", "track", "train"))
    monkeypatch.setattr(found.client, "backend_command", lambda: ([sys.executable, str(FAKE)], None, None))
    monkeypatch.setattr(found.facts, "backend_state", lambda: "ready")
    yield found
    found.jobs.runtime.job = None
    found.jobs.forget_messages()
    found.client.close_shared_backend(0.0)


def write_subject(root, **changes):
    subject = {"format": 1, "frames": 10, "stages": {name: {"state": "done", "key": "x"} for name in STAGES}}
    subject["consent"] = {"given": True, "by": "Ada", "when": "now"}
    root.mkdir(exist_ok=True)
    (root / "subject.json").write_text(json.dumps(subject | changes))


@pytest.fixture
def scene(parts, tmp_path):
    """A scene whose workspace is tracked, so that training may begin."""
    write_subject(tmp_path / "anna.synctalk")
    settings = bpy.context.scene.synctalk
    settings.workspace = str(tmp_path / "anna.synctalk")
    settings.use_time_limit, settings.minutes = True, 0.2
    return bpy.context.scene


def pump_until_finished(parts, timeout_s=10.0):
    """What the window's timer does; it does not fire here."""
    end = time.monotonic() + timeout_s
    while parts.jobs.runtime.job is not None:
        assert time.monotonic() < end
        parts.jobs._tick()
        time.sleep(0.01)


def test_an_operator_in_background_mode_runs_to_its_end_and_prints_its_progress(parts, scene, capfd):
    assert bpy.ops.synctalk.train() == {"FINISHED"}
    assert parts.jobs.runtime.job is None
    assert "20 steps trained" in parts.jobs.runtime.notes[parts.steps.Step.TRAIN]
    printed = capfd.readouterr().out
    assert re.search(r"SyncTalk +\d\d% Training: Training", printed)


def test_a_job_beside_the_interface_ends_the_same_way(parts, scene):
    parts.jobs.start(parts.train.train_job(scene))
    assert parts.jobs.runtime.job is not None
    pump_until_finished(parts)
    assert "20 steps trained" in parts.jobs.runtime.notes[parts.steps.Step.TRAIN]
    assert parts.jobs.runtime.warnings[parts.steps.Step.TRAIN] == ["half way"]


def test_every_job_beside_the_interface_is_one_step_of_the_undo_history(parts, scene, monkeypatch):
    steps = []
    monkeypatch.setattr(parts.jobs, "push_undo", steps.append)

    def work():
        return "done at once, as a composite over the footage that is there already"
        yield

    parts.jobs.start(parts.jobs.Job(parts.steps.Step.COMPOSITE, "Building", work()))
    pump_until_finished(parts)
    parts.jobs._tick()
    assert steps == ["SyncTalk: Building"]
    parts.jobs.start(parts.train.train_job(scene))
    pump_until_finished(parts)
    assert steps == ["SyncTalk: Building", "SyncTalk: Training"]


def test_progress_has_a_fraction_and_words(parts, scene):
    job = parts.train.train_job(scene)
    parts.jobs.start(job)
    seen = set()
    while not job.finished:
        parts.jobs._tick()
        if job.fraction is not None:
            seen.add(round(job.fraction, 2))
        time.sleep(0.005)
    assert 0.0 <= min(seen) < 0.5 < max(seen) <= 1.0


def test_a_second_job_is_refused_with_the_first_ones_name(parts, scene):
    parts.jobs.start(parts.train.train_job(scene))
    with pytest.raises(RuntimeError, match="Training is running"):
        bpy.ops.synctalk.train()
    bpy.ops.synctalk.cancel()
    pump_until_finished(parts)
    assert "Cancelled" in parts.jobs.runtime.notes[parts.steps.Step.TRAIN]


def test_undo_and_another_file_do_not_disturb_a_job(parts, scene):
    scene.synctalk.minutes = 0.5
    parts.jobs.start(parts.train.train_job(scene))
    bpy.ops.ed.undo_push(message="test")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert parts.jobs.runtime.job is not None
    pump_until_finished(parts)
    assert "50 steps trained" in parts.jobs.runtime.notes[parts.steps.Step.TRAIN]


def test_messages_of_the_last_file_are_gone_in_the_next(parts, scene):
    bpy.ops.synctalk.train()
    assert parts.jobs.runtime.notes
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert not parts.jobs.runtime.notes


def test_the_state_of_the_steps_is_read_from_the_workspace_of_a_loaded_file(parts, scene, tmp_path):
    path = tmp_path / "anna.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert not parts.facts.facts(bpy.context.scene).state.tracked
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert parts.facts.facts(bpy.context.scene).state.tracked


@pytest.mark.parametrize(
    ("fault", "word"), [("exit", "GPU fell off"), ("text", "invalid reply"), ("defect", "division")]
)
def test_a_failing_backend_is_a_sentence_in_the_panel_and_the_next_press_works(parts, scene, fault, word, capfd):
    def work():
        yield parts.job.Request("train", {"fault": fault})
        return ""

    job = parts.jobs.Job(parts.steps.Step.TRAIN, "Training", work())
    parts.jobs.start(job)
    pump_until_finished(parts)
    assert word in parts.jobs.runtime.errors[parts.steps.Step.TRAIN]
    assert f"Error: {parts.jobs.runtime.errors[parts.steps.Step.TRAIN]}" in capfd.readouterr().err, (
        "in the terminal too"
    )
    assert bpy.ops.synctalk.train() == {"FINISHED"}
    assert parts.steps.Step.TRAIN not in parts.jobs.runtime.errors


def test_a_defect_of_the_add_on_within_a_job_is_reported_too(parts):
    def work():
        yield parts.job.Request("hello", {})
        raise ZeroDivisionError("one over nothing")

    parts.jobs.start(parts.jobs.Job(parts.steps.Step.TRACK, "Tracking", work()))
    pump_until_finished(parts)
    assert "one over nothing" in parts.jobs.runtime.errors[parts.steps.Step.TRACK]


def test_an_operator_without_consent_is_refused_with_the_reason(parts, scene, tmp_path):
    write_subject(tmp_path / "anna.synctalk", consent={})
    with pytest.raises(RuntimeError, match="permission of the person"):
        bpy.ops.synctalk.train()


def test_installing_offline_says_what_to_allow(parts):
    if bpy.app.online_access:
        pytest.skip("this Blender may go online")
    with pytest.raises(RuntimeError, match="online"):
        bpy.ops.synctalk.install_backend()
    with pytest.raises(parts.client.BackendError, match="Allow Online Access|offline-mode"):
        parts.backend.require_online("Installing the backend")


def test_a_video_gives_the_workspace_beside_it(parts, tmp_path):
    settings = bpy.context.scene.synctalk
    settings.video = str(tmp_path / "anna.mp4")
    assert settings.workspace == str(tmp_path / "anna.synctalk")


def test_every_panel_draws_in_every_state(parts, scene):
    drawn = list(importlib.import_module(f"{parts.jobs.__package__.rpartition('.')[0]}.panels").CLASSES)
    parts.jobs.runtime.errors[parts.steps.Step.TRACK] = "Something long went wrong in a folder: try again."
    bpy.context.scene.synctalk.capture.file = "take.bvh"

    class Layout:
        """Takes any drawing call, and answers with itself."""

        def __getattr__(self, name):
            return lambda *args, **options: self

        def __setattr__(self, name, value):
            pass

    for cls in drawn:
        panel = type("Drawn", (), {name: getattr(cls, name) for name in dir(cls) if not name.startswith("__")})()
        panel.layout = Layout()
        for method in ("draw_header", "draw_header_preset", "draw"):
            if hasattr(panel, method):
                getattr(panel, method)(bpy.context)


def progress(stage, fraction, eta_s, done=1, total=4, message=""):
    return {
        "stage": stage, "done": done, "total": total, "unit": "frames", "message": message,
        "eta_s": eta_s, "elapsed_s": 1.0, "fraction": fraction,
    }  # fmt: skip


class Waits:
    """What a job waits for, with progress set by hand."""

    def __init__(self):
        self.progress = None

    def poll(self):
        return False

    def cancel(self):
        pass


@pytest.fixture
def waiting(parts):
    waits = Waits()

    def work():
        yield waits
        return ""

    job = parts.jobs.Job(parts.steps.Step.TRACK, "Tracking", work(), parts.track.STAGES)
    job.begin()

    def show(**given):
        waits.progress = progress(**given)
        job.advance()
        return job

    return show


def test_a_stage_of_another_name_neither_stops_the_bar_nor_hides_the_time_left(waiting):
    assert waiting(stage="media", fraction=0.1, eta_s=60).text == "Reading the video"
    job = waiting(stage="a_stage_of_tomorrow", fraction=0.4, eta_s=30)
    assert (job.text, job.fraction) == ("A stage of tomorrow", 0.4)
    assert job.eta_s == pytest.approx(30, abs=1)


def test_the_bar_never_goes_back_and_stays_where_the_backend_knows_nothing(waiting):
    waiting(stage="media", fraction=0.5, eta_s=10)
    assert waiting(stage="landmarks", fraction=0.3, eta_s=20).fraction == 0.5
    job = waiting(stage="landmarks", fraction=None, eta_s=None)
    assert (job.fraction, job.eta_s) == (0.5, None)


def test_the_time_left_counts_down_between_messages_and_is_not_shown_once_it_is_over(waiting):
    job = waiting(stage="media", fraction=0.5, eta_s=0.5)
    assert job.eta_s is None or job.eta_s <= 0.5
    until = time.monotonic() + 30
    while job.eta_s is not None:
        job.advance()  # the same message again must not wind the clock back
        assert time.monotonic() < until


def test_the_train_panel_measures_a_head_that_was_not_measured(parts, scene, tmp_path):
    write_head(tmp_path / "anna.synctalk", None)
    assert parts.steps.statuses(parts.facts.facts(scene))[parts.steps.Step.TRAIN].word == "Not measured"
    assert bpy.ops.synctalk.measure() == {"FINISHED"}
    assert "measured" in parts.jobs.runtime.notes[parts.steps.Step.TRAIN]


def write_head(root, readiness, step=600):
    folder = root / "checkpoints"
    folder.mkdir(exist_ok=True)
    (folder / f"step_{step:07d}.safetensors").touch()
    (folder / "config.json").write_text(json.dumps({"preset": "preview", "psnr": 28.4, "elapsed_s": 120.0}))
    if readiness is not None:
        (folder / "readiness.json").write_text(json.dumps(readiness))
