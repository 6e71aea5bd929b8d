"""A head that opens its lips less than it is asked to is driven stronger, by what was measured of this very head."""

import numpy as np
import pytest

from backend.commands import speak
from backend.evaluation.reenactment import audio_driven_blendshapes
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.training.lip_gain import MAX_GAIN, speech_gain, write_lip_range
from backend.workspace.checkpoint_index import head_paths
from backend.workspace.files import read_arrays
from backend.workspace.store import Workspace


def test_a_training_ends_with_its_response_measured(trained):
    kept = speech_gain(Workspace.open(trained))
    assert (trained / "checkpoints" / "lip_gain.json").exists()
    assert 1 <= kept <= MAX_GAIN


def test_speech_is_driven_stronger_and_the_clip_itself_is_not(trained, sample, tmp_path):
    workspace, jaw = Workspace.open(trained), BLENDSHAPE_NAMES.index("jawOpen")
    newest = head_paths(workspace.checkpoints)[0]

    def spread(audio, folder):
        speak.run(speak.Options(workspace=trained, audio=audio, out=tmp_path / folder), Reporter())
        return read_arrays(tmp_path / folder / "animation.npz")["blendshapes"][:, jaw].std()

    write_lip_range(workspace, newest, 1.0)
    plain, own = spread(sample / "drive.wav", "a"), spread(None, "b")
    write_lip_range(workspace, newest, 0.75)
    assert speech_gain(workspace) == pytest.approx(4 / 3)
    assert spread(sample / "drive.wav", "c") > 1.15 * plain
    assert spread(None, "d") == own
    assert np.isfinite(audio_driven_blendshapes(workspace)).all()


def test_what_was_measured_of_another_head_is_not_used(trained):
    workspace = Workspace.open(trained)
    newest = head_paths(workspace.checkpoints)[0]
    write_lip_range(workspace, newest, 0.5)
    assert speech_gain(workspace) == MAX_GAIN
    newest.rename(newest.with_name("step_9999999.safetensors"))
    assert speech_gain(workspace) == 1
    write_lip_range(workspace, newest, None)
    assert speech_gain(workspace) == 1
