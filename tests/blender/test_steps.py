"""The panels lead one way: exactly one next step, and a sentence for every button that cannot be pressed."""

from __future__ import annotations

import dataclasses
import json

import pytest


@pytest.fixture(scope="module")
def steps(import_part):
    return import_part("synctalk_blender.steps")


@pytest.fixture(scope="module")
def states(import_part):
    return import_part("synctalk_blender.workspace_state")


@pytest.fixture(scope="module")
def journey(steps, states):
    """The facts after each step, from the empty scene to the composite, with the step that is then next."""
    step, tracked = steps.Step, dict.fromkeys(states.STAGES, "done")
    facts = steps.Facts()
    way = [(facts, step.BACKEND)]

    def go(next_step, **changes):
        nonlocal facts
        facts = dataclasses.replace(facts, **changes)
        way.append((facts, next_step))

    go(step.SUBJECT, backend="ready")
    go(step.SUBJECT, video="/clip.mp4", video_exists=True, workspace="/clip.synctalk")
    go(step.TRACK, consent_ticked=True, consent_by="Ada")
    consent = states.WorkspaceState(exists=True, consent_by="Ada", stages=tracked)
    go(step.TRACK, state=consent)  # tracked, but not yet in this scene
    go(step.TRAIN, has_head=True)
    go(step.SPEAK, state=dataclasses.replace(consent, trained_step=100))
    go(step.SPEAK, speech="/s.wav", speech_exists=True)
    go(step.COMPOSITE, has_speech=True)
    go(None, has_composite=True)
    return way


def test_the_way_leads_from_the_empty_scene_to_the_composite(steps, journey):
    for facts, expected in journey:
        found = [step for step, status in steps.statuses(facts).items() if status.is_next]
        assert found == ([] if expected is None else [expected]), facts


def test_a_step_that_is_next_can_be_taken_and_one_that_waits_says_why(steps, journey):
    for facts, _ in journey:
        for step, status in steps.statuses(facts).items():
            reason = steps.why_not(step, facts)
            if status.is_next:
                assert not steps.blocked(step, facts)
            if status.state is steps.State.WAITING:
                assert len(reason) > 10, (step, facts)


def test_while_a_job_runs_nothing_else_can_be_begun(steps, journey):
    facts = dataclasses.replace(journey[-1][0], running="train", running_title="Training")
    assert all("Training" in steps.why_not(step, facts) for step in steps.Step)
    assert steps.statuses(facts)[steps.Step.TRAIN].state is steps.State.RUNNING
    assert not any(status.is_next for status in steps.statuses(facts).values())


def test_training_is_refused_without_consent(steps, journey):
    facts, _ = journey[5]
    without = dataclasses.replace(facts.state, consent_by="")
    for ticked, by in ((False, "Ada"), (True, " ")):
        refused = dataclasses.replace(facts, state=without, consent_ticked=ticked, consent_by=by)
        assert "permission" in steps.why_not(steps.Step.TRAIN, refused)
    assert not steps.why_not(steps.Step.TRAIN, dataclasses.replace(facts, state=without, consent_ticked=True))


def test_a_failed_step_says_so_until_it_is_tried_again(steps, journey):
    facts = dataclasses.replace(journey[3][0], failed=frozenset({"track"}))
    status = steps.statuses(facts)[steps.Step.TRACK]
    assert status.state is steps.State.FAILED
    assert status.is_next


def test_a_backend_without_pytorch_is_the_next_thing_to_repair(steps, journey):
    facts = dataclasses.replace(journey[3][0], backend_alive=True, backend_answered=True)
    assert steps.statuses(facts)[steps.Step.BACKEND].word == "Running"
    broken = steps.statuses(dataclasses.replace(facts, device_error="PyTorch cannot be loaded."))
    assert broken[steps.Step.BACKEND].word == "Not working"
    assert [step for step, status in broken.items() if status.is_next] == [steps.Step.BACKEND]


def test_a_workspace_says_what_it_holds(states, tmp_path):
    assert states.read_workspace(tmp_path) == states.WorkspaceState()
    subject = {
        "format": 1,
        "source": "/clip.mp4",
        "frames": 250,
        "fps": 25.0,
        "consent": {"given": True, "by": "Ada", "when": "2026-01-01"},
        "stages": {"media": {"state": "done", "key": "x"}, "landmarks": {"state": "partial", "key": "x"}},
    }
    (tmp_path / "subject.json").write_text(json.dumps(subject))
    state = states.workspace_state(tmp_path)
    assert (state.frames, state.consent_by, state.stages_done, state.tracked) == (250, "Ada", 1, False)

    subject["stages"] = {name: {"state": "done", "key": "x"} for name in states.STAGES}
    (tmp_path / "new.json").write_text(json.dumps(subject))
    (tmp_path / "new.json").replace(tmp_path / "subject.json")
    assert states.workspace_state(tmp_path).tracked, "a rename must be noticed"

    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "step_0000300.safetensors").touch()
    (checkpoints / ".step_0000400.tmp-1.safetensors").touch()
    (checkpoints / "config.json").write_text('{"preset": "preview", "psnr": 31.5}')
    state = states.workspace_state(tmp_path)
    assert (state.trained_step, state.trained_preset, state.trained_psnr) == (300, "preview", 31.5)


