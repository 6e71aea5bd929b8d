"""Random variations of the master clip, made with the ffmpeg executable: what people hand over, and worse."""

from __future__ import annotations

import random
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import master

X264 = "-c:v libx264 -preset veryfast -crf 18"
ENCODERS = {
    "h264": X264,
    "h264 bframes": f"{X264} -bf 3 -b_strategy 0 -g 30",
    "h264 open gop": f"{X264} -bf 3 -x264-params open-gop=1:keyint=20:b-adapt=0",
    "h264 no bframes": f"{X264} -bf 0",
    "h264 422 10 bit": f"{X264} -pix_fmt yuv422p10le",
    "h264 444": f"{X264} -pix_fmt yuv444p",
    "h264 full range": f"{X264} -pix_fmt yuvj420p",
    "h264 interlaced": f"{X264} -flags +ildct+ilme -x264-params tff=1",
    "hevc": "-c:v libx265 -preset ultrafast -crf 18 -x265-params log-level=none",
    "hevc 10 bit": "-c:v libx265 -preset ultrafast -crf 18 -pix_fmt yuv420p10le -x265-params log-level=none",
    "mpeg4": "-c:v mpeg4 -q:v 3",
    "mpeg4 bframes": "-c:v mpeg4 -q:v 3 -bf 2",
    "mpeg2": "-c:v mpeg2video -q:v 3 -bf 2",
    "mpeg1": "-c:v mpeg1video -q:v 3",
    "mjpeg": "-c:v mjpeg -q:v 3 -pix_fmt yuvj422p",
    "prores": "-c:v prores_ks",
    "prores 4444": "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le",
    "dnxhr": "-c:v dnxhd -profile:v dnxhr_hq -pix_fmt yuv422p",
    "qtrle": "-c:v qtrle",
    "png": "-c:v png",
    "ffv1": "-c:v ffv1",
    "ffv1 alpha": "-c:v ffv1 -pix_fmt bgra",
    "huffyuv": "-c:v huffyuv -pix_fmt yuv422p",
    "utvideo": "-c:v utvideo -pix_fmt yuv420p",
    "raw": "-c:v rawvideo -pix_fmt yuv420p",
    "vp8": "-c:v libvpx -b:v 2M -cpu-used 8 -deadline realtime",
    "vp9": "-c:v libvpx-vp9 -crf 20 -b:v 0 -cpu-used 8 -deadline realtime",
    "theora": "-c:v libtheora -q:v 8",
    "wmv2": "-c:v wmv2 -b:v 2M",
    "msmpeg4": "-c:v msmpeg4 -b:v 2M",
    "flv1": "-c:v flv -b:v 2M",
    "h263": "-c:v h263 -b:v 1M",
    "av1": "-c:v libsvtav1 -preset 12 -crf 30",
}
SPEECH = {  # name: (encoder, largest number of channels, sample rates or none for any)
    "aac": ("-c:a aac", 8, ()),
    "mp3": ("-c:a libmp3lame", 2, (8000, 16000, 22050, 32000, 44100, 48000)),
    "mp2": ("-c:a mp2", 2, (16000, 22050, 32000, 44100, 48000)),
    "ac3": ("-c:a ac3", 6, (32000, 44100, 48000)),
    "eac3": ("-c:a eac3", 6, (32000, 44100, 48000)),
    "opus": ("-c:a libopus", 8, (8000, 16000, 48000)),
    "vorbis": ("-c:a libvorbis", 8, ()),
    "flac": ("-c:a flac", 8, ()),
    "alac": ("-c:a alac", 8, ()),
    "pcm16": ("-c:a pcm_s16le", 8, ()),
    "pcm24": ("-c:a pcm_s24le", 8, ()),
    "pcm float": ("-c:a pcm_f32le", 8, ()),
    "pcm big endian": ("-c:a pcm_s16be", 8, ()),
    "pcm 48": ("-c:a pcm_s16le", 2, (48000,)),
    "adpcm": ("-c:a adpcm_ms", 2, ()),
    "wma": ("-c:a wmav2", 2, (16000, 22050, 44100, 48000)),
    "amr": ("-c:a libopencore_amrnb -b:a 12.2k", 1, (8000,)),
    "flv aac": ("-c:a aac", 2, (16000, 44100, 48000)),
    "flv mp3": ("-c:a libmp3lame", 2, (22050, 44100)),
}
_H264 = ("h264", "h264 bframes", "h264 open gop", "h264 no bframes", "h264 interlaced")
CONTAINERS = {  # suffix: (video, audio, options)
    "mp4": (
        (*_H264, "h264 422 10 bit", "h264 444", "h264 full range", "hevc", "hevc 10 bit", "mpeg4", "av1", "vp9"),
        ("aac", "mp3", "ac3", "opus", "flac", "alac"),
        (
            "",
            "-movflags +faststart",
            "-movflags +frag_keyframe+empty_moov",
            "-video_track_timescale 600",
            "-video_track_timescale 90000",
            "-movflags +faststart -brand mp42",
        ),
    ),
    "mov": (
        (*_H264, "hevc", "prores", "prores 4444", "dnxhr", "mjpeg", "qtrle", "png", "mpeg2"),
        ("aac", "alac", "pcm16", "pcm24", "pcm float", "pcm big endian", "mp3"),
        ("", "-video_track_timescale 600", "-video_track_timescale 1000"),
    ),
    "m4v": ((*_H264, "mpeg4"), ("aac", "ac3"), ("",)),
    "3gp": (("h264 no bframes", "h263", "mpeg4"), ("aac", "amr"), ("",)),
    "mkv": (
        (
            *_H264,
            "hevc",
            "mpeg4 bframes",
            "mpeg2",
            "ffv1",
            "ffv1 alpha",
            "vp8",
            "vp9",
            "theora",
            "mjpeg",
            "huffyuv",
            "utvideo",
            "raw",
            "av1",
            "prores",
        ),
        ("aac", "mp3", "mp2", "ac3", "eac3", "opus", "vorbis", "flac", "pcm16", "pcm24", "pcm float"),
        ("", "-live 1", "-cluster_time_limit 500"),
    ),
    "webm": (("vp8", "vp9", "av1"), ("opus", "vorbis"), ("", "-live 1")),
    "avi": (
        ("mpeg4", "mpeg4 bframes", "h264", "h264 bframes", "mjpeg", "huffyuv", "utvideo", "ffv1", "raw", "msmpeg4"),
        ("mp3", "pcm16", "ac3", "adpcm", "mp2"),
        ("",),
    ),
    "flv": (("flv1", *_H264[:4]), ("flv aac", "flv mp3"), ("",)),
    "ts": (
        (*_H264, "hevc", "mpeg2"),
        ("aac", "mp2", "ac3", "mp3"),
        ("", "-muxdelay 0 -muxpreload 0", "-mpegts_flags +resend_headers"),
    ),
    "m2ts": (_H264, ("ac3", "pcm 48"), ("",)),
    "mpg": (("mpeg2", "mpeg1"), ("mp2", "ac3"), ("",)),
    "vob": (("mpeg2",), ("mp2", "ac3"), ("",)),
    "mxf": (("mpeg2", "dnxhr", "h264 bframes", "h264 no bframes"), ("pcm 48",), ("",)),
    "wmv": (("wmv2", "msmpeg4"), ("wma", "mp3"), ("",)),
    "ogv": (("theora",), ("vorbis", "opus"), ("",)),
    "nut": (("h264", "mpeg4", "ffv1"), ("aac", "pcm16", "flac"), ("",)),
    "h264": (("h264", "h264 bframes"), (), ("",)),
}
RATES = (
    "10",
    "12",
    "15",
    "20",
    "24000/1001",
    "24",
    "25",
    "25",
    "25",
    "30000/1001",
    "30",
    "48",
    "50",
    "60000/1001",
    "60",
    "120",
)
SIZES = ((256, 256), (256, 256), (192, 192), (320, 240), (256, 192), (240, 320), (255, 253))
NAMES = ("clip", "a clip", "take:3", "100%d", "-line", "Größe ü 名", "it's", "x" * 120, "a.b.c", "#1 & 2?")
_TURN = {90: "transpose=2", 180: "hflip,vflip", 270: "transpose=1"}
ONLY_SOME_SIZES = {"h263": ((176, 144), (352, 288)), "dnxhr": ((256, 256), (320, 240))}


