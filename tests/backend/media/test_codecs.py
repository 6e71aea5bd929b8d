"""Each codec, read back by FFmpeg's own programs: colours, tags, duration, alpha and audio are what was given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from backend.errors import MediaError
from backend.media.codecs import CODECS, codec_for, is_video
from backend.media.encode import VideoWriter, _set_decode_times
from backend.media.uncompressed import write_uncompressed
from backend.protocol import SYNTHETIC_MARK

WIDTH, HEIGHT, FRAMES = 256, 128, 7
FPS = Fraction(24000, 1001)
EVERY = [(name, suffix) for name, codec in CODECS.items() for suffix in codec.containers]
TAGS = {"color_primaries": "bt709", "color_transfer": "bt709", "color_space": "bt709", "color_range": "tv"}
COLOURS = np.array([[190, 140, 115], [230, 40, 40], [40, 40, 220], [128, 128, 128]])

needs_ffmpeg = pytest.mark.skipif(not (shutil.which("ffprobe") and shutil.which("ffmpeg")), reason="no ffmpeg here")


def patches(channels: int) -> np.ndarray:
    image = np.repeat(COLOURS, WIDTH // len(COLOURS), 0)[None].repeat(HEIGHT, 0)
    if channels == 3:
        return image.astype(np.uint8)
    return np.concatenate([image * 257, np.full_like(image[..., :1], 65535)], -1).astype(np.uint16)


def written(path, name, audio=None):
    with VideoWriter(path, WIDTH, HEIGHT, FPS, audio, codec=name) as video:
        for _ in range(FRAMES):
            video.write(patches(4 if video.codec.has_alpha else 3))
    return path


def probed(path) -> dict:
    shown = ["-show_streams", "-show_format", "-count_frames", "-of", "json"]
    return json.loads(subprocess.run(["ffprobe", "-v", "error", *shown, path], check=True, capture_output=True).stdout)


def decoded(path, pixels: str, channels: int, kind=np.uint8) -> np.ndarray:
    """By ffmpeg: (frames, H, W, channels)."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-sws_flags", "accurate_rnd+full_chroma_int+full_chroma_inp"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", pixels, "-"], check=True, capture_output=True).stdout
    return np.frombuffer(raw, kind).reshape(-1, HEIGHT, WIDTH, channels)


@needs_ffmpeg
@pytest.mark.parametrize(("name", "suffix"), EVERY)
def test_a_video_has_its_tags_its_frames_and_its_duration(tmp_path, name, suffix):
    found = probed(written(tmp_path / f"a{suffix}", name))
    (stream,) = found["streams"]
    assert {tag: stream.get(tag) for tag in TAGS} == TAGS
    assert int(stream["nb_read_frames"]) == FRAMES
    assert Fraction(stream["avg_frame_rate"]) == FPS or suffix == ".mkv"
    if suffix != ".mkv":  # its times are rounded to milliseconds
        assert stream["duration_ts"] * Fraction(stream["time_base"]) == FRAMES / FPS
    assert {key.lower(): value for key, value in found["format"]["tags"].items()}["comment"] == SYNTHETIC_MARK
    wanted = {
        "h264": "avc1",
        "hevc": "hvc1",
        "av1": "av01",
        "prores422hq": "apch",
        "prores4444": "ap4h",
        "dnxhr": "AVdh",
    }
    assert suffix == ".mkv" or stream["codec_tag_string"] == wanted[name]
    ten_bits = name != "h264"
    assert ("10" in stream["pix_fmt"] or "12" in stream["pix_fmt"]) == ten_bits