def test_a_state_is_what_the_workspace_s_own_record_holds(states, import_part, tmp_path):
    """A consent of null, no id, a checkpoint's name that no training writes: one reader for the panels and all else."""
    record = {"format": 1, "name": "anna.synctalk", "source_sha256": "ab", "consent": None, "crop": None}
    (tmp_path / "subject.json").write_text(json.dumps(record))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step_9.safetensors").touch()
    state = states.read_workspace(tmp_path)
    assert state.exists and not state.problem
    opened = import_part("backend.workspace.store").Workspace.open(tmp_path)
    assert (state.id, state.fps, state.consent_by) == (opened.subject.id, opened.subject.fps, "")
    assert state.trained_step == 0


@pytest.mark.parametrize(
    "record", ['{"format": 1, "crop": {"x": 0}}', '{"format": 1, "corrections": {"bars_px": [1]}}']
)
def test_the_panels_report_a_damaged_workspace_as_every_step_does(states, import_part, tmp_path, record):
    (tmp_path / "subject.json").write_text(record)
    store = import_part("backend.workspace.store")
    with pytest.raises(store.WorkspaceError) as caught:
        store.Workspace.open(tmp_path)
    assert states.read_workspace(tmp_path).problem == str(caught.value)


def head(mouth, eyes, step=600, advice="About 5 more minutes of training should bring the mouth to “moves”."):
    part = {"gain": 0.8, "correlation": 0.9, "clip_range": 0.1}
    kept = {"step": step, "advice": advice, "mouth": {"grade": mouth, **part}, "eyes": {"grade": eyes, **part}}
    return json.dumps(kept)


@pytest.fixture
def trained(states, tmp_path):
    """The state of a workspace with a head, by its measurement (the text of readiness.json, or None)."""

    def read(text):
        subject = {"format": 1, "frames": 300, "consent": {"given": True, "by": "Ada"}}
        subject["stages"] = {name: {"state": "done", "key": "x"} for name in states.STAGES}
        (tmp_path / "subject.json").write_text(json.dumps(subject))
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "checkpoints" / "step_0000600.safetensors").touch()
        (tmp_path / "checkpoints" / "config.json").write_text('{"psnr": 28.4, "elapsed_s": 120}')
        if text is not None:
            (tmp_path / "checkpoints" / "readiness.json").write_text(text)
        return states.read_workspace(tmp_path)

    return read


@pytest.mark.parametrize(
    ("mouth", "eyes", "train", "next_step", "speak"),
    [
        ("not yet", "not yet", "Mouth not yet", "train", "Mouth not yet"),
        ("not yet", "clear", "Mouth not yet", "train", "Mouth not yet"),
        ("moves", "clear", "Mouth weak", "speak", "Speaks"),
        ("clear", "not yet", "Eyes not yet", "speak", "Speaks"),
        ("clear", "clear", "Trained", "speak", "Speaks"),
        ("clear", "not shown", "Trained", "speak", "Speaks"),
        ("not shown", "clear", "Mouth not in clip", "speak", "Mouth not in clip"),
    ],
)
def test_a_head_is_called_ready_only_when_it_is(steps, trained, mouth, eyes, train, next_step, speak):
    facts = steps.Facts(backend="ready", state=trained(head(mouth, eyes)), has_head=True)
    found = steps.statuses(facts)
    assert found[steps.Step.TRAIN].word == train
    assert (found[steps.Step.TRAIN].state is steps.State.DONE) == (train == "Trained")
    assert [step.value for step, status in found.items() if status.is_next] == [next_step]
    spoken = steps.statuses(dataclasses.replace(facts, has_speech=True, has_composite=True))
    assert spoken[steps.Step.SPEAK].word == speak
    assert (spoken[steps.Step.SPEAK].state is steps.State.DONE) == (speak == "Speaks")
    assert spoken[steps.Step.COMPOSITE].word == "Built"
    assert bool(steps.speak_line(facts.state)) == (speak != "Speaks")
    ready = train == "Trained"
    assert ("not ready" in steps.composite_line(facts.state)) != ready


def test_a_head_that_was_not_measured_is_shown_as_such(steps, trained):
    for text in (None, head("clear", "clear", step=500), "[]", '{"step": 600}'):
        facts = steps.Facts(backend="ready", state=trained(text), has_head=True, has_speech=True)
        found = steps.statuses(facts)
        assert found[steps.Step.TRAIN].word == "Not measured"
        assert found[steps.Step.SPEAK].word == "Keyed"
        assert "not measured yet" in steps.head_lines(facts.state)[0]
        assert "not measured" in steps.composite_line(facts.state)


def test_the_panel_says_what_more_training_will_do(steps, trained):
    lines = steps.head_lines(trained(head("not yet", "clear")))
    assert lines[0].startswith("Mouth: not yet")
    assert lines[1].startswith("Eyes: clear")
    assert "5 more minutes" in lines[2]


def test_a_new_measurement_is_noticed(states, trained, tmp_path):
    trained(head("not yet", "not yet"))
    assert states.workspace_state(tmp_path).readiness.mouth == "not yet"
    (tmp_path / "new.json").write_text(head("clear", "clear"))
    (tmp_path / "new.json").replace(tmp_path / "checkpoints" / "readiness.json")
    assert states.workspace_state(tmp_path).readiness.mouth == "clear"


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"format": "x"}', '{"format": 1, "frames": []}'])
def test_a_damaged_workspace_is_a_sentence(states, tmp_path, text):
    (tmp_path / "subject.json").write_text(text)
    assert str(tmp_path) in states.read_workspace(tmp_path).problem


def test_a_newer_workspace_is_a_sentence(states, tmp_path):
    (tmp_path / "subject.json").write_text('{"format": 99}')
    assert "newer" in states.read_workspace(tmp_path).problem