@dataclass
class Variation:
    """What was made, and what reading it should give.

    Attributes:
        what: in words.
        path: of the file.
        starts_s: time of the master at which the video begins.
        lasts_s: length of the video.
        rate: frames a second.
        audio_late_s: how much later than in the master the audio is, against the video.
        has_audio: a track with the speech.
        cut: some bytes of the end are missing.
        states_length: the container says how long it should be.
        dropped: frames were left out.
        rotation: of the display, in degrees clockwise.
    """

    number: int
    what: list[str] = field(default_factory=list)
    path: Path = Path()
    starts_s: float = 0.0
    lasts_s: float = 0.0
    rate: float = 25.0
    audio_late_s: float = 0.0
    has_audio: bool = True
    cut: bool = False
    states_length: bool = True
    dropped: bool = False
    rotation: int = 0


def make(number: int, seed: int, source: Path, folder: Path) -> Variation:
    """Make variation `number`: the same one for the same seed, wherever ffmpeg has the same encoders."""
    for attempt in range(20):
        draw = random.Random(f"{seed}-{number}-{attempt}")
        variation = Variation(number)
        try:
            _make(variation, draw, source, folder)
        except subprocess.CalledProcessError:
            variation.path.unlink(missing_ok=True)
            continue
        return variation
    raise RuntimeError(f"ffmpeg makes no variation {number}")


