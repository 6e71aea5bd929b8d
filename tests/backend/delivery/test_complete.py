"""Complete frames: what the head does not touch has the clip's own values, and the head has the clip's encoding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from backend.delivery.complete import CompleteFrames
from backend.delivery.from_footage import FromFootage
from backend.delivery.marking import UNMARKED, Marking
from backend.delivery.shot import Shot
from backend.delivery.watermark import Kind, Message
from backend.errors import MediaError
from backend.media.encodings import encoding_of
from backend.media.samples import RGB16, SampleFormat, from_signal
from backend.progress import Reporter
from backend.protocol import NO_PORTRAIT, OURS
from backend.renderer.head import RenderedHead
from backend.workspace.images import write_image
from backend.workspace.subject import Crop
from tests.backend.delivery.made_up_person import CENTRE_PX, FRAMES, RADIUS_PX, SIZE, SKIN, WALL, draw_head, make_person

SHARES = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}


@dataclass(frozen=True)
class Source:
    """A clip that is made, of `width` x `height` as it is shown; the working frame is its square at (x, y)."""

    samples: SampleFormat = SampleFormat()
    encoder: str = "libx264"
    options: tuple[tuple[str, str], ...] = (("qp", "0"),)
    suffix: str = ".mp4"
    width: int = 480
    height: int = 400
    x: int = 90
    y: int = 40
    transfer: int = 1
    colour: str = ""
    rotation: int = 0
    aspect: Fraction = Fraction(1)

    @property
    def encoding(self):
        return encoding_of(self.colour or {16: "pq", 18: "hlg"}.get(self.transfer, ""))


X265 = (("x265-params", "log-level=error:lossless=1"),)
FFV1 = {"encoder": "ffv1", "options": (), "suffix": ".mkv"}
SOURCES = {
    "8 bit, limited": Source(),
    "8 bit, full range, 4:4:4": Source(SampleFormat(8, (0, 0), 1, True)),
    "8 bit, odd sides, 4:4:4": Source(SampleFormat(8, (0, 0)), **FFV1, width=481, height=401),
    "10 bit, HEVC, HLG": Source(SampleFormat(10, (1, 1), 9), "libx265", X265, transfer=18),
    "10 bit, 4:4:4, PQ": Source(SampleFormat(10, (0, 0), 9), **FFV1, transfer=16),
    "10 bit, 4:2:2, full range": Source(SampleFormat(10, (1, 0), 1, True), **FFV1),
    "12 bit, 4:4:4, LogC4": Source(SampleFormat(12, (0, 0), 9), **FFV1, transfer=2, colour="logc4"),
    "10 bit, 4:2:2, LogC3": Source(SampleFormat(10, (1, 0), 1), **FFV1, transfer=2, colour="logc3"),
    "upright by a flag": Source(SampleFormat(8, (0, 0)), width=400, height=480, x=40, rotation=90),
    "pixels of 4:3": Source(width=640, height=400, aspect=Fraction(4, 3)),
    "4K, 10 bit, HEVC, HLG": Source(
        SampleFormat(10, (1, 1), 9), "libx265", X265, transfer=18, width=3840, height=2160, x=1500, y=400
    ),
}
LARGE = pytest.param("4K, 10 bit, HEVC, HLG", marks=pytest.mark.slow)


class DrawnHead:
    """In place of a trained head: the oval that the frames show, wherever its pose is."""

    path, kind = Path("drawn"), "drawn"

    def renderer(self):
        return self

    def render_batch(self, camera, poses, _conditions):
        for pose in poses:
            yield RenderedHead(draw_head(pose, camera=camera))


def shot_of(root, source, size=None, shift_m=0.0):
    """The made-up person in a clip: a noisy gradient, and the person in front of it. The shot, and the planes of each frame."""
    workspace = make_person(root / "ws", Crop(source.x, source.y, SIZE), (source.width, source.height))
    rows, columns = np.mgrid[: source.height, : source.width]
    rng, samples = np.random.default_rng(5), source.samples
    gradient = 40 + 150 * columns / source.width + 40 * rows / source.height
    pose = workspace.head_track().head_to_camera[0]
    head = draw_head(pose)
    plate = cv2.imread(str(workspace.plate_path(0)))[..., ::-1].astype(np.float32) / 255
    planes = []
    for index in range(FRAMES):
        frame = head[..., :3] + (1 - head[..., 3:]) * plate
        write_image(workspace.frame_path(index), np.rint(255 * frame).astype(np.uint8))
        image = np.repeat(gradient[..., None], 3, 2).astype(np.float32) / 255
        image[source.y : source.y + SIZE, source.x : source.x + SIZE] = frame
        image = np.clip(image + rng.normal(0, 0.01, image.shape), 0.02, 0.98).astype(np.float32)
        image = source.encoding.from_working(image) if source.encoding else image
        if source.rotation:
            image = np.ascontiguousarray(np.rot90(image, -source.rotation // 90))
        stored = (round(image.shape[1] / source.aspect), image.shape[0])
        planes.append(from_signal(cv2.resize(image, stored), samples))
    clip = root / f"clip{source.suffix}"
    write_clip(clip, source, planes)
    subject = workspace.subject
    subject.source, subject.source_sha256 = str(clip), "0" * 64
    subject.corrections = replace(subject.corrections, colour=source.colour)
    workspace.save()
    track = workspace.head_track()
    animation = workspace.footage_animation(track)
    poses = animation.head_to_camera.copy()
    poses[:, 0, 3] += shift_m
    animation = replace(animation, head_to_camera=poses)
    width, height = size or subject.source_size
    camera = animation.camera.to_source(subject).scaled(width, height)
    taken = FromFootage(None, None)
    conditions = animation.blendshapes
    return Shot(workspace, DrawnHead(), animation, conditions, camera, track, taken), planes


def write_clip(path, source, frames):
    samples, rate = source.samples, Fraction(25)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(source.encoder, rate=rate, options=dict(source.options))
        stream.width, stream.height, stream.pix_fmt = *frames[0][0].shape[::-1], samples.pixels
        if source.rotation:
            stream.set_display_rotation(source.rotation)
        context = stream.codec_context
        tags = {
            "colorspace": samples.matrix,
            "color_range": 2 if samples.full_range else 1,
            "color_primaries": samples.matrix,
            "color_trc": source.transfer,
        }
        context.sample_aspect_ratio = source.aspect
        for index, planes in enumerate([*frames, *frames[-1:] * 3]):
            frame = av.VideoFrame(stream.width, stream.height, samples.pixels)
            for plane, values in zip(frame.planes, planes, strict=True):
                row = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
                row[:, : values.shape[1]] = values
                plane.update(row)
            for name, value in tags.items():
                setattr(context, name, value)
                setattr(frame, name, value)
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def truth_of(source, planes):
    """R'G'B' of stored planes, (H, W, 3) float64, upright: ITU-T H.273's formulas, chroma interpolated where it lies."""
    samples = source.samples
    first, *chroma = (plane.astype(np.float64) for plane in planes)
    height, width = first.shape
    unit = 2.0 ** (samples.bits - 8)
    for index, plane in enumerate(chroma):
        if plane.shape[0] < height:
            at = (np.arange(height) - 0.5) / 2
            plane = np.stack([np.interp(at, np.arange(len(plane)), column) for column in plane.T], 1)
        if plane.shape[1] < width:
            at = np.arange(width) / 2
            plane = np.stack([np.interp(at, np.arange(plane.shape[1]), row) for row in plane])
        chroma[index] = (plane - 128 * unit) / (256 * unit - 1 if samples.full_range else 224 * unit)
    luma = first / (256 * unit - 1) if samples.full_range else (first - 16 * unit) / (219 * unit)
    red_share, blue_share = SHARES[samples.matrix]
    red, blue = luma + 2 * (1 - red_share) * chroma[1], luma + 2 * (1 - blue_share) * chroma[0]
    green = (luma - red_share * red - blue_share * blue) / (1 - red_share - blue_share)
    return np.rot90(np.dstack([red, green, blue]), source.rotation // 90)


def untouched(source, shape):
    """Where a frame shows no head: outside of its box with a margin."""
    scale = np.array(shape[::-1]) / (source.width, source.height)
    low, high = (np.array([source.x, source.y]) + CENTRE_PX + side * (RADIUS_PX + 12) for side in (-1, 1))
    (left, top), (right, bottom) = np.floor(low * scale).astype(int), np.ceil(high * scale).astype(int)
    outside = np.ones(shape, bool)
    outside[top:bottom, left:right] = False
    return outside


@pytest.mark.parametrize("name", [*(name for name in SOURCES if name != LARGE.values[0]), LARGE])
def test_frames_of_16_bits_have_the_clips_own_values_but_for_the_head(tmp_path, name):
    source = SOURCES[name]
    shot, planes = shot_of(tmp_path, source)
    shot.write_complete_frames(tmp_path / "out", Reporter(), "png16")
    for index in range(FRAMES):
        image = cv2.imread(str(tmp_path / f"out/{index:06d}.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
        assert image.dtype == np.uint16
        expected = np.clip(truth_of(source, planes[index]), 0, 1) * 65535
        outside = untouched(source, image.shape[:2])
        assert image.shape == expected.shape and 0.7 < outside.mean() < (0.95 if source.width < 3840 else 0.999)
        assert np.abs(image - expected)[outside].max() < 0.5 + 1e-6, "the nearest of 65,535"
        inside = image[head_centre(source, image.shape)]
        shown = source.encoding.to_working(inside[None, None])[0, 0] if source.encoding else inside / 257
        np.testing.assert_allclose(shown, SKIN, atol=1.5)


def head_centre(source, shape):
    x, y = (np.array([source.x, source.y]) + CENTRE_PX) * (shape[1] / source.width, shape[0] / source.height)
    return int(y), int(x)


@pytest.mark.parametrize(
    "name", ["8 bit, limited", "10 bit, HEVC, HLG", "10 bit, 4:2:2, LogC3", "10 bit, 4:4:4, PQ", LARGE]
)
def test_exr_frames_have_the_light_of_the_clip_and_its_code_values_come_back(tmp_path, name):
    OpenEXR = pytest.importorskip("OpenEXR")
    source = SOURCES[name]
    shot, planes = shot_of(tmp_path, source)
    shot.write_complete_frames(tmp_path / "out", Reporter(), "exr")
    file = OpenEXR.File(str(tmp_path / "out/000000.exr"), separate_channels=True)
    light = np.dstack([file.channels()[channel].pixels for channel in "RGB"])
    assert light.dtype == np.float16 and "A" not in file.channels()
    light = light.astype(np.float64)
    outside = untouched(source, light.shape[:2])
    truth = truth_of(source, planes[0])
    if source.encoding is not None:
        signal = source.encoding.encode(np.maximum(light, 0))
    else:
        signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)
    code = 2**source.samples.bits - 1
    valid = outside & (truth > 0.01).all(-1)
    assert np.abs(signal - truth)[valid].max() * code < 0.5, "nearest code value of each channel"
    primaries = {9: (0.708, 0.292), 1: (0.64, 0.33)}[source.samples.matrix]
    expected = source.encoding.primaries[:2] if source.encoding else primaries
    np.testing.assert_allclose(file.header()["chromaticities"][:2], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("8 bit, limited", "h264"),
        ("10 bit, HEVC, HLG", None),
        ("8 bit, full range, 4:4:4", "h264"),
        ("pixels of 4:3", None),
        pytest.param(*LARGE.values, None, marks=LARGE.marks),
    ],
)
def test_a_videos_planes_are_the_clips_own_but_for_the_head(tmp_path, name, codec):
    """Before the codec's loss: luma always, chroma where the codec has as much of it."""
    source = SOURCES[name]
    shot, planes = shot_of(tmp_path, source)
    complete = CompleteFrames.of_video(shot, OURS, codec, Reporter())
    assert complete.canvas.stored.samples.full_range == source.samples.full_range
    assert complete.codec == ("hevc" if source.samples.bits > 8 else "h264")
    frames = complete.frames(range(FRAMES), UNMARKED.of_frames(complete.canvas.shown), Reporter())
    for frame, original in zip(frames, planes, strict=True):
        for plane, values in zip(frame, original, strict=True):
            if plane.shape == values.shape:
                outside = untouched(source, plane.shape)
                assert plane.dtype == values.dtype
                np.testing.assert_array_equal(plane[outside], values[outside])
                assert (plane[~outside] != values[~outside]).any()


