"""Audio of any rate, layout and container becomes 16 kHz mono, in time with the video."""

from __future__ import annotations

import av
import numpy as np
import pytest
import soundfile

from backend.errors import AudioError, MediaError
from backend.media.audio import RATE, check_speech, read_audio, workspace_audio, write_clip_audio, write_wav
from backend.media.decode import probe
from backend.workspace.store import Workspace
from backend.workspace.subject import Subject


def encode(clips, path, samples, rate, codec, layout="mono"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        clips.mux_audio(container, stream, samples.astype(np.float32), rate, "fltp", layout)
    return path


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [(".mp3", "libmp3lame", 44100), (".m4a", "aac", 44100), (".m4a", "aac", 16000), (".flac", "flac", 48000)],
)
def test_every_container_keeps_time_and_level(tmp_path, clips, suffix, codec, rate):
    audio = np.tile(clips.clicks([0.25, 1.0, 1.75], 2.0, rate), (2, 1))
    if codec == "flac":
        path = tmp_path / "audio.flac"
        soundfile.write(path, audio.T, rate)
    else:
        path = encode(clips, tmp_path / f"audio{suffix}", audio, rate, codec, "stereo")
    found = read_audio(path)
    assert found.dtype == np.float32
    assert found.ndim == 1
    assert np.allclose(clips.click_times(found), [0.25, 1.0, 1.75], atol=0.003)
    assert np.abs(found).max() == pytest.approx(0.8, abs=0.12)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
def test_resampling_keeps_speech_and_folds_nothing_back(tmp_path, subtype):
    rate, time_s = 44100, np.arange(44100) / 44100
    soundfile.write(tmp_path / "a.wav", np.sin(2 * np.pi * 1000 * time_s) * 0.5, rate, subtype=subtype)
    soundfile.write(tmp_path / "b.wav", np.sin(2 * np.pi * 11000 * time_s) * 0.5, rate, subtype=subtype)
    heard, above = read_audio(tmp_path / "a.wav"), read_audio(tmp_path / "b.wav")
    assert len(heard) == RATE
    wanted = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    assert np.abs(heard - wanted)[200:-200].max() < 0.02
    assert np.abs(above)[200:-200].max() < 0.02, "11 kHz is beyond what 16 kHz audio can hold"


def test_the_centre_of_surround_audio_is_heard(tmp_path):
    channels = np.zeros((48000, 6))
    channels[:, 2] = 0.5 * np.sin(2 * np.pi * 500 * np.arange(48000) / 48000)
    soundfile.write(tmp_path / "a.wav", channels, 48000)
    assert np.abs(read_audio(tmp_path / "a.wav")).max() > 0.1


def test_speech_that_cannot_be_spoken_is_refused(clips):
    check_speech(clips.speech_like(1.0))
    with pytest.raises(AudioError, match=r"a.wav lasts 0.10 s: give speech of at least 0.3 s"):
        check_speech(clips.speech_like(0.1), name="a.wav")
    with pytest.raises(AudioError, match=r"a.wav is silent \(no signal at all\): check the microphone"):
        check_speech(np.zeros(RATE, np.float32), name="a.wav")
    hum = 0.5 + 1e-4 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    with pytest.raises(AudioError, match=r"is silent \(-7\d dBFS\)"):
        check_speech(hum, name="a constant with a little noise")


def test_files_that_are_no_audio_are_refused(tmp_path, clips):
    (tmp_path / "a.wav").write_text("This is not audio.\n" * 20)
    with pytest.raises(MediaError, match=r"a\.wav is a text file, not a video or audio file"):
        read_audio(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes(b"")
    with pytest.raises(MediaError, match=r"b\.wav is empty \(0 bytes\)"):
        read_audio(tmp_path / "b.wav")
    with pytest.raises(MediaError, match=r"c\.wav does not exist"):
        read_audio(tmp_path / "c.wav")
    clips.make(tmp_path / "d.mp4", map(clips.numbered, range(5)))
    with pytest.raises(AudioError, match=r"d\.mp4 has no audio"):
        read_audio(tmp_path / "d.mp4")
    write_wav(tmp_path / "e.wav", [np.zeros(0, np.float32)])
    with pytest.raises(AudioError, match=r"No audio of .*e\.wav"):
        read_audio(tmp_path / "e.wav")


def test_wav_round_trip(tmp_path, clips):
    samples = clips.speech_like(0.5)
    write_wav(tmp_path / "a.wav", [samples])
    assert np.abs(read_audio(tmp_path / "a.wav") - samples).max() < 1e-4
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"], "no temporary file stays"


@pytest.mark.parametrize(("video_start_s", "audio_start_s"), [(0.0, 0.0), (0.0, 0.3), (0.5, 0.0), (0.5, 0.7)])
def test_the_clips_audio_is_in_time_with_its_first_image(tmp_path, clips, video_start_s, audio_start_s):
    # The tones are at 1 s and 2 s of the container's clock.
    audio = clips.clicks([1.0 - audio_start_s, 2.0 - audio_start_s], 3.0 - audio_start_s)
    times = [video_start_s + index / 25 for index in range(75)]
    path = clips.make(
        tmp_path / "clip.mkv",
        map(clips.numbered, range(75)),
        times_s=times,
        audio=(audio, RATE),
        audio_start_s=audio_start_s,
    )
    write_clip_audio(path, probe(path).start_s, 3.0, tmp_path / "out.wav")
    found = read_audio(tmp_path / "out.wav")
    assert len(found) == 3 * RATE
    assert np.allclose(clips.click_times(found), [1.0 - video_start_s, 2.0 - video_start_s], atol=0.004)


def test_a_gap_in_the_audio_stays_a_gap(tmp_path, clips):
    path = tmp_path / "clip.mkv"
    audio = clips.clicks([0.5], 1.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        samples = (audio * 32767).astype(np.int16)[None]
        clips.mux_audio(container, stream, samples, RATE, "s16", block=None, last=False)
        clips.mux_audio(container, stream, samples, RATE, "s16", start=2 * RATE, block=None)
    write_clip_audio(path, 0.0, 3.0, tmp_path / "out.wav")
    assert np.allclose(clips.click_times(read_audio(tmp_path / "out.wav")), [0.5, 2.5], atol=0.004)


@pytest.mark.parametrize("offset_ms", [0, 240, -80])
def test_late_audio_is_heard_with_its_image(tmp_path, clips, offset_ms):
    workspace = Workspace(tmp_path, Subject(audio_offset_ms=offset_ms))
    write_wav(workspace.audio_path, [clips.clicks([1.0 + offset_ms / 1000], 2.0)])
    corrected = workspace_audio(workspace)
    assert len(corrected) == 2 * RATE
    assert np.allclose(clips.click_times(corrected), [1.0], atol=0.001)