def _make(variation: Variation, draw: random.Random, source: Path, folder: Path) -> None:
    suffix = draw.choice(list(CONTAINERS))
    videos, audio_codecs, options = CONTAINERS[suffix]
    video, option = draw.choice(videos), draw.choice(options)
    rate = (
        draw.choice(RATES) if suffix not in ("mpg", "vob", "mxf") else draw.choice(("24000/1001", "25", "30000/1001"))
    )
    if video in ("mpeg2", "mpeg1"):
        rate = draw.choice(("24000/1001", "25", "30000/1001", "50"))
    variation.path = folder / f"{number_text(variation.number)}{draw.choice(NAMES)}.{suffix}"
    if variation.path.name[4:5] == "-":
        variation.path = folder / f"-{variation.path.name}"
    variation.what = [suffix, video, f"{rate} fps"]
    variation.states_length = (
        suffix not in ("ts", "m2ts", "mpg", "vob", "ogv", "nut", "h264")
        and option != "-live 1"
        and "frag" not in option
    )
    variation.rate = eval_rate(rate)
    starts_s = draw.choice((0.0, 0.0, 0.4, 1.2))
    lasts_s = round(draw.uniform(4.0, master.SECONDS - starts_s), 2)
    late_s = draw.choice((0.0, 0.0, 0.0, 0.1, 0.3, 0.8, -0.3))
    if suffix in ("avi", "mxf"):  # They keep no time at which a track begins.
        late_s = 0.0
    joined = suffix in ("ts", "m2ts", "mpg", "vob") and draw.random() < 0.3
    late_s = 0.0 if joined else late_s
    filters = [f"fps={rate}"]
    if draw.random() < 0.15 and not joined and suffix not in ("mpg", "vob", "mxf", "h264", "ogv", "3gp"):
        share = draw.choice((0.1, 0.3))
        filters.append(f"select='gt(random({draw.randrange(1000)})\\,{share})+eq(n\\,0)'")
        variation.dropped = True
        variation.what.append(f"{share:.0%} of the frames dropped")
    _image(variation, draw, filters, video, suffix)
    output = ["-map", "0:v", "-vf", ",".join(filters), *ENCODERS[video].split()]
    if variation.dropped:
        output += ["-fps_mode", "vfr"]
        output += ["-enc_time_base", f"1/{rate}"] if "/" not in rate and suffix == "avi" else []
    variation.has_audio = bool(audio_codecs) and draw.random() < 0.96
    if variation.has_audio:
        output += _audio(variation, draw, draw.choice(audio_codecs), late_s)
        variation.audio_late_s = late_s
    else:
        variation.what.append("no audio")
    output += [*option.split(), "-strict", "-2"]
    if option:
        variation.what.append(option)
    made = variation.path.with_name(f"made-{variation.number}.{suffix}")
    parts = [(starts_s, lasts_s)]
    if joined:
        variation.what.append("two files joined")
        parts = [(starts_s, 2.2), (starts_s + 2.2, lasts_s - 2.2)]
    try:
        data = b"".join(_encoded(source, part, late_s, output, variation.has_audio, made) for part in parts)
        variation.starts_s, variation.lasts_s = starts_s, lasts_s
        if suffix in ("mp4", "mov") and video.startswith("h264") and not late_s and draw.random() < 0.3:
            data = _trimmed(variation, made)
        _write(variation, draw, data)
    finally:
        made.unlink(missing_ok=True)


_FFMPEG = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]


