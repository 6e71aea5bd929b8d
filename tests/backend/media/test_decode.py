"""Any clip becomes upright images with square pixels and the right colours, at its own frame rate, chosen by time."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from backend.media.decode import FrameReader, frames, probe
from backend.workspace.frame_rate import STANDARD, as_text


def numbers(path, clips, rate=None) -> list[int]:
    return [clips.number_of(image) for _, image in frames(path, rate=rate)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_constant_25_fps_clip_maps_one_to_one(tmp_path, clips, suffix):
    path = clips.make(tmp_path / f"clip{suffix}", map(clips.numbered, range(60)))
    assert numbers(path, clips) == list(range(60))
    assert probe(path).frames == 60


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize("fps", STANDARD, ids=as_text)
def test_every_standard_rate_is_kept_frame_by_frame(tmp_path, clips, fps, suffix):
    count = 2 * round(fps)
    path = clips.make(tmp_path / f"clip{suffix}", map(clips.numbered, range(count)), fps=fps)
    assert probe(path).rate == fps
    assert numbers(path, clips) == list(range(count))


@pytest.mark.parametrize(("fps", "kept"), [(12, 24), (15, 30), (Fraction(25, 2), 25), (100, 50), (120, 60), (90, 30)])
def test_lower_and_higher_rates_become_a_standard_one_that_is_a_multiple(tmp_path, clips, fps, kept):
    path = clips.make(tmp_path / "clip.mp4", map(clips.numbered, range(60)), fps=fps)
    assert (probe(path).rate, probe(path).fps) == (kept, float(fps))
    shown = [int(index * fps / kept + 0.5) for index in range(int(60 * kept / fps))]
    found = numbers(path, clips)
    assert len(found) == len(shown)
    assert all(abs(number - wanted) <= max(1, fps / kept / 2) for number, wanted in zip(found, shown, strict=True))
    if fps > 60:
        assert set(np.diff(found)) == {fps // kept}, "evenly"


def test_a_variable_rate_becomes_the_nearest_standard_one(tmp_path, clips):
    steps = np.random.default_rng(1).uniform(0.02, 0.0485, 120)  # 29.2 a second in the mean
    path = clips.make(tmp_path / "clip.mkv", map(clips.numbered, range(120)), times_s=[0.0, *np.cumsum(steps)[:-1]])
    info = probe(path)
    assert info.rate == Fraction(30000, 1001)
    assert info.fps == pytest.approx(119 / np.sum(steps[:-1]), abs=0.05)


def test_dropped_frames_leave_the_rate_as_it_is(tmp_path, clips):
    kept = [index for index in range(90) if index % 7 not in (3, 4)]
    times = [index / 30 for index in kept]
    path = clips.make(tmp_path / "clip.mkv", map(clips.numbered, kept), fps=30, times_s=times)
    assert probe(path).rate == 30
    found = numbers(path, clips)
    assert [found[index] for index in kept] == kept


@pytest.mark.parametrize(
    "fps", [Fraction(24), Fraction(24000, 1001), Fraction(30), Fraction(30000, 1001), Fraction(50), Fraction(60)]
)
def test_another_rate_gives_the_image_nearest_in_time(tmp_path, clips, fps):
    count = 2 * round(fps)
    path = clips.make(tmp_path / "clip.mp4", map(clips.numbered, range(count)), fps=fps)
    found = numbers(path, clips, Fraction(25))
    assert abs(len(found) - count / fps * 25) < 1
    for index, number in enumerate(found):
        assert abs(number / fps - index / 25) <= 0.5 / fps + 0.001 or number == count - 1


def test_a_variable_rate_clip_shows_what_was_on_the_screen(tmp_path, clips):
    # 0.4 s at 50 a second, an image that stays for 0.6 s, then 25 a second.
    times = [index / 50 for index in range(20)] + [0.4] + [1.0 + index / 25 for index in range(25)]
    path = clips.make(tmp_path / "clip.mkv", map(clips.numbered, range(len(times))), fps=30, times_s=times)
    found = numbers(path, clips, Fraction(25))
    assert len(found) == 50
    assert found[11:25] == [20] * 14, "the image that stayed"
    assert found[25:] == list(range(21, 46))


def test_jitter_in_time_stamps_neither_drops_nor_doubles(tmp_path, clips):
    jitter = np.random.default_rng(0).uniform(-0.012, 0.012, 60)
    times = [max(index / 25 + jitter[index], 0) for index in range(60)]
    path = clips.make(tmp_path / "clip.mkv", map(clips.numbered, range(60)), times_s=times)
    assert numbers(path, clips) == list(range(60))


def test_time_begins_with_the_first_image(tmp_path, clips):
    times = [1.5 + index / 25 for index in range(30)]
    path = clips.make(tmp_path / "clip.mkv", map(clips.numbered, range(30)), times_s=times)
    assert probe(path).start_s == pytest.approx(1.5, abs=0.002)
    assert numbers(path, clips) == list(range(30))


@pytest.mark.parametrize("options", [{"g": "10"}, {"g": "250"}, {"g": "40", "x264-params": "open-gop=1:bframes=3"}])
def test_beginning_in_the_middle_gives_the_same_images(tmp_path, clips, options):
    path = clips.make(tmp_path / "clip.mp4", map(clips.numbered, range(200)), fps=30, options=options)
    full = dict(frames(path))
    part = dict(frames(path, start_s=4.0))
    assert list(part) == [time_s for time_s in full if time_s >= 4.0]
    assert all(np.array_equal(part[time_s], full[time_s]) for time_s in part)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_flags_are_applied(tmp_path, clips, degrees):
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48] = 220  # top left
    upright[:32, 48:] = (200, 30, 30)  # top right
    stored = np.rot90(upright, -degrees // 90)
    path = clips.make(tmp_path / "clip.mp4", [np.ascontiguousarray(stored)] * 5, rotation=(degrees, False, False))
    shown = next(iter(frames(path)))[1]
    info = probe(path)
    assert (info.width, info.height) == (96, 64) == shown.shape[1::-1]
    assert np.abs(shown.astype(int) - upright).mean() < 6


def test_a_mirror_flag_of_the_container_is_applied(tmp_path, clips):
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:, :48] = 220
    path = clips.make(tmp_path / "clip.mp4", [np.ascontiguousarray(upright[:, ::-1])] * 5, rotation=(0, True, False))
    assert np.abs(next(iter(frames(path)))[1].astype(int) - upright).mean() < 6


def test_interlaced_images_lose_their_combs(tmp_path, clips):
    def moving(time: float) -> np.ndarray:
        image = np.full((128, 128, 3), 40, np.uint8)
        left = round(8 * time) % 100
        image[30:100, left : left + 24] = 220
        return image

    def comb(image: np.ndarray) -> float:
        rows = image[40:90].astype(int)
        return float(np.abs(rows[2:] - 2 * rows[1:-1] + rows[:-2]).mean())

    images = []
    for index in range(40):  # the lower field is half a frame later
        images.append(moving(index))
        images[-1][1::2] = moving(index + 0.5)[1::2]
    path = clips.make(tmp_path / "tv.mp4", images, options={"x264-params": "tff=1", "crf": "10"})
    found = [image for _, image in frames(path)]
    assert len(found) == 40
    assert comb(found[20]) < 0.1 * comb(images[20])
    part = [image for _, image in frames(path, start_s=1.2)]
    assert len(part) == 10


def test_anamorphic_pixels_are_made_square(tmp_path, clips):
    image = np.full((64, 48, 3), 100, np.uint8)
    wide = clips.make(tmp_path / "wide.mp4", [image] * 5, aspect=Fraction(2, 1))
    tall = clips.make(tmp_path / "tall.mp4", [image] * 5, aspect=Fraction(1, 2))
    assert (probe(wide).width, probe(wide).height) == (96, 64)
    assert (probe(tall).width, probe(tall).height) == (48, 128)
    assert next(iter(frames(wide)))[1].shape == (64, 96, 3)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("libx265", "yuv420p10le", ".mp4"),
        ("libx265", "yuv420p", ".mov"),
        ("libx264", "yuv444p", ".mp4"),
        ("libx264", "yuv422p10le", ".mkv"),
        ("mpeg4", "yuv420p", ".avi"),
        ("ffv1", "yuv420p", ".mkv"),
    ],
)
def test_codecs_depths_and_odd_sizes(tmp_path, clips, codec, pix_fmt, suffix):
    # 4:2:0 in H.265 wants even sides here; the others take odd ones.
    height, width = (64, 96) if codec == "libx265" or pix_fmt == "yuv422p10le" else (63, 95)
    ramp = np.broadcast_to(np.linspace(40, 200, width).astype(np.uint8)[None, :, None], (height, width, 3))
    options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    path = clips.make(
        tmp_path / f"c{suffix}", [np.ascontiguousarray(ramp)] * 8, codec=codec, pix_fmt=pix_fmt, options=options
    )
    found = list(frames(path))
    assert len(found) == 8
    assert found[3][1].shape == (height, width, 3)
    assert np.abs(found[3][1].astype(int) - ramp).mean() < 3


@pytest.mark.parametrize(
    ("matrix", "tag", "full"),
    [
        (Colorspace.ITU709, 1, False),
        (Colorspace.ITU601, 6, False),
        (Colorspace.ITU709, 1, True),
        (Colorspace.ITU601, 2, False),  # untagged and small: BT.601
    ],
)
def test_colours_follow_the_clips_matrix_and_range(tmp_path, clips, matrix, tag, full):
    colours = np.array([[200, 60, 60], [60, 180, 60], [60, 60, 200], [190, 140, 115]], np.uint8)
    image = np.repeat(np.repeat(colours.reshape(2, 2, 3), 32, 0), 32, 1)
    level = ColorRange.JPEG if full else ColorRange.MPEG

    def convert(rgb: np.ndarray) -> av.VideoFrame:
        frame = VideoReformatter().reformat(
            av.VideoFrame.from_ndarray(rgb, "rgb24"), format="yuv444p", dst_colorspace=matrix, dst_color_range=level
        )
        frame.colorspace, frame.color_range = tag, level
        return frame

    tags = {"colorspace": tag, "color_range": level}
    path = clips.make(
        tmp_path / "c.mp4", [image] * 3, pix_fmt="yuv444p", tags=tags, convert=convert, options={"crf": "1"}
    )
    shown = next(iter(frames(path)))[1]
    assert np.abs(shown.astype(int) - image).max() <= 3


@pytest.mark.parametrize(("kind", "trc", "white_code"), [("hlg", 18, 0.75), ("pq", 16, 0.5806)])
def test_high_dynamic_range_is_tone_mapped(tmp_path, clips, kind, trc, white_code):
    # Code values of black, a mid grey and diffuse white (BT.2408), as neutral 10 bit signals.
    codes = np.array([0.0, 0.5 * white_code, white_code, 1.0])
    image = np.repeat(np.broadcast_to(codes[None, :, None], (64, 4, 3)), 16, 1)

    def convert(_: np.ndarray) -> av.VideoFrame:
        frame = av.VideoFrame(64, 64, "yuv420p10le")
        luma = np.round(64 + 876 * image[..., 0]).astype("<u2")
        for plane, values in zip(
            frame.planes, (luma, np.full((32, 32), 512, "<u2"), np.full((32, 32), 512, "<u2")), strict=True
        ):
            rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
            rows[:, : values.shape[1]] = values
            plane.update(rows.tobytes())
        frame.colorspace, frame.color_trc, frame.color_primaries, frame.color_range = 9, trc, 9, 1
        return frame

    tags = {"colorspace": 9, "color_trc": trc, "color_primaries": 9, "color_range": 1}
    path = clips.make(
        tmp_path / "hdr.mp4",
        [np.zeros((64, 64, 3), np.uint8)] * 3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"crf": "4", "x265-params": "log-level=error"},
        tags=tags,
        convert=convert,
    )
    assert probe(path).encoding == kind
    black, grey, white, brightest = next(iter(frames(path)))[1][32, 8::16].astype(int)
    assert black.max() <= 6
    assert 40 < grey.mean() < 160
    assert 215 < white.mean() < 250, "diffuse white is nearly white"
    assert white.mean() < brightest.mean() <= 255, "highlights stay apart"
    assert max(np.ptp(grey), np.ptp(white)) <= 3, "neutral stays neutral"


def test_a_quick_passes_converts_few_and_small_images(tmp_path, clips):
    image = np.full((240, 320, 3), 90, np.uint8)
    path = clips.make(tmp_path / "clip.mp4", [image] * 50)
    reader = FrameReader(path, every=5, max_side=160)
    found = list(reader)
    assert [round(time_s * 25) for time_s, _ in found] == list(range(0, 50, 5))
    assert {image.shape for _, image in found} == {(120, 160, 3)}
    assert reader.end_s == pytest.approx(2.0, abs=0.01)
