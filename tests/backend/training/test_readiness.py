"""A head is called ready by what its rendered frames show, not by PSNR."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from backend.commands import measure, process, train
from backend.errors import Cancelled
from backend.evaluation.response import CLEAR, EYES, GRADES, MOUTH, MOVES, NOT_SHOWN, NOT_YET, motion_range, response
from backend.progress import Reporter
from backend.training import readiness
from backend.training.outlook import outlook
from backend.workspace.files import read_arrays, write_arrays
from backend.workspace.store import Workspace


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def openings(rng):
    """Openings of a mouth that speaks, in distances between the eyes."""
    return 0.05 + 0.1 * rng.random(200)


@pytest.mark.parametrize(
    ("gain", "noise", "expected"),
    [(0.0, 0.001, NOT_YET), (0.2, 0.0, NOT_YET), (1.0, 0.1, NOT_YET), (0.5, 0.005, MOVES), (0.85, 0.005, CLEAR)],
)
def test_the_grade_follows_how_far_and_how_truly_the_mouth_opens(openings, rng, gain, noise, expected):
    rendered = 0.06 + gain * (openings - 0.05) + noise * rng.standard_normal(len(openings))
    found = response(rendered, openings, motion_range(openings), MOUTH)
    assert found.grade == expected
    assert found.gain == pytest.approx(gain, abs=0.3)


def test_a_motion_that_the_clip_does_not_show_is_not_held_against_the_head(openings):
    still = 0.3 + 0.01 * (openings - openings.min())
    assert response(still, still, motion_range(still), EYES).grade == NOT_SHOWN


def test_eyes_that_their_own_sliders_do_not_shut_are_not_clear(openings):
    found = response(openings, openings, motion_range(openings), EYES)
    assert found.grade == CLEAR
    assert [found.with_slider(share, EYES).grade for share in (0.2, 0.5, 0.9)] == [NOT_YET, MOVES, CLEAR]
    assert found.with_slider(float("nan"), EYES) == found


def test_a_face_that_is_not_found_again_is_no_ready_head(openings):
    assert response(np.full(200, np.nan), openings, motion_range(openings), MOUTH).grade == NOT_YET


def test_a_single_misread_frame_is_no_blink(openings):
    open_eyes = np.full(200, 0.3)
    open_eyes[[20, 90]] = 0.05
    assert motion_range(open_eyes) < EYES.shown
    open_eyes[[21, 22, 91]] = 0.05
    assert motion_range(open_eyes) > EYES.shown


def responses(mouth, eyes=("clear", 1.0, 0.95)):
    from backend.evaluation.response import Response

    return Response(*mouth, 0.1), Response(*eyes, 0.2)


def test_what_more_training_will_do_is_said_as_far_as_it_can_be_known():
    assert outlook(*responses(("clear", 0.9, 0.95)), 5, 70) == ""
    promised = outlook(*responses(("not yet", 0.1, 0.3)), 1, 70)
    assert "more minutes" in promised
    assert "mouth" in promised
    assert "eyes" not in promised
    both = outlook(*responses(("moves", 0.5, 0.7), ("moves", 0.5, 0.8)), 400, 70)
    assert "the mouth and eyes" in both
    slow = outlook(*responses(("moves", 0.4, 0.55)), 60, 12)
    assert "slowly" in slow
    hopeless = outlook(*responses(("moves", 0.6, 0.9)), 400, 12)
    assert "hardly improve the mouth" in hopeless
    assert "longer clip" in hopeless
    assert "hardly improve" in outlook(*responses(("moves", 0.6, 0.9)), 2, 70, plateaued=True)
    lacking = outlook(*responses(("clear", 0.9, 0.95), ("not shown", None, None)), 5, 70)
    assert "no blink" in lacking


def readiness_kept(workspace):
    """What the result of `process` has of the newest checkpoint."""
    return process.Result.of(workspace).trained["readiness"]


def test_a_training_is_measured_and_what_it_says_is_kept_with_the_checkpoint(trained):
    kept = json.loads((trained / "checkpoints" / "readiness.json").read_text())
    newest = max((trained / "checkpoints").glob("step_*.safetensors"))
    assert kept["checkpoint"] == newest.name
    assert kept["step"] == 350
    for part in ("mouth", "eyes"):
        assert kept[part]["grade"] in GRADES
    assert readiness_kept(trained) == kept
    assert measure.run(measure.Options(workspace=trained), Reporter()).readiness == kept, (
        "the same head is measured alike"
    )


def test_a_head_whose_mouth_never_opens_is_not_ready(trained):
    workspace = Workspace.open(trained)
    tracking = read_arrays(workspace.tracking_path)
    # The head gets the same blendshapes whatever is asked for: PSNR would call it good.
    tracking["blendshapes"] = np.repeat(tracking["blendshapes"][:1], len(tracking["blendshapes"]), 0)
    write_arrays(workspace.tracking_path, **tracking)
    found = readiness.measure(workspace, Reporter())
    assert found.mouth.grade == NOT_YET
    assert found.eyes.grade in (NOT_YET, NOT_SHOWN)
    assert found.advice


def test_frames_are_spread_over_the_person_s_range_and_rendered_in_poses_not_trained_on(trained):
    workspace = Workspace.open(trained)
    tracking, first = workspace.head_track(), workspace.subject.first_test_frame
    plan = readiness.plan_frames(tracking, first)
    assert (plan.pose >= first).all()
    mouths = readiness.lip_opening(tracking.landmarks_px)
    assert mouths[plan.mouth].min() == mouths[tracking.valid].min()
    assert mouths[plan.mouth].max() == mouths[tracking.valid].max()
    none_held_out = dataclasses.replace(tracking, valid=tracking.valid & (np.arange(len(tracking.valid)) < first))
    assert (readiness.plan_frames(none_held_out, first).pose < first).all()


def test_what_was_measured_of_an_earlier_checkpoint_is_not_said_of_a_newer_one(trained):
    (trained / "checkpoints" / "step_0000350.safetensors").rename(trained / "checkpoints" / "step_0000400.safetensors")
    assert readiness_kept(trained) is None


def test_cancelling_the_measurement_leaves_the_checkpoint_unmeasured_and_whole(trained):
    (trained / "checkpoints" / "readiness.json").unlink()
    with pytest.raises(Cancelled):
        measure.run(measure.Options(workspace=trained), Reporter(cancelled=lambda: True))
    assert readiness_kept(trained) is None
    assert measure.run(measure.Options(workspace=trained), Reporter()).readiness is not None


def test_training_further_adds_to_a_complete_training_and_only_then(trained):
    further = train.Options(workspace=trained, steps=20, further=True, head="field")
    assert train.run(further, Reporter()).step == 370
    assert train.run(train.Options(workspace=trained, steps=370, head="field"), Reporter()).step == 370