def _encoded(
    source: Path, part: tuple[float, float], late_s: float, output: list[str], has_audio: bool, made: Path
) -> bytes:
    cut = ["-ss", f"{part[0]}", "-t", f"{part[1]}", "-i", str(source)]
    second = ["-itsoffset", f"{late_s}", *cut] if has_audio else []
    subprocess.run([*_FFMPEG, *cut, *second, *output, str(made)], check=True, capture_output=True)
    if has_audio:
        _check_audio(made, 0.9 * (part[1] - abs(late_s)))
    return made.read_bytes()


def _trimmed(variation: Variation, made: Path) -> bytes:
    """Cut the beginning off without coding again: an edit list hides what is left before it."""
    trimmed = made.with_name(f"trimmed-{made.name}")
    try:
        copy = ["-ss", "0.7", "-i", str(made), "-map", "0", "-c", "copy", str(trimmed)]
        subprocess.run([*_FFMPEG, *copy], check=True, capture_output=True)
        data = trimmed.read_bytes()
    finally:
        trimmed.unlink(missing_ok=True)
    variation.starts_s, variation.lasts_s = variation.starts_s + 0.7, variation.lasts_s - 0.7
    variation.what.append("trimmed by an edit list")
    return data


def _check_audio(made: Path, least_s: float) -> None:
    """Draw again where ffmpeg wrote no audio, silence, or not all of it, and reported nothing."""
    decode = [*_FFMPEG, "-i", str(made), "-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s16le", "-"]
    samples = np.frombuffer(subprocess.run(decode, check=True, capture_output=True).stdout, "<i2")
    if len(samples) < 8000 * least_s or np.abs(samples.astype(int)).max() < 1000:
        raise subprocess.CalledProcessError(1, decode)


def _write(variation: Variation, draw: random.Random, data: bytes) -> None:
    if variation.rotation:
        data = _set_rotation(data, variation.rotation)
    if draw.random() < 0.12:
        variation.cut = True
        data = data[: round(len(data) * draw.uniform(0.3, 0.995))]
        variation.what.append(f"cut off after {len(data)} bytes")
    elif draw.random() < 0.05:
        variation.cut = True
        broken, start = bytearray(data), draw.randrange(len(data) // 4, len(data) - 200)
        broken[start : start + 200] = draw.randbytes(200)
        data = bytes(broken)
        variation.what.append("200 random bytes inside")
    variation.path.write_bytes(data)


def _image(variation: Variation, draw: random.Random, filters: list[str], video: str, suffix: str) -> None:
    width, height = draw.choice(ONLY_SOME_SIZES.get(video, SIZES))
    if (width % 2 or height % 2) and video not in ("ffv1", "png", "qtrle", "vp8", "vp9", "h264 444"):
        width, height = 256, 256
    aspect = draw.choice(("1",) * 6 + ("4/3", "16/11", "8/9")) if suffix in ("mp4", "mov", "mkv", "ts", "m4v") else "1"
    filters.append(f"scale={width}:{height},setsar={aspect}")
    variation.what.append(f"{width}x{height}")
    if aspect != "1":
        variation.what.append(f"pixel aspect {aspect}")
    if suffix in ("mp4", "mov") and draw.random() < 0.2:
        turn = draw.choice(list(_TURN))
        filters.append(_TURN[turn])
        variation.rotation = turn
        variation.what.append(f"rotated {turn}")


def _set_rotation(data: bytes, degrees: int) -> bytes:
    """Write a rotation into the first track header of an MP4 or MOV: ISO/IEC 14496-12, 8.3.2."""
    matrix = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    return data[:start] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[start + 36 :]


def _audio(variation: Variation, draw: random.Random, name: str, late_s: float) -> list[str]:
    encoder, most, rates = SPEECH[name]
    channels = draw.choice((1, 1, 2, 2, *range(1, most + 1)))
    channels = min(channels, most)
    rate = draw.choice(rates or (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000))
    speaks = draw.choice(("all", "first", "last"))
    layout = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}[channels]
    on = {"all": range(channels), "first": (0,), "last": (channels - 1,)}[speaks]
    pan = f"pan={layout}|" + "|".join(f"c{k}={'c0' if k in on else '0*c0'}" for k in range(channels))
    variation.what.append(f"{name} {rate} Hz, {channels} channels, speech on {speaks}")
    if late_s:
        variation.what.append(f"audio {late_s:+} s")
    return ["-map", "1:a", "-af", pan, *encoder.split(), "-ar", str(rate)]


def number_text(number: int) -> str:
    return f"{number:03d} "


def eval_rate(rate: str) -> float:
    top, _, bottom = rate.partition("/")
    return float(top) / float(bottom or 1)
