"""Which track and channels carry the speech is measured, not read from a layout, and reported where it is not the plain choice."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest

from backend.errors import MediaError
from backend.media.audio import check_clip_audio, loudness, read_audio
from backend.media.audio_choice import choose_audio
from backend.media.audio_rates import RATE

SECONDS = 6.0


@pytest.fixture(scope="module")
def voice(clips):
    return clips.speech_like(SECONDS)


def hum(level=0.3):
    time_s = np.arange(round(SECONDS * RATE)) / RATE
    return (level * np.sin(2 * np.pi * 50 * time_s) + 0.3 * level * np.sin(2 * np.pi * 450 * time_s)).astype(np.float32)


def timecode(level=0.5):
    """Linear timecode: biphase marks at 2400 bits a second, louder than any speech."""
    bits = np.random.default_rng(1).integers(0, 2, round(SECONDS * 2400))
    edges = np.cumsum(np.stack([np.ones(len(bits), int), bits], 1).ravel()) % 2
    at = np.arange(round(SECONDS * RATE)) * 4800 // RATE
    return (level * (2 * edges[at] - 1)).astype(np.float32)


def noise(level=0.05):
    return (level * np.random.default_rng(2).standard_normal(round(SECONDS * RATE))).astype(np.float32)


def write_wave(path, *channels, width=2):
    """PCM of 8, 16, 24 or 32 bits by the standard library: without a layout."""
    samples = np.clip(np.stack(channels, 1), -1, 1) * (2.0 ** (8 * width - 1) - 1)
    if width == 1:
        data = (np.round(samples) + 128).astype("u1").tobytes()
    else:
        full = np.round(samples).astype("<i8")
        data = full[..., None].view("u1")[..., :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(width)
        file.setframerate(RATE)
        file.writeframes(data)
    return path


def correlation(found, wanted):
    count = min(len(found), len(wanted))
    return float(np.corrcoef(found[:count], wanted[:count])[0, 1])


def test_one_channel_and_plain_stereo_need_no_word(tmp_path, voice):
    mono = write_wave(tmp_path / "mono.wav", voice)
    stereo = write_wave(tmp_path / "stereo.wav", voice + noise(0.01), voice - noise(0.01))
    for path in (mono, stereo):
        assert choose_audio(path).note == ""
        assert np.abs(read_audio(path) - voice).max() < 2e-3


@pytest.mark.parametrize("gain", [1.0, 0.4])
def test_of_two_channels_that_cancel_one_is_heard(tmp_path, voice, gain):
    path = write_wave(tmp_path / "inverted.wav", gain * voice, -voice)
    assert loudness(read_audio(path)) > 0.9 * loudness(gain * voice)
    assert "its two audio channels cancel each other (opposite polarity)" in choose_audio(path).note


@pytest.mark.parametrize("make", [lambda voice: 0 * voice, lambda voice: hum(), lambda voice: timecode()])
@pytest.mark.parametrize("place", [0, 1])
def test_a_channel_without_speech_is_left_out(tmp_path, voice, make, place):
    channels = [make(voice), voice] if place else [voice, make(voice)]
    path = write_wave(tmp_path / "two.wav", *channels)
    assert correlation(read_audio(path), voice) > 0.99
    assert f"so only channel {place + 1} is used" in choose_audio(path).note


@pytest.mark.parametrize("place", range(4))
def test_of_a_cameras_four_sockets_the_one_with_the_microphone_is_heard(tmp_path, voice, place):
    others = [timecode(), hum(), noise()]
    channels = [*others[:place], voice, *others[place:]]
    path = write_wave(tmp_path / "four.wav", *channels)
    assert correlation(read_audio(path), voice) > 0.99
    assert f"audio channel {place + 1} of 4, with the strongest speech, is used" in choose_audio(path).note


@pytest.mark.parametrize(
    ("codec", "suffix", "layout"),
    [("aac", ".m4a", "5.1"), ("aac", ".m4a", "7.1"), ("flac", ".flac", "7.1"), ("pcm_s24le", ".mkv", "5.1")],
)
def test_surround_audio_is_heard_where_the_speech_is(tmp_path, clips, voice, codec, suffix, layout):
    count, path = {"5.1": 6, "7.1": 8}[layout], tmp_path / f"a{suffix}"
    for place in (2, count - 1):
        channels = np.stack([0.02 * noise()] * count)
        channels[place] = voice
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=RATE, layout=layout)
            clips.mux_audio(container, stream, channels, RATE, "flt", layout)
        found = read_audio(path)
        assert loudness(found) > 0.8 * loudness(voice), "the codec's own order of channels does not matter"


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_of_pcm_has_its_full_scale(tmp_path, voice, width):
    path = write_wave(tmp_path / "a.wav", voice, voice, voice, width=width)
    assert np.abs(read_audio(path) - voice).max() < 2.0 ** (2 - 8 * min(width, 2))


@pytest.mark.parametrize("kind", ["flt", "dbl"])
def test_floating_point_samples_keep_their_level(tmp_path, clips, voice, kind):
    path, codec = tmp_path / "a.mkv", {"flt": "pcm_f32le", "dbl": "pcm_f64le"}[kind]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="stereo")
        samples = np.stack([voice, voice]).astype({"flt": np.float32, "dbl": np.float64}[kind])
        clips.mux_audio(container, stream, samples, RATE, kind, "stereo", block=None)
    assert np.abs(read_audio(path) - voice).max() < 1e-4


def two_tracks(path, clips, first, second, titles=("", "")):
    """A clip with two audio tracks; neither is flagged, so the first one is the default."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        tracks = [container.add_stream("aac", rate=RATE, layout="mono") for _ in titles]
        for track, title in zip(tracks, titles, strict=True):
            track.metadata["title"] = title
        for number in range(round(SECONDS * 25)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(clips.numbered(number % 256), "rgb24")))
        container.mux(video.encode(None))
        for track, samples in zip(tracks, (first, second), strict=True):
            clips.mux_audio(container, track, samples[None], RATE)
    return path


