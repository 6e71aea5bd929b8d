"""A voice as a live source: a WAV file that grows while it is read, its delay, and the recording with its audio."""

from __future__ import annotations

import itertools
import json
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from backend.capture.files import read_capture
from backend.capture.live.voice import GrowingWav, VoiceSource
from backend.errors import CaptureError
from backend.face_sync import speech
from backend.face_sync.audio_features import StepFeatures
from backend.face_sync.live_speech import LiveSpeech
from backend.media.audio import read_audio
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.store import Workspace

pytestmark = pytest.mark.long

JAW = BLENDSHAPE_NAMES.index("jawOpen")


def wav_header(rate, channels=1, tag=1, bits=16):
    """As a recorder writes it before it knows the length."""
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + form + b"data\xff\xff\xff\xff"


def read_blocks(path):
    """All that a file gives until it grows no more."""
    voice = GrowingWav(path)
    found = list(itertools.takewhile(lambda heard: heard is not None, voice.blocks(threading.Event())))
    voice.close()
    return np.concatenate([samples for samples, _ in found])


@pytest.mark.parametrize(("rate", "channels", "tag", "bits"), [(16000, 1, 1, 16), (48000, 2, 1, 16), (44100, 1, 3, 32)])
def test_every_usual_kind_of_wav_is_heard_at_its_own_rate(tmp_path, rate, channels, tag, bits):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)
    samples = np.repeat(tone[:, None], channels, 1)
    data = (samples * 32767).astype("<i2") if bits == 16 else samples.astype("<f4")
    (tmp_path / "tone.wav").write_bytes(wav_header(rate, channels, tag, bits) + data.tobytes())
    heard = read_blocks(tmp_path / "tone.wav")
    assert 0.44 < len(heard) / 16000 <= 0.51
    spectrum = np.abs(np.fft.rfft(heard[1000:5000]))
    assert np.argmax(spectrum) * 16000 / 4000 == pytest.approx(440, abs=5)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.05)


def test_a_file_that_grows_is_followed_with_the_stated_delay(tmp_path, sample, processed_once):
    audio = read_audio(sample / "drive.wav")[: 6 * 16000]
    path = tmp_path / "growing.wav"
    path.write_bytes(wav_header(16000))
    model = speech.SpeechModel.load(processed_once / "speech.safetensors")
    source = VoiceSource(GrowingWav(path), LiveSpeech(model, 3))
    found, delays = [], []
    source.inbox.on_sample = lambda one: (found.append(one.face), delays.append(one.delay_s))
    source.start()
    began = time.monotonic()
    with open(path, "ab", buffering=0) as file:
        for number in range(0, len(audio), 320):
            file.write((audio[number : number + 320] * 32767).astype("<i2").tobytes())
            time.sleep(max(0.0, began + (number + 320) / 16000 - time.monotonic()))
    until = time.monotonic() + 60
    while not found or found[-1].sent_s < (6 * 25 - 6) * 0.04:
        assert time.monotonic() < until, f"{len(found)} faces"
        time.sleep(0.01)
    source.close()
    steps = np.round([face.sent_s / 0.04 for face in found]).astype(int)
    assert (np.diff(steps) > 0).all()  # a busy machine leaves some out
    assert min(delays) > 0.12
    mouth = np.array([face.blendshapes[JAW] for face in found])
    whole = speech.predict(model, StepFeatures([audio]))[steps, model.names.index("jawOpen")]
    settled = steps > 50
    assert np.corrcoef(mouth[settled], whole[settled])[0, 1] > 0.9
    assert found[0].present[JAW] and not found[0].present[BLENDSHAPE_NAMES.index("eyeBlinkLeft")]


def test_the_command_records_a_voice_with_its_audio(root, sample, processed_once, tmp_path):
    out = tmp_path / "said.npz"
    command = [sys.executable, "-m", "backend", "capture", "live", "--workspace", str(processed_once)]
    command += ["--source", str(sample / "drive.wav"), "--seconds", "5", "--record", str(out), "--json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["samples"] > 80 and result["delay_ms"] > 120
    taken = Workspace.open(processed_once).animation(out)
    raw = read_capture(tmp_path / "said-live.csv", Reporter())
    assert raw.audio == tmp_path / "said-live.wav" and 0 <= raw.times_s[0] < 0.2
    spoken = read_audio(taken.audio)
    source = read_audio(sample / "drive.wav")
    lag = np.argmax(np.correlate(source[: 6 * 16000], spoken[16000:32000], "valid"))
    steps = speech.predict(
        speech.SpeechModel.load(processed_once / "speech.safetensors"),
        StepFeatures([source[lag - 16000 : lag - 16000 + len(spoken)]]),
    )
    jaw = steps[:, list(speech.MOUTH_INDEX).index(JAW)]
    frames = min(taken.frames, len(jaw))
    assert np.corrcoef(taken.blendshapes[25:frames, JAW], jaw[25:frames])[0, 1] > 0.9


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"text that is no audio", wav_header(16000, bits=24), wav_header(16000, 0)]
)
def test_what_is_no_wav_is_refused_in_a_sentence(tmp_path, data):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(CaptureError, match="no WAV file of 16 bit or float samples"):
        GrowingWav(tmp_path / "a.wav")
