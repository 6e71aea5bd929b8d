"""Each frame at its time and no frame lost, whatever the container's time stamps are like; audio stays in place."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from backend.errors import MediaError
from backend.media import checks, frame_checks
from backend.media.audio import RATE, clip_audio
from backend.media.decode import FrameReader, frames, probe
from backend.media.encode import VideoWriter
from backend.media.source import rate_of
from backend.media.timeline import DisplayClock, Track, timeline_of
from backend.progress import Reporter
from backend.workspace.frame_rate import same_rate

B_FRAMES = {"crf": "10", "bf": "3", "b_strategy": "0", "g": "20"}


def numbers(path, clips, start_s: float = 0.0) -> list[int]:
    return [clips.number_of(image) for _, image in frames(path, start_s)]


def heard_s(path, clips) -> list[float]:
    info = probe(path)
    return clips.click_times(np.concatenate(list(clip_audio(Path(path), info.start_s, info.duration_s))))


def warned(path) -> list[str]:
    """What the first pass warns of the clip's time stamps, sizes and length, without the folder's name."""
    reporter, reader = Reporter(), FrameReader(path)
    survey = checks.Survey([time_s for time_s, _ in reader], end_s=reader.end_s)
    survey.held_s, survey.sizes = reader.held_s, reader.sizes
    checks.check_complete(reader.info, survey, reporter)
    frame_checks.report_times(reader.info, survey, reporter)
    frame_checks.report_sizes(reader.info, survey, reporter)
    return [text.replace(str(path), path.name) for text in reporter.warnings]


CONTAINERS = [
    *((suffix, "libx264", B_FRAMES) for suffix in (".mp4", ".mov", ".3gp", ".mkv", ".flv", ".ts", ".avi", ".mxf")),
    (".h264", "libx264", B_FRAMES),
    (".mp4", "libx264", B_FRAMES | {"x264-params": "open-gop=1:b-pyramid=normal"}),
    (".avi", "libx264", B_FRAMES | {"x264-params": "open-gop=1:b-pyramid=normal"}),
    (".mxf", "libx264", B_FRAMES | {"x264-params": "open-gop=1:b-pyramid=normal"}),
    (".wmv", "libx264", B_FRAMES),
    (".mkv", "libx265", {"x265-params": "log-level=none:bframes=4", "crf": "10"}),
    (".mxf", "mpeg2video", {"bf": "2", "qmin": "1", "qmax": "2", "g": "12"}),
    (".avi", "mpeg4", {"bf": "2", "qmin": "1", "qmax": "2", "g": "12"}),
    (".mpg", "mpeg2video", {"bf": "2", "qmin": "1", "qmax": "2", "g": "12"}),
    (".avi", "mjpeg", {"qmin": "1", "qmax": "2"}),
    (".webm", "libvpx-vp9", {"crf": "10", "b": "0", "cpu-used": "8"}),
    (".webm", "libvpx", {"crf": "4", "b": "2M", "cpu-used": "8"}),
]


@pytest.mark.parametrize(("suffix", "codec", "options"), CONTAINERS)
def test_every_container_gives_each_frame_at_its_place(tmp_path, clips, suffix, codec, options):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = clips.make(
        tmp_path / f"clip{suffix}", map(clips.numbered, range(90)), codec=codec, options=options, pix_fmt=pix_fmt
    )
    assert numbers(path, clips) == list(range(90))
    assert numbers(path, clips, start_s=3.0) == list(range(75, 90))
    assert probe(path).frames == 90
    assert warned(path) == []


@pytest.mark.parametrize(
    ("codec", "options"),
    [("mjpeg", {"qmin": "1", "qmax": "2"}), ("mpeg4", {"bf": "2", "qmin": "1", "qmax": "2"}), ("libx264", B_FRAMES)],
)
def test_frames_that_an_avi_dropped_keep_their_time(tmp_path, clips, codec, options):
    kept = [number for number in range(150) if number % 7 not in (3, 5)]
    path = clips.make(
        tmp_path / "clip.avi",
        map(clips.numbered, kept),
        times_s=[number / 25 for number in kept],
        codec=codec,
        options=options,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        audio=(clips.clicks([1.0, 5.0], 6.0), RATE),
        audio_codec="pcm_s16le",
    )
    found = numbers(path, clips)
    newest = [max(number for number in kept if number <= index) for index in range(kept[-1] + 1)]
    # Codecs that reorder frames write a dropped one at the place of the encoder, up to two frames ahead of the display.
    away = 2 if "bf" in options else 0
    assert len(found) == pytest.approx(len(newest), abs=away)
    assert max(abs(one - other) for one, other in zip(found, newest, strict=False)) <= away
    assert heard_s(path, clips) == pytest.approx([1.0, 5.0], abs=0.002)
    assert warned(path) == []


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".flv", ".ts", ".mov"])
def test_audio_that_outlasts_the_video_is_no_cut(tmp_path, clips, suffix):
    audio = clips.speech_like(6.0, 44100), 44100
    path = clips.make(tmp_path / f"clip{suffix}", map(clips.numbered, range(100)), audio=audio)
    assert probe(path).duration_s == pytest.approx(4.0, abs=0.05)
    assert numbers(path, clips) == list(range(100))
    assert warned(path) == []


def test_another_track_that_outlasts_the_video_is_no_cut(tmp_path, clips):
    """A second camera here; subtitles and chapters do it too."""
    first = clips.make(tmp_path / "first.mkv", map(clips.numbered, range(80)))
    second = clips.make(tmp_path / "second.mkv", map(clips.numbered, range(140)))
    path = tmp_path / "clip.mkv"
    with av.open(str(first)) as one, av.open(str(second)) as other, av.open(str(path), "w") as out:
        streams = [out.add_stream_from_template(source.streams.video[0]) for source in (one, other)]
        for source, stream in zip((one, other), streams, strict=True):
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    assert numbers(path, clips) == list(range(80))
    assert warned(path) == []


@pytest.mark.parametrize(("suffix", "kept"), [(".mkv", 0.6), (".flv", 0.6), (".avi", 0.6), (".mkv", 0.8)])
def test_a_file_that_is_cut_off_is_found_by_its_own_length(tmp_path, clips, suffix, kept):
    audio = clips.speech_like(5.0, 44100), 44100
    images = (np.random.default_rng(index).integers(0, 255, (64, 64, 3), np.uint8) for index in range(100))
    path = clips.make(tmp_path / f"clip{suffix}", images, audio=audio)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * kept)])
    with pytest.raises(
        MediaError, match=r"is cut off: it should last [45]\.\d s but its video ends at \d\.\d s\. Copy"
    ):
        warned(path)


def test_a_live_recording_states_no_length_and_is_no_cut(tmp_path, clips):
    # Much video and little audio of a stated bit rate: FFmpeg guesses a length of minutes.
    images = (np.random.default_rng(index).integers(0, 255, (64, 64, 3), np.uint8) for index in range(100))
    path = clips.make(
        tmp_path / "clip.mkv",
        images,
        codec="libvpx",
        options={"b": "3M", "cpu-used": "8"},
        audio=(clips.speech_like(4.0, 44100), 44100),
        audio_codec="libmp3lame",
        container_options={"live": "1"},
    )
    assert probe(path).frames == 100
    assert warned(path) == []


def test_the_end_of_a_damaged_track_is_reported(tmp_path, clips):
    path = clips.make(tmp_path / "clip.mp4", map(clips.numbered, range(100)))
    reader = FrameReader(path)
    reporter = Reporter()
    checks.check_complete(reader.info, checks.Survey(end_s=3.6), reporter)
    (warning,) = reporter.warnings
    assert warning.startswith("The last 0.4 s of the video of ")


@pytest.mark.parametrize("lengths", [(50, 60), (60, 50), (40, 40)])
@pytest.mark.parametrize(("bframes", "rate"), [("0", 48000), ("3", 48000), ("3", 8000)])
def test_joined_transport_streams_lose_nothing(tmp_path, clips, lengths, bframes, rate):
    joined, first = tmp_path / "joined.ts", 0
    for part, count in enumerate(lengths):
        path = clips.make(
            tmp_path / f"{part}.ts",
            map(clips.numbered, range(first, first + count)),
            options={"crf": "10", "bf": bframes, "b_strategy": "0"},
            audio=(clips.clicks([0.2, 1.0], count / 25, rate), rate),
        )
        first += count
        with open(joined, "ab") as file:
            file.write(path.read_bytes())
    found = numbers(joined, clips)
    assert sorted(set(found)) == list(range(sum(lengths)))
    assert len(found) <= sum(lengths) + 1, "the padding of the audio holds no image"
    second_s = found.index(lengths[0]) / 25
    times_s = heard_s(joined, clips)
    assert times_s == pytest.approx([0.2, 1.0, second_s + 0.2, second_s + 1.0], abs=0.03 if rate > 8000 else 0.1)
    (warning,) = warned(joined)
    assert warning == (
        f"The time stamps of joined.ts restart at {lengths[0] / 25:.1f} s (joined files?): the parts were "
        "put one after another."
    )


def _with_gap(path: Path, clips, gap_s: float, audio_gap_s: float) -> Path:
    """50 frames, a gap, 50 frames; a click in each half of the audio, its gap after 2 s."""
    images, pairs = clips.make(path.with_name("plain.mkv"), map(clips.numbered, range(100)),
        audio=(clips.clicks([1.0, 3.0], 4.0), RATE), options={"crf": "10", "bf": "0"}), []  # fmt: skip
    with av.open(str(images)) as source, av.open(str(path), "w") as out:
        streams = {one.index: out.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            seconds = float(packet.pts * packet.time_base)
            extra_s = (gap_s if packet.stream.type == "video" else audio_gap_s) if seconds >= 1.99 else 0
            ticks = round(extra_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = streams[packet.stream.index]
            pairs.append(packet)
        for packet in sorted(pairs, key=lambda one: one.dts * one.time_base):
            out.mux(packet)
    return path


@pytest.mark.parametrize("gap_s", [5.0, 90000.0])
def test_a_pause_in_all_tracks_is_left_out_and_reported(tmp_path, clips, gap_s):
    path = _with_gap(tmp_path / "clip.mkv", clips, gap_s, gap_s)
    found = numbers(path, clips)
    assert sorted(set(found)) == list(range(100))
    assert len(found) <= 102, "as much is left out of each track; audio packets begin and end at other times"
    assert heard_s(path, clips) == pytest.approx([1.0, found.index(75) / 25], abs=0.07)
    assert warned(path) == [
        f"The time stamps of clip.mkv jump by {gap_s:.1f} s at 2.0 s (video and audio): the gap was left out."
    ]


def test_a_jump_of_the_video_alone_that_nothing_fills_is_left_out(tmp_path, clips):
    path = _with_gap(tmp_path / "clip.mkv", clips, 90000.0, 0.0)
    assert numbers(path, clips) == list(range(100))
    assert heard_s(path, clips) == pytest.approx([1.0, 3.0], abs=0.07)
    assert warned(path) == ["The time stamps of clip.mkv jump by 90000.0 s at 2.0 s (video): the gap was left out."]


def test_an_image_that_stays_while_the_audio_resumes_is_held_and_reported(tmp_path, clips):
    times_s = [index / 25 + (2.0 if index >= 50 else 0.0) for index in range(100)]
    path = clips.make(
        tmp_path / "clip.mkv",
        map(clips.numbered, range(100)),
        times_s=times_s,
        audio=(clips.clicks([1.0, 3.0, 5.0], 6.0), RATE),
    )
    assert numbers(path, clips) == [*range(49), *[49] * 51, *range(50, 100)]
    assert heard_s(path, clips) == pytest.approx([1.0, 3.0, 5.0], abs=0.07)
    (warning,) = warned(path)
    assert warning.startswith("The video freezes in clip.mkv from 2.0 s to 4.0 s: cut")


def test_a_last_image_that_stays_is_held_and_reported(tmp_path, clips):
    """As screen recorders write: the last frame lasts until the recording ends."""
    path = clips.make(tmp_path / "plain.mp4", map(clips.numbered, range(60)), options={"crf": "10", "bf": "0"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "clip.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.time_base = source.streams.video[0].time_base
        found = [one for one in source.demux() if one.size]
        found[-1].duration = round(1.64 / found[-1].time_base)
        for packet in found:
            packet.stream = stream
            out.mux(packet)
    assert numbers(tmp_path / "clip.mp4", clips) == [*range(59), *[59] * 41]
    (warning,) = warned(tmp_path / "clip.mp4")
    assert warning.startswith("The video freezes in clip.mp4 from 2.4 s to 4.0 s: cut")


def test_time_stamps_that_step_back_a_little_hide_no_frame(tmp_path, clips):
    path = clips.make(tmp_path / "sorted.mp4", map(clips.numbered, range(60)), options={"crf": "10", "bf": "0"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "clip.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.time_base = source.streams.video[0].time_base
        for index, packet in enumerate(one for one in source.demux() if one.dts is not None):
            packet.dts -= int(Fraction(2, 25) / packet.time_base)  # as of a codec that reorders frames
            packet.pts += int(Fraction({20: 1, 21: -1}.get(index, 0), 25) / packet.time_base)
            packet.stream = stream
            out.mux(packet)
    found = numbers(tmp_path / "clip.mp4", clips)
    assert len(found) == 60
    assert len(set(found)) >= 59
    assert max(abs(number - index) for index, number in enumerate(found)) <= 1


@pytest.mark.parametrize(("side", "border"), [((96, 96), 0), ((32, 32), 0), ((128, 64), 16)])
def test_frames_of_another_size_are_fitted_into_the_first(tmp_path, clips, side, border):
    width, height = side

    def resized(number: int) -> np.ndarray:
        rows, columns = np.arange(height) * 64 // height, np.arange(width) * 64 // width
        return np.ascontiguousarray(clips.numbered(number)[rows][:, columns])

    joined = tmp_path / "clip.ts"
    first = clips.make(tmp_path / "a.ts", map(clips.numbered, range(50)))
    second = clips.make(tmp_path / "b.ts", map(resized, range(50, 100)))
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    found = [image for _, image in frames(joined)]
    assert {image.shape for image in found} == {(64, 64, 3)}
    assert [clips.number_of(image) for image in found[:50]] == list(range(50))
    rows = np.arange(64) * (64 - 2 * border) // 64 + border
    assert [clips.number_of(image[rows]) for image in found[50:]] == list(range(50, 100))
    if border:
        assert max(image[: border - 2].max() for image in found[50:]) == 0, "no distortion: black borders"
    assert any(
        text.startswith(f"The frames of clip.ts change size at 2.0 s, from 64 x 64 to {width} x {height} pixels:")
        for text in warned(joined)
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no such names on Windows")
@pytest.mark.parametrize(
    "name", ["take:3.mp4", "http:clip.mkv", "-clip.mov", "clip 100%d.mp4", "Screencast 13:19:57.mp4"]
)
def test_names_are_never_taken_for_protocols_or_patterns(tmp_path, clips, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with VideoWriter(name, 64, 64, audio=(clips.clicks([0.5], 2.0), RATE)) as video:
        for number in range(50):
            video.write(clips.numbered(number))
    assert (tmp_path / name).is_file()
    assert numbers(name, clips) == list(range(50))
    assert heard_s(name, clips) == pytest.approx([0.5], abs=0.07)


def test_rounded_rates_are_the_ones_that_were_meant(tmp_path, clips):
    for rate in (Fraction(60000, 1001), Fraction(24000, 1001), Fraction(30), Fraction(25, 2)):
        path = clips.make(tmp_path / "clip.mkv", map(clips.numbered, range(60)), fps=rate)
        with av.open(str(path)) as container:
            assert rate_of(container.streams.video[0]) == rate
    assert same_rate(19001 / 317, Fraction(60000, 1001))
    assert not same_rate(24, Fraction(24000, 1001))


def test_a_rate_that_no_camera_has_is_measured(tmp_path, clips):
    path = _with_gap(tmp_path / "clip.mkv", clips, 0.0, 0.0)  # remuxed: the file states 30000 frames a second
    assert probe(path).fps == 25
    assert numbers(path, clips) == list(range(100))


def test_a_raw_stream_has_the_rate_its_codec_states(tmp_path, clips):
    path = clips.make(tmp_path / "clip.h264", map(clips.numbered, range(48)), fps=12)
    assert probe(path).fps == 12
    assert probe(path).duration_s == pytest.approx(4.0)


@pytest.mark.parametrize("lost", [range(0), range(40, 60), range(41, 160, 6)])
def test_lost_frames_do_not_shift_the_ones_behind(lost):
    # I P B B P B B ... in coding order, one key frame at the start.
    coded = [0, *(number for p in range(3, 180, 3) for number in (p, p - 2, p - 1))]
    numbers_of = {shown: number for number, shown in enumerate(coded)}
    stamps = np.arange(len(coded), dtype=np.int64)
    none = np.zeros(len(coded), np.int64)
    track = Track(Fraction(1, 25), stamps, none + 1, none > 0, none, Fraction(25), True, 1)
    clock = DisplayClock(track)
    for shown in range(len(coded)):
        if numbers_of[shown] in lost:
            continue
        frame = av.VideoFrame(16, 16, "gray")
        frame.pts = numbers_of[shown]
        clock.set_time(frame)
        assert abs(frame.pts - shown) <= (1 if len(lost) else 0)


def test_a_file_is_listed_once(tmp_path, clips):
    path = clips.make(tmp_path / "clip.mp4", map(clips.numbered, range(10)))
    assert timeline_of(path) is timeline_of(path)
