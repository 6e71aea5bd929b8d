"""A failed microphone while the lips move is found, pauses are not; training ignores it."""

from __future__ import annotations

import numpy as np
import pytest

from backend.face_sync import adaptation, stage
from backend.face_sync.dead_audio import dead_intervals, heard_frames
from backend.progress import Reporter
from backend.training.conditions import heard_frames as trained_frames
from backend.workspace.files import read_arrays
from backend.workspace.store import Workspace

from .conftest import FPS, RATE, babble, make_subject


def silenced(sound, start_s, end_s, noise=0.0):
    changed = sound.copy()
    part = changed[int(start_s * RATE) : int(end_s * RATE)]
    part[:] = noise * np.random.default_rng(0).standard_normal(len(part))
    return changed


@pytest.mark.parametrize("noise", [0.0, 1e-5])
def test_dead_audio_is_found_where_the_lips_move(noise):
    sound, jaw, _ = babble(20, seed=5)
    found = dead_intervals(silenced(silenced(sound, 4, 6.5, noise), 12, 20, noise), jaw)
    assert np.allclose(found, [(4, 6.5), (12, 20)], atol=0.45), "a pause at an end belongs to it"


def test_pauses_are_not_dead_audio():
    sound, jaw, _ = babble(20, seed=5)
    assert dead_intervals(sound, jaw) == []
    quiet, still = silenced(sound, 8, 11), jaw.copy()
    still[8 * FPS : 11 * FPS] = 0.02
    assert dead_intervals(quiet, still) == [], "a noise gate shuts in pauses: the lips are still"
    assert dead_intervals(silenced(sound, 8, 8.5), jaw) == [], "a word is no microphone"


def test_a_face_that_is_away_gives_nothing():
    sound, jaw, _ = babble(20, seed=5)
    jaw = jaw.astype(float)
    jaw[8 * FPS : 12 * FPS] = np.nan
    assert dead_intervals(silenced(sound, 8, 12), jaw) == []
    assert dead_intervals(np.zeros_like(sound), jaw) == [], "reported elsewhere"


def test_frames_are_heard_at_their_own_time():
    dead = np.array([[2.0, 3.0]])
    assert np.flatnonzero(~heard_frames(200, 25, dead)).tolist() == list(range(50, 75))
    assert np.flatnonzero(~heard_frames(200, 25, dead, 200.0)).tolist() == list(range(45, 70))
    assert heard_frames(200, 25, np.zeros((0, 2))).all()


@pytest.mark.usefixtures("brief_adaptation")
def test_the_stage_names_dead_audio_and_ignores_it(tmp_path, face, shapes, monkeypatch):
    used, fit = [], adaptation.fit
    monkeypatch.setattr(adaptation, "fit", lambda *args: (used.append(args[2]), fit(*args))[1])
    subject = make_subject(tmp_path / "dies", face, shapes, change=lambda sound: silenced(sound, 14, 19))
    reporter = Reporter()
    stage.run(Workspace.open(subject.root), reporter)
    (warning,) = [text for text in reporter.warnings if "silent" in text]
    assert "babble.mp4 is silent from 1" in warning
    assert "though the lips move" in warning
    workspace = Workspace.open(subject.root)
    assert abs(workspace.subject.audio_offset_ms) <= 40
    heard = read_arrays(subject.root / "audio_features.npz")["heard"]
    assert not heard[15 * FPS : 18 * FPS].any()
    assert heard[: 13 * FPS].all()
    assert np.array_equal(trained_frames(workspace), heard)
    (training,) = used
    assert np.array_equal(
        training, heard[: len(training)] & read_arrays(workspace.tracking_path)["valid"][: len(training)]
    )


def test_an_older_workspace_has_heard_all(tmp_path, face, shapes):
    subject = make_subject(tmp_path / "old", face, shapes, seconds=12)
    workspace = Workspace.open(subject.root)
    assert trained_frames(workspace).all()
    assert len(trained_frames(workspace)) == workspace.subject.frames
