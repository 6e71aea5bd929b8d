"""Heads whose lips follow audio alone, and which blendshapes drive the upper face."""

import shutil

import numpy as np
import pytest

from backend.commands import evaluate, render, speak, train
from backend.errors import ModelError, WorkspaceError
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.renderer.regions import PAPER_EXPRESSION, UPPER_FACE
from backend.training import checkpoints
from backend.training.conditions import LipSource
from backend.training.field_trainer import FieldTrainer
from backend.training.presets import PRESETS
from backend.workspace.files import read_arrays, write_arrays
from backend.workspace.store import Workspace


@pytest.fixture(scope="module")
def head_of_audio(processed_once, tmp_path_factory):
    root = tmp_path_factory.mktemp("audio") / "speaker"
    shutil.copytree(processed_once, root)
    changes = ["lips=adapted", "expression=paper", "refinements="]
    train.run(train.Options(workspace=root, steps=12, set=tuple(changes)), Reporter())
    return root


def test_a_head_of_audio_is_trained_rendered_and_has_no_mouth_to_move(head_of_audio, sample, tmp_path):
    workspace = Workspace.open(head_of_audio)
    checkpoint = checkpoints.load_for_rendering(workspace, kind="field")
    field = checkpoint.field()
    assert checkpoint.lips.name == "adapted"
    assert field.config.lip_inputs == checkpoint.lips.inputs == 5 * len(checkpoint.lips.mean)
    assert field.config.expression == PAPER_EXPRESSION
    blendshapes = workspace.head_track().blendshapes[:1]
    other = blendshapes.copy()
    other[:, BLENDSHAPE_NAMES.index("jawOpen")] = 1
    import torch

    codes = [
        field.codes(torch.from_numpy(np.pad(row, ((0, 0), (0, field.config.lip_inputs)))))
        for row in (blendshapes, other)
    ]
    assert torch.equal(codes[0][0], codes[1][0])
    options = render.Options(workspace=head_of_audio, out=tmp_path / "out", audio=sample / "drive.wav", size=64)
    assert render.run(options, Reporter()).frames == len(list((tmp_path / "out").glob("*.png")))
    figures = evaluate.run(evaluate.Options(workspace=head_of_audio, size=64, no_report=True), Reporter())
    assert "audio_driven" not in figures


def test_an_animation_without_audio_cannot_drive_it(head_of_audio, tmp_path):
    workspace = Workspace.open(head_of_audio)
    animation = speak.run(speak.Options(workspace=head_of_audio, out=tmp_path / "own"), Reporter()).animation
    (tmp_path / "own" / "speech.wav").unlink()
    read = workspace.animation(tmp_path / "own" / "animation.npz")
    assert animation
    with pytest.raises(WorkspaceError, match="lips=shape"):
        checkpoints.load_for_rendering(workspace).lips.animation_conditions(workspace, read)


def test_features_stand_beside_the_blendshapes_frame_by_frame(processed_once):
    workspace = Workspace.open(processed_once)
    blendshapes = workspace.head_track().blendshapes
    lips = LipSource.of_clip(workspace, "log-mel")
    conditions = lips.clip_conditions(workspace, blendshapes)
    assert conditions.shape == (len(blendshapes), 52 + 5 * 80)
    assert np.array_equal(conditions[:, :52], blendshapes)
    windows = conditions[:, 52:].reshape(len(conditions), 5, 80)
    assert np.array_equal(windows[10, 3], windows[11, 2]), "the frame after is the next row's own"
    training = windows[: workspace.subject.first_test_frame, 2]
    assert np.abs(training.mean(0)).max() < 1e-3
    assert LipSource.of_clip(workspace, "shape").clip_conditions(workspace, blendshapes) is blendshapes
    with pytest.raises(ModelError, match="choose one of"):
        LipSource.of_clip(workspace, "hearsay")


def test_lips_that_follow_the_audio_learn_nothing_where_it_is_dead(processed_once, tmp_path):
    root = tmp_path / "speaker"
    shutil.copytree(processed_once, root)
    workspace = Workspace.open(root)
    arrays = read_arrays(root / "audio_features.npz")
    arrays["heard"] = np.arange(len(arrays["heard"])) % 50 >= 10
    write_arrays(root / "audio_features.npz", **arrays)
    training = {}
    for lips in ("shape", "log-mel"):
        preset = PRESETS["preview"].changed([f"lips={lips}", "refinements="])
        training[lips] = FieldTrainer(workspace, preset, Reporter(), 1.0, 0, "cpu", steps=1).training_frames % 50
    assert (training["log-mel"] >= 10).all()
    assert (training["shape"] < 10).any(), "a head with its lips from the frames sees all frames"


def test_what_drives_the_upper_face_is_chosen_by_name():
    assert PRESETS["paper"].expression_names == PAPER_EXPRESSION
    assert len(PAPER_EXPRESSION) == 7
    assert PRESETS["preview"].expression_names == UPPER_FACE
    assert PRESETS["preview"].changed(["expression=browInnerUp,eyeBlinkLeft"]).expression_names == (
        "browInnerUp",
        "eyeBlinkLeft",
    )
    with pytest.raises(WorkspaceError, match="jawOpen"):
        assert PRESETS["preview"].changed(["expression=jawOpen"]).expression_names