def test_of_two_tracks_the_one_with_speech_is_taken_and_named(tmp_path, clips, voice):
    path = two_tracks(tmp_path / "screen.mkv", clips, 0 * voice, voice, ("Desktop", "Mic"))
    assert correlation(read_audio(path)[400:], voice[400:]) > 0.9
    note = check_clip_audio(path)
    assert "audio track 2 of 2 (“Mic”) is used, as track 1 of 2 (“Desktop”) has no audible speech" in note
    path = two_tracks(tmp_path / "hum.mkv", clips, hum(), voice)
    assert "audio track 2 of 2 is used" in check_clip_audio(path)


def test_of_two_tracks_with_speech_the_default_one_is_taken(tmp_path, clips, voice):
    path = two_tracks(tmp_path / "both.mkv", clips, voice, np.roll(voice, 3000), ("Voice", "Room"))
    assert correlation(read_audio(path)[400:], voice[400:]) > 0.9
    assert "audio track 1 of 2 (“Voice”) is used" in check_clip_audio(path)


@pytest.mark.parametrize("name", ["take:2.wav", "-line.wav", "line 100%d.wav", "concat:a|b.wav"])
def test_names_are_never_parsed(tmp_path, monkeypatch, voice, name):
    monkeypatch.chdir(tmp_path)
    write_wave(tmp_path / name, voice)
    assert len(read_audio(Path(name))) == len(voice)


def test_raw_errors_while_reading_become_one_sentence(tmp_path, monkeypatch, voice):
    from backend.media import audio_choice

    path = write_wave(tmp_path / "odd.wav", voice, voice)
    for error in (OverflowError("too large"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), EOFError("end")):

        def broken(frame, error=error):
            raise error

        monkeypatch.setattr(audio_choice, "samples_of", broken)
        with pytest.raises(
            MediaError, match=r"odd\.wav cannot be read near 0\.0 s \(.*\): convert it to H\.264 and AAC"
        ):
            read_audio(path)
