import numpy as np
import pytest

from backend.errors import ModelError
from backend.face_sync import adaptation, speech
from backend.face_sync.audio_features import step_features
from backend.protocol import MOUTH_NAMES

from .conftest import RATE, babble

pytestmark = pytest.mark.long

JAW, SMILE = MOUTH_NAMES.index("jawOpen"), MOUTH_NAMES.index("mouthSmileLeft")
REST = 0.07


def _mouth(jaw, spread):
    mouth = np.zeros((len(jaw), len(MOUTH_NAMES)))
    mouth[:, JAW] = REST + 0.6 * jaw
    mouth[:, SMILE] = 0.4 * spread
    return mouth


@pytest.fixture(scope="module")
def model() -> speech.SpeechModel:
    sound, jaw, spread = babble(30, seed=1)
    return adaptation.fit(step_features(sound, len(jaw)), _mouth(jaw, spread))


@pytest.fixture(scope="module")
def unseen():
    sound, jaw, spread = babble(20, seed=9)
    return sound, _mouth(jaw, spread)


def test_unseen_speech_moves_the_mouth_as_it_should(model, unseen):
    sound, mouth = unseen
    spoken = speech.predict(model, step_features(sound, len(mouth)))
    assert np.corrcoef(spoken[:, JAW], mouth[:, JAW])[0, 1] > 0.8
    assert np.corrcoef(spoken[:, SMILE], mouth[:, SMILE])[0, 1] > 0.6


def test_amplitude_is_the_subjects_own(model, unseen):
    sound, mouth = unseen
    spoken = speech.predict(model, step_features(sound, len(mouth)))
    for k in (JAW, SMILE):
        assert (
            0.8 < np.ptp(np.quantile(spoken[:, k], [0.05, 0.95])) / np.ptp(np.quantile(mouth[:, k], [0.05, 0.95])) < 1.2
        )


def test_the_mouth_does_not_lag(model, unseen):
    sound, mouth = unseen
    spoken = speech.predict(model, step_features(sound, len(mouth)))[:, JAW]
    lags = range(-4, 5)
    correlation = [np.corrcoef(np.roll(spoken, lag)[8:-8], mouth[8:-8, JAW])[0, 1] for lag in lags]
    assert abs(lags[int(np.argmax(correlation))]) <= 1


def test_silence_rests_the_mouth_as_the_subject_does(model):
    sound, *_ = babble(6, seed=4)
    quiet = np.concatenate([sound, np.zeros(2 * RATE, np.float32), sound])
    spoken = speech.predict(model, step_features(quiet))
    pause = spoken[6 * 25 + 8 : 8 * 25 - 8]
    assert np.abs(pause[:, JAW] - model.rest[JAW]).max() < 0.02
    assert abs(model.rest[JAW] - REST) < 0.05
    assert np.abs(np.diff(pause, axis=0)).max() < 0.01, "no twitch in a pause"


def test_another_voice_at_another_level_speaks_too(model):
    sound, jaw, _ = babble(20, seed=9, pitch_hz=205)
    spoken = speech.predict(model, step_features(0.05 * sound, len(jaw)))[:, JAW]
    assert np.corrcoef(spoken, jaw)[0, 1] > 0.6


def test_frames_that_are_not_valid_teach_nothing(brief_adaptation):
    sound, jaw, spread = babble(20, seed=1)
    features, mouth = step_features(sound, len(jaw)), _mouth(jaw, spread)
    valid = np.ones(len(jaw), bool)
    valid[50:90] = False
    clean = adaptation.fit(features, mouth, valid)
    mouth[50:90] = 1.0
    assert np.array_equal(adaptation.fit(features, mouth, valid).weights, clean.weights)


def test_adapting_can_be_stopped(brief_adaptation):
    class StopNow(Exception):
        pass

    def stop(share):
        assert 0 <= share <= 1
        if share > 0.5:
            raise StopNow

    sound, jaw, spread = babble(6, seed=1)
    with pytest.raises(StopNow):
        adaptation.fit(step_features(sound, len(jaw)), _mouth(jaw, spread), on_step=stop)


def test_a_still_mouth_stays_still(brief_adaptation):
    sound, jaw, _ = babble(10, seed=1)
    mouth = np.full((len(jaw), len(MOUTH_NAMES)), 0.2)
    model = adaptation.fit(step_features(sound, len(jaw)), mouth)
    assert np.abs(speech.predict(model, step_features(sound)) - 0.2).max() < 0.01


def test_model_survives_its_file(model, tmp_path):
    path = tmp_path / "speech.safetensors"
    model.save(path)
    features = step_features(babble(4, seed=3)[0])
    loaded = speech.SpeechModel.load(path)
    difference = speech.predict(loaded, features) - speech.predict(model, features)
    assert np.abs(difference).max() < 0.02, "the encoder is stored in half precision"
    assert loaded.names == MOUTH_NAMES


def test_missing_and_damaged_models_say_what_to_do(model, tmp_path):
    path = tmp_path / "speech.safetensors"
    with pytest.raises(ModelError, match="run process"):
        speech.SpeechModel.load(path)
    model.save(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="damaged"):
        speech.SpeechModel.load(path)
