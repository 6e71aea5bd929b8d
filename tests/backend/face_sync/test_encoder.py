import numpy as np
import pytest
import torch

from backend.errors import ModelError
from backend.face_sync.audio_features import step_features
from backend.face_sync.augmentation import warped
from backend.face_sync.encoders import speech_encoder as encoders

from .conftest import babble


def test_the_encoder_that_comes_with_the_project_is_small_and_finite():
    assert encoders.WEIGHTS.stat().st_size <= 8_000_000
    code = encoders.encode(encoders.pretrained(), step_features(babble(4, seed=1)[0]))
    assert code.shape == (100, encoders.SIZE)
    assert np.isfinite(code).all()
    assert code.std(0).min() > 0.01, "every feature varies"


def test_windows_of_long_audio_join_without_a_seam():
    encoder, features = encoders.pretrained(), step_features(babble(16, seed=1)[0])
    code = encoders.encode(encoder, features)
    assert code.shape == (400, encoders.SIZE)
    assert np.allclose(encoders.encode(encoder, features, batch=1), code, atol=1e-5)
    step = np.linalg.norm(np.diff(code, axis=0), axis=1)
    half = encoders.WINDOW // 2
    seams = step[half - 1 : -1 : half]
    assert seams.mean() < 1.5 * step.mean()


def test_what_is_more_than_a_window_away_does_not_matter():
    encoder, features = encoders.pretrained(), step_features(babble(16, seed=1)[0])
    changed = features.copy()
    changed[300:] += 1.0
    before, after = encoders.encode(encoder, features), encoders.encode(encoder, changed)
    assert np.array_equal(before[:200], after[:200])
    assert np.abs(after - before)[300:].mean() > 0.01


def test_audio_shorter_than_a_window_is_encoded():
    assert encoders.encode(encoders.pretrained(), step_features(babble(1, seed=1)[0])).shape == (25, encoders.SIZE)


def test_adapting_one_copy_leaves_the_next_untouched():
    first = encoders.pretrained()
    with torch.no_grad():
        first.leave.bias += 1
    assert not torch.allclose(first.leave.bias, encoders.pretrained().leave.bias)


def test_missing_weights_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(encoders, "WEIGHTS", tmp_path / "none.safetensors")
    encoders._read.cache_clear()
    with pytest.raises(ModelError, match="install"):
        encoders.pretrained()
    encoders._read.cache_clear()


def test_another_voice_keeps_the_time_of_the_speech():
    features = step_features(babble(4, seed=1)[0])
    changed = warped(features, np.random.default_rng(0))
    assert changed.shape == features.shape
    loud, loud_changed = features[:, 80::81].mean(1), changed[:, 80::81].mean(1)
    assert np.array_equal(loud, loud_changed), "loudness, and with it the pauses, stay"
    assert np.abs(changed - features).mean() > 0.05


def test_dropout_drops_its_share_keeps_the_mean_and_follows_the_seed():
    dropout, values = encoders._Dropout(), torch.ones(4, 64, 100)
    torch.manual_seed(3)
    first, other = dropout(values), dropout(values)
    torch.manual_seed(3)
    assert torch.equal(dropout(values), first) and not torch.equal(other, first)
    assert abs(float((first == 0).float().mean()) - encoders.DROPOUT) < 0.01
    assert abs(float(first.mean()) - 1) < 0.02
    assert torch.equal(dropout.eval()(values), values)