@needs_ffmpeg
@pytest.mark.parametrize("name", CODECS)
def test_colours_survive_in_another_program(tmp_path, name):
    shown = decoded(written(tmp_path / f"a{CODECS[name].containers[0]}", name), "rgb24", 3)
    middle = np.arange(len(COLOURS)) * (WIDTH // len(COLOURS)) + WIDTH // len(COLOURS) // 2
    found = np.stack([shown[:, 16:-16, x - 12 : x + 12].reshape(-1, 3).mean(0) for x in middle])
    assert len(shown) == FRAMES
    assert np.abs(found - COLOURS).max() < 2.5


def soft_disc() -> np.ndarray:
    """(H, W, 4) uint16, straight: a bright disc with an edge 12 pixels wide, black where it is hidden."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    alpha = np.clip((50 - np.hypot(y - HEIGHT / 2, x - WIDTH / 2)) / 12 + 0.5, 0, 1)
    colour = np.array([225, 180, 150]) * 257 * (alpha > 0)[..., None]
    return np.concatenate([colour, alpha[..., None] * 65535], -1).astype(np.uint16)


@needs_ffmpeg
def test_prores_4444_has_no_fringe_over_white_and_black(tmp_path):
    disc, path = soft_disc(), tmp_path / "a.mov"
    with VideoWriter(path, WIDTH, HEIGHT, codec="prores4444") as video:
        video.write(disc)
    (shown,) = decoded(path, "rgba64le", 4, np.uint16).astype(float)[..., :] / 65535
    given = disc / 65535.0
    assert np.abs(shown[..., 3] - given[..., 3]).max() < 2 / 1023
    assert (shown[given[..., 3] == 0, 3] == 0).all()
    for behind in (0.0, 1.0):
        seen, wanted = (rgba[..., :3] * rgba[..., 3:] + behind * (1 - rgba[..., 3:]) for rgba in (shown, given))
        assert np.abs(seen - wanted).max() < 2 / 255


def test_odd_sizes_of_prores_4444_stay(tmp_path):
    with VideoWriter(tmp_path / "a.mov", 95, 63, codec="prores4444") as video:
        video.write(np.full((63, 95, 4), 30000, np.uint16))
    with av.open(str(tmp_path / "a.mov")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (95, 63)


@pytest.mark.parametrize(
    ("subtype", "codec"), [("PCM_16", "pcm_s16le"), ("PCM_24", "pcm_s24le"), ("FLOAT", "pcm_f32le")]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_uncompressed_audio_goes_into_a_mov_sample_for_sample(tmp_path, subtype, codec, channels):
    rate = 44100
    noise = np.random.default_rng(1).integers(-(2**31), 2**31 - 1, (rate, channels)).astype(np.int32)
    samples = (noise / 2**31).astype(np.float32) if subtype == "FLOAT" else noise
    soundfile.write(tmp_path / "user.wav", samples, rate, subtype)
    write_uncompressed(tmp_path / "user.wav", tmp_path / "kept.wav")
    path = written(tmp_path / "a.mov", "prores422hq", tmp_path / "kept.wav")
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.start_time) == (codec, rate, 0)
        assert stream.duration * stream.time_base == 1
        copied = b"".join(bytes(packet) for packet in container.demux(stream))
    with open(tmp_path / "user.wav", "rb") as file:
        content = file.read()
    start = content.index(b"data") + 8
    assert copied == content[start : start + len(copied)]
    assert len(copied) == len(content) - start


def test_compressed_audio_is_kept_with_its_rate_and_channels(tmp_path):
    tone = (0.5 * np.sin(np.arange(44100) * 0.05)).astype(np.float32)
    soundfile.write(tmp_path / "user.flac", np.stack([tone, -tone], 1), 44100, "PCM_16")
    write_uncompressed(tmp_path / "user.flac", tmp_path / "kept.wav")
    kept, rate = soundfile.read(tmp_path / "kept.wav", dtype="int16")
    assert rate == 44100
    np.testing.assert_array_equal(kept, soundfile.read(tmp_path / "user.flac", dtype="int16")[0])


def test_audio_of_six_channels_becomes_mono(tmp_path):
    noise = np.random.default_rng(2).normal(0, 0.1, (48000, 6)).astype(np.float32)
    soundfile.write(tmp_path / "user.wav", noise, 48000, "PCM_16")
    write_uncompressed(tmp_path / "user.wav", tmp_path / "kept.wav")
    with wave.open(str(tmp_path / "kept.wav")) as kept:
        assert (kept.getnchannels(), kept.getframerate(), kept.getsampwidth()) == (1, 48000, 2)


def test_what_does_not_go_together_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(MediaError, match=r"^ProRes 422 HQ does not go into \.mp4 files: use \.mov\.$"):
        codec_for(tmp_path / "a.mp4", "prores422hq")
    with pytest.raises(MediaError, match=r"AV1 does not go into \.mov files: use \.mp4 or \.mkv\."):
        codec_for(tmp_path / "a.mov", "av1")
    with pytest.raises(MediaError, match=r"\.avi files are not written: use \.mp4, \.mov, or a folder"):
        is_video(tmp_path / "a.avi")
    with pytest.raises(MediaError, match=r"128 x 64 pixels cannot be written as DNxHR HQX: choose at least 256 x 120"):
        VideoWriter(tmp_path / "a.mov", 128, 64, codec="dnxhr")
    assert is_video(tmp_path / "A.MOV") and not is_video(tmp_path / "frames.v2")


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling is Linux's")
@pytest.mark.parametrize("name", CODECS)
def test_no_thread_is_left_real_time(tmp_path, name):
    """SVT-AV1 makes the thread that opens it real-time where it may, as in a farm's container."""
    before = threads_by_scheduling()
    written(tmp_path / f"a{CODECS[name].containers[0]}", name)
    assert threads_by_scheduling() == before == {os.sched_getscheduler(0)}


def threads_by_scheduling() -> set[int]:
    return {os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize("frames", [1, 2, 3, 12])
@pytest.mark.parametrize("name", CODECS)
def test_a_short_video_has_its_frames_at_their_times(tmp_path, name, frames):
    path = tmp_path / f"a{CODECS[name].containers[0]}"
    image = patches(4 if CODECS[name].has_alpha else 3)
    with VideoWriter(path, WIDTH, HEIGHT, 25, codec=name) as video:
        for _ in range(frames):
            video.write(image)
    with av.open(str(path)) as read:
        stream = read.streams.video[0]
        packets = [packet for packet in read.demux(stream) if packet.size]
        assert sorted(float(packet.pts * packet.time_base) for packet in packets) == [k / 25 for k in range(frames)]
        decoded = [packet.dts for packet in packets]
        assert decoded == sorted(set(decoded)) and all(packet.dts <= packet.pts for packet in packets)
        assert max(packet.pts - packet.dts for packet in packets) * stream.time_base < 1


def test_decode_times_come_from_the_times_of_display():
    """x265 leaves those of one or two frames uninitialised: sometimes they are right."""
    packets = [av.Packet(b"x") for _ in range(4)]
    for packet, pts in zip(packets, (0, 3, 1, 2), strict=True):
        packet.pts, packet.dts = pts, -94479090068736
    _set_decode_times(packets)
    assert [packet.dts for packet in packets] == [-1, 0, 1, 2]
