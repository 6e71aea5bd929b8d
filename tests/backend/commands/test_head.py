"""The head that is asked for is drawn, in its own poses, by every command that draws one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backend.commands import evaluate, measure, process, render, speak
from backend.errors import UsageError, WorkspaceError
from backend.evaluation.reenactment import Reenactment, self_reenactment
from backend.progress import Reporter
from backend.protocol import AUTO, FIELD, GAUSSIANS
from backend.training.lip_gain import speech_gain, write_lip_range
from backend.workspace.checkpoint_index import head_paths, readiness_of
from backend.workspace.images import read_image
from backend.workspace.store import Workspace
from tests.backend.made_up_twin import SHIFT_M, write_made_up_twin

SIZE = 32


def frames(workspace, kind):
    """A few frames of the clip as a head draws them."""
    pairs = self_reenactment(Workspace.open(workspace), np.arange(3), Reenactment(SIZE, kind), Reporter())
    return [pair.rgba for pair in pairs]


def test_auto_is_the_twin_and_the_field_where_that_is_asked_for(made_up_twin):
    by_auto, by_twin, by_field = (frames(made_up_twin, kind) for kind in (AUTO, GAUSSIANS, FIELD))
    np.testing.assert_array_equal(by_auto, by_twin)
    assert np.abs(np.array(by_auto) - by_field).max() > 0.1
    assert not np.array_equal(by_auto[0], by_auto[2]), "a frame that is kept is not drawn over"


def test_a_twin_that_was_measured_worse_is_not_drawn_by_itself(trained):
    write_made_up_twin(trained, preferred=FIELD)
    np.testing.assert_array_equal(frames(trained, AUTO), frames(trained, FIELD))


@pytest.mark.parametrize("command", [render, speak, measure, evaluate])
def test_another_name_is_no_head(command, tmp_path):
    needed = {"out": tmp_path} if command is render else {}
    with pytest.raises(UsageError, match="head must be one of auto, gaussians, field"):
        command.Options(workspace=tmp_path, head="mesh", **needed)


def test_a_twin_that_is_missing_is_a_sentence(trained, tmp_path):
    with pytest.raises(WorkspaceError, match="no Gaussian head yet"):
        render.run(render.Options(workspace=trained, out=tmp_path / "out", head=GAUSSIANS), Reporter())


def test_speech_moves_in_the_poses_of_the_head_that_speaks(made_up_twin, tmp_path):
    def depths(kind):
        spoken = speak.run(speak.Options(workspace=made_up_twin, out=tmp_path / kind, head=kind), Reporter())
        return Workspace.open(made_up_twin).animation(spoken.animation).head_to_camera[:, 2, 3]

    np.testing.assert_allclose(depths(GAUSSIANS) - depths(FIELD), SHIFT_M, atol=1e-9)
    np.testing.assert_array_equal(depths(AUTO), depths(GAUSSIANS))


def test_frames_that_another_head_left_are_drawn_again(made_up_twin, tmp_path):
    def first(kind):
        options = render.Options(workspace=made_up_twin, out=tmp_path, directions=spoken, size=SIZE, head=kind)
        render.run(options, Reporter())
        return read_image(tmp_path / "000000.png", channels=4)

    spoken = speak.run(speak.Options(workspace=made_up_twin, out=tmp_path / "spoken"), Reporter()).animation
    by_twin, by_field = first(AUTO), first(FIELD)
    assert np.abs(by_twin.astype(int) - by_field).max() > 25


def test_a_measurement_names_its_head_and_that_of_the_other_stays(made_up_twin):
    folder = made_up_twin / "checkpoints"
    of_field = json.loads((folder / "readiness.json").read_text())
    assert readiness_of(folder) is None, "the field's is not the twin's"
    found = measure.run(measure.Options(workspace=made_up_twin), Reporter()).readiness
    assert (found["head"], found["step"]) == (GAUSSIANS, 400)
    assert readiness_of(folder) == process.Result.of(made_up_twin).trained["readiness"] == found
    assert readiness_of(folder, FIELD) == of_field


def test_lips_are_driven_by_what_was_measured_of_the_head_that_speaks(made_up_twin):
    workspace = Workspace.open(made_up_twin)
    for kind, lip_range in ((FIELD, 0.8), (GAUSSIANS, 0.9)):
        write_lip_range(workspace, head_paths(workspace.checkpoints, kind)[0], lip_range)
    assert speech_gain(workspace, FIELD) == pytest.approx(1 / 0.8)
    assert speech_gain(workspace) == speech_gain(workspace, GAUSSIANS) == pytest.approx(1 / 0.9)


def test_figures_and_report_say_which_head_drew(made_up_twin):
    figures = evaluate.run(evaluate.Options(workspace=made_up_twin, size=64, head=GAUSSIANS), Reporter())
    assert figures["head"] == figures["readiness"]["head"] == GAUSSIANS
    assert "Gaussian twin" in (made_up_twin / "reports" / "report.html").read_text("utf-8")