@pytest.mark.parametrize(
    ("name", "codec", "suffix", "tags"),
    [
        ("8 bit, limited", "h264", ".mp4", (1, 1, 1, 1)),
        ("8 bit, full range, 4:4:4", "h264", ".mp4", (2, 1, 1, 1)),
        ("8 bit, full range, 4:4:4", "prores422hq", ".mov", (1, 1, 1, 1)),
        ("10 bit, HEVC, HLG", "hevc", ".mp4", (1, 9, 9, 18)),
        ("10 bit, HEVC, HLG", "prores422hq", ".mov", (1, 9, 9, 18)),
        ("10 bit, HEVC, HLG", "dnxhr", ".mov", (1, 1, 9, 18)),
        ("10 bit, 4:4:4, PQ", "av1", ".mp4", (1, 9, 9, 16)),
        ("10 bit, HEVC, HLG", "h264", ".mp4", (1, 1, 1, 1)),
        ("pixels of 4:3", "h264", ".mp4", (1, 1, 1, 1)),
        ("pixels of 4:3", "prores422hq", ".mov", (1, 1, 1, 1)),
    ],
)
def test_a_video_has_the_clips_tags_and_comes_back_as_it_was(tmp_path, name, codec, suffix, tags):
    source = SOURCES[name]
    shot, planes = shot_of(tmp_path, source)
    shot.write_video(tmp_path / f"out{suffix}", None, Reporter(), codec=codec)
    with av.open(str(tmp_path / f"out{suffix}")) as video:
        stream = video.streams.video[0]
        context = stream.codec_context
        found = context.color_range, context.colorspace, context.color_primaries, context.color_trc
        assert tuple(int(value) for value in found) == tags
        assert (stream.sample_aspect_ratio or 1) == source.aspect
        assert stream.frames == FRAMES and stream.average_rate == 25
        assert stream.duration * stream.time_base == Fraction(FRAMES, 25)
        frame = next(video.decode(video=0))
    with_tone_map = source.encoding is not None and codec == "h264"
    bits = frame.format.components[0].bits
    pixels = np.frombuffer(frame.planes[0], np.uint8 if bits == 8 else np.uint16)
    luma = pixels.reshape(frame.height, -1)[:, : frame.width].astype(np.float64) / 2 ** (bits - 8)
    expected = planes[0][0].astype(np.float64) / 2 ** (source.samples.bits - 8)
    if source.samples.full_range and codec != "h264":
        expected = 16 + expected * 219 / 255
    if not with_tone_map and codec != "dnxhr":
        outside = untouched(source, luma.shape)
        assert np.abs(luma - expected)[outside].mean() < 2.5 and abs((luma - expected)[outside].mean()) < 0.2


