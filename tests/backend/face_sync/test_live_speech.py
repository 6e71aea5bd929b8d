"""Speech while it is spoken: what a file's future does not change is the same, and the lips are those of the file."""

from __future__ import annotations

import numpy as np
import pytest

from backend.face_sync import live_speech, speech
from backend.face_sync.audio_features import LogMelStream, Spectra, StepFeatures, log_mel_blocks
from backend.face_sync.encoders.speech_encoder import WINDOW
from backend.face_sync.live_speech import LiveSpeech
from backend.media.audio import read_audio

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def model(processed_once):
    return speech.SpeechModel.load(processed_once / "speech.safetensors")


@pytest.fixture(scope="module")
def audio(sample):
    """8 s of the sample's other speech."""
    return read_audio(sample / "drive.wav")[: 8 * 16000]


def streamed(audio, live, block=160):
    """All steps, from blocks of that many samples."""
    return [step for start in range(0, len(audio), block) for step in live.push(audio[start : start + block])]


@pytest.mark.parametrize("block", [1, 97, 160, 4001])
def test_streamed_spectra_are_those_of_the_file(audio, block):
    audio = audio[:20000]
    stream = LogMelStream()
    parts = [part for start in range(0, len(audio), block) for part in stream.push(audio[start : start + block])]
    parts += stream.finish()
    np.testing.assert_allclose(np.concatenate(parts), np.concatenate(list(log_mel_blocks([audio]))), atol=1e-5)


@pytest.mark.parametrize("block", [160, 1000])
def test_with_the_files_levels_each_step_is_the_files_but_for_what_comes_after_the_look_ahead(
    model, audio, block, monkeypatch
):
    monkeypatch.setattr(live_speech, "_OWN_AFTER_S", np.inf)
    whole = StepFeatures([audio])[:]
    live = LiveSpeech(model, 3, before=Spectra([audio]).levels)
    steps = streamed(audio, live, block)
    assert len(steps) > 180
    np.testing.assert_allclose(live.features(Spectra([audio]).levels, 60, 160), whole[60:160], atol=1e-5)
    for k in (0, 1, 2, 50, 99, 130, len(steps) - 1):
        rows = whole[max(k + 4 - WINDOW, 0) : k + 4]
        np.testing.assert_allclose(steps[k].mouth, speech.predict(model, rows)[-4], atol=1e-5)
        assert steps[k].time_s == pytest.approx(k * 0.04)


def test_a_step_comes_when_its_look_ahead_is_there_and_not_before(model, audio):
    for look_ahead in (0, 2, 3):
        live, received = LiveSpeech(model, look_ahead), 0
        for start in range(0, 32000, 160):
            received += 160
            for step in live.push(audio[start : start + 160]):
                waited_s = received / 16000 - step.time_s
                assert live.delay_s <= waited_s + 1e-9 and waited_s < live.delay_s + 0.012
    assert LiveSpeech(model, 3).delay_s == pytest.approx(0.12 + 0.026)


def test_the_lips_are_those_of_the_file_from_two_steps_of_look_ahead_on(model, audio, processed_once):
    whole = speech.predict(model, StepFeatures([audio]))
    before = Spectra([read_audio(processed_once / "audio.wav")]).levels
    jaw = model.names.index("jawOpen")
    agreement = {}
    for look_ahead in (0, 2, 3):
        found = np.array([step.mouth for step in streamed(audio, LiveSpeech(model, look_ahead, before=before))])
        agreement[look_ahead] = np.corrcoef(found[:, jaw], whole[: len(found), jaw])[0, 1]
    assert agreement[0] < agreement[2] < agreement[3] + 0.01
    assert agreement[2] > 0.9 and agreement[3] > 0.95


def test_a_quieter_microphone_gives_the_same_lips(model, audio, processed_once):
    before = Spectra([read_audio(processed_once / "audio.wav")]).levels
    loud, quiet = (
        np.array([step.mouth for step in streamed(audio * gain, LiveSpeech(model, before=before))]) for gain in (1, 0.1)
    )
    settled = slice(75, None)
    assert np.corrcoef(loud[settled].ravel(), quiet[settled].ravel())[0, 1] > 0.99


def test_memory_and_time_do_not_grow_with_the_audio(model, audio):
    live = LiveSpeech(model)
    live._model = None
    live._mouth = lambda: np.zeros(1)  # the encoder's own cost is that of its window
    for _ in range(12):
        streamed(audio, live, 4000)
    assert len(live._spectra) == 6000
    assert live._step == pytest.approx(12 * 8 * 25, abs=6)