@pytest.mark.parametrize("name", ["8 bit, limited", "10 bit, HEVC, HLG", "pixels of 4:3"])
def test_the_watermark_is_found_and_only_luma_carries_it(tmp_path, name):
    source = SOURCES[name]
    shot, planes = shot_of(tmp_path, source)
    complete = CompleteFrames.of_video(shot, OURS, None, Reporter())
    marking = Marking(watermark=Message.of_clip("ab" * 32, Kind.VIDEO))
    marked = complete.frames(range(1), marking.of_frames(complete.canvas.shown, complete.canvas.size), Reporter())
    frame = next(marked)
    outside = untouched(source, frame[1].shape)
    np.testing.assert_array_equal(frame[1][outside], planes[0][1][outside])
    outside = untouched(source, frame[0].shape)
    apart = (frame[0].astype(float) - planes[0][0])[outside] / 2 ** (source.samples.bits - 8)
    assert 0.3 < apart.std() < 1.3 and abs(apart.mean()) < 0.1


def test_a_head_that_leaves_its_place_shows_the_plate_there_and_leaves_the_rest(tmp_path):
    source = SOURCES["10 bit, HEVC, HLG"]
    shot, planes = shot_of(tmp_path, source, shift_m=-0.12)
    shot.write_complete_frames(tmp_path / "out", Reporter(), "png16")
    image = cv2.imread(str(tmp_path / "out/000000.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    shown = source.encoding.to_working(image)
    y, x = head_centre(source, image.shape)
    assert np.abs(shown[y - 40, x + 35].astype(int) - WALL).max() <= 4, "the wall that was behind the head"
    assert np.abs(shown[y, x - 90].astype(int) - SKIN).max() <= 3, "the head where it is now"
    expected = np.clip(truth_of(source, planes[0]), 0, 1) * 65535
    assert np.abs(image - expected)[:, x + 80 :].max() < 0.5 + 1e-6


def test_another_size_is_the_scaled_clip(tmp_path):
    source = SOURCES["pixels of 4:3"]
    shot, planes = shot_of(tmp_path, source, size=(320, 200))
    shot.write_complete_frames(tmp_path / "out", Reporter(), "png")
    image = cv2.imread(str(tmp_path / "out/000000.png"))[..., ::-1].astype(float)
    assert image.shape == (200, 320, 3)
    expected = cv2.resize(np.clip(truth_of(source, planes[0]), 0, 1), (320, 200), interpolation=cv2.INTER_AREA) * 255
    outside = untouched(source, image.shape[:2])
    assert np.abs(image - expected)[outside].mean() < 2


def test_the_head_alone_over_the_background_replaces_the_working_frame(tmp_path):
    source = Source()
    shot, planes = shot_of(tmp_path, source)
    shot.write_complete_frames(tmp_path / "out", Reporter(), "png16", portrait=NO_PORTRAIT)
    image = cv2.imread(str(tmp_path / "out/000000.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    expected = np.clip(truth_of(source, planes[0]), 0, 1) * 65535
    assert np.abs(image[source.y + 280, source.x + 160] / 257 - WALL).max() < 2, "no body"
    outside = np.ones(image.shape[:2], bool)
    outside[source.y : source.y + SIZE, source.x : source.x + SIZE] = False
    assert np.abs(image - expected)[outside].max() < 0.5 + 1e-6


def test_frames_that_a_run_left_are_kept_and_those_of_another_clip_format_are_not(tmp_path):
    shot, _ = shot_of(tmp_path, Source())
    out = tmp_path / "out"
    shot.write_complete_frames(out, Reporter(), "png16")
    first, second = (path.read_bytes() for path in sorted(out.glob("*.png")))
    (out / "000001.png").unlink()
    (out / "000000.png").write_bytes(b"kept")
    shot.write_complete_frames(out, Reporter(), "png16")
    assert (out / "000000.png").read_bytes() == b"kept" and (out / "000001.png").read_bytes() == second
    shot.write_complete_frames(out, Reporter(), "png")
    assert (out / "000000.png").read_bytes() not in (b"kept", first)


def test_png_states_primaries_transfer_and_the_shape_of_a_pixel(tmp_path):
    shot, _ = shot_of(tmp_path, SOURCES["10 bit, HEVC, HLG"])
    shot.write_complete_frames(tmp_path / "hlg", Reporter(), "png16")
    assert b"cICP" + bytes((9, 18, 0, 1)) in (tmp_path / "hlg/000000.png").read_bytes()[:100]
    (tmp_path / "other").mkdir()
    wide, _ = shot_of(tmp_path / "other", SOURCES["pixels of 4:3"])
    wide.write_complete_frames(tmp_path / "sar", Reporter(), "png16")
    assert b"pHYs" + bytes((0, 0, 0, 3, 0, 0, 0, 4, 0)) in (tmp_path / "sar/000000.png").read_bytes()[:100]


def test_a_clip_that_is_gone_is_replaced_by_the_workspaces_images_or_asked_for(tmp_path):
    shot, _ = shot_of(tmp_path, Source())
    Path(shot.workspace.subject.source).unlink()
    with pytest.raises(MediaError, match="clip.mp4 is missing: restore it"):
        shot.write_complete_frames(tmp_path / "out", Reporter(), "png16")
    for index in range(FRAMES):
        image = np.full((400, 480, 3), 60 + index, np.uint8)
        write_image(shot.workspace.root / "footage" / f"{index:06d}.jpg", image)
    reporter = Reporter()
    shot.write_complete_frames(tmp_path / "out", reporter, "png16")
    image = cv2.imread(str(tmp_path / "out/000001.png"), cv2.IMREAD_UNCHANGED)
    assert (image[:30] == 61 * 257).all() and "is missing" in reporter.warnings[0]


def test_16_bit_frames_are_the_canvas_of_png16(tmp_path):
    shot, _ = shot_of(tmp_path, SOURCES["12 bit, 4:4:4, LogC4"])
    canvas = CompleteFrames.of_sequence(shot, OURS, "png16", Reporter()).canvas
    assert canvas.stored.samples == RGB16 and canvas.stored.encoding == "logc4" and canvas.stored.transfer == 2
