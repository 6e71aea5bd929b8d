"""The watermark: it is found after what videos go through, it cannot be seen, and it is not found where there is none."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.delivery.canvas import Canvas
from backend.delivery.marking import Marking
from backend.delivery.watermark import PIECE_FRAMES, Detector, Kind, Marker, Message, detect
from backend.delivery.watermark.marker import BLUE_GAIN
from backend.delivery.watermark.message import CODED_BITS, decode, encode
from backend.media.decode import frames as read_frames
from backend.media.encode import VideoWriter
from backend.media.samples import RGB8, StoredFormat

MESSAGE = Message.of("a delivery")
SIDE = 512


def textured(count: int = PIECE_FRAMES, seed: int = 0, side: int = SIDE) -> list[np.ndarray]:
    """A flat wall with slow waves and grain of a camera, and a textured disc that moves before it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    wall = 120 + 30 * np.sin(x / 170 + seed) + 20 * np.cos(y / 120)
    texture = cv2.GaussianBlur(rng.normal(0, 60, (side, side)).astype(np.float32), (0, 0), 2) * 3
    found = []
    for index in range(count):
        centre = side / 2 + 20 * np.sin(index / 8)
        disc = np.hypot(x - centre, y - side * 0.55) < side * 0.28
        grey = np.where(disc, 150 + np.roll(texture, round(centre), 1), wall) + rng.normal(0, 1.5, (side, side))
        found.append(np.clip(grey[..., None] * [1.0, 0.9, 0.8], 0, 255).astype(np.uint8))
    return found


def marked(frames: list[np.ndarray], message: Message = MESSAGE) -> list[np.ndarray]:
    marker = Marker(frames[0].shape[1], frames[0].shape[0], message)
    return [marker.embed(frame) for frame in frames]


def reencoded(frames: list[np.ndarray], path: Path, crf: float = 28) -> list[np.ndarray]:
    with VideoWriter(path, frames[0].shape[1], frames[0].shape[0], crf=crf, preset="veryfast") as video:
        for frame in frames:
            video.write(np.ascontiguousarray(frame))
    return [image for _, image in read_frames(path)]


def halved(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for frame in frames]


def cropped(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [frame[91 : 91 + 358, 37 : 37 + 358] for frame in frames]


def brightened(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [cv2.convertScaleAbs(frame, alpha=1.1) for frame in frames]


@pytest.fixture(scope="module")
def clean() -> list[np.ndarray]:
    return textured()


@pytest.mark.long
@pytest.mark.parametrize(("change", "crf"), [(list, 28), (halved, 22), (cropped, 25), (brightened, 28)])
def test_the_message_is_read_after_a_change_and_a_coarse_encoding(clean, change, crf, tmp_path):
    assert detect(reencoded(change(marked(clean)), tmp_path / "a.mp4", crf)).message == MESSAGE


@pytest.mark.long
def test_the_message_is_read_after_three_generations(clean, tmp_path):
    frames = marked(clean)
    for generation in range(3):
        frames = reencoded(frames, tmp_path / f"{generation}.mp4")
    assert detect(frames).message == MESSAGE


@pytest.mark.long
def test_a_small_frame_whose_edges_do_not_move_has_the_message_after_a_coarse_encoding(speaker_frames, tmp_path):
    frames = marked(speaker_frames[:PIECE_FRAMES])
    assert detect(reencoded(frames, tmp_path / "a.mp4", 32)).message == MESSAGE


def test_a_single_frame_has_the_message_and_its_tile(clean):
    found = detect(marked(clean[:1]))
    assert found.message == MESSAGE
    assert found.tile_px == pytest.approx((192, 192), rel=0.004)


@pytest.mark.parametrize("size", [(700, 480), (256, 256), (1280, 720)])
def test_frames_of_other_sizes_have_the_message(size):
    frame = cv2.resize(textured(1)[0], size)
    assert detect(marked([frame])).message == MESSAGE


def test_a_heads_colour_has_the_message_over_another_background(clean):
    y, x = np.mgrid[:SIDE, :SIDE]
    alpha = np.clip((190 - np.hypot(x - 256, y - 280)) / 8, 0, 1).astype(np.float32)[..., None]
    marker, grain = Marker(SIDE, SIDE, MESSAGE), np.random.default_rng(3)
    composites = []
    for frame in clean[:20]:
        head = np.concatenate([frame / 255 * alpha, alpha], -1).astype(np.float32)
        marked_head = marker.embed_premultiplied(head)
        assert (marked_head[..., 3:] == alpha).all() and (marked_head[..., :3] <= alpha).all()
        plate = grain.normal(90, 2, (SIDE, SIDE, 1)) / 255
        composites.append(((marked_head[..., :3] + (1 - alpha) * plate) * 255).round().astype(np.uint8))
    assert detect(composites).message == MESSAGE


@pytest.mark.parametrize("side", [512, 1024])
def test_a_single_composite_of_a_head_over_unmarked_footage_has_the_message(speaker_frames, side):
    y, x = np.mgrid[:side, :side] / side
    alpha = np.clip(20 - 20 * np.hypot((x - 0.5) / 0.24, (y - 0.42) / 0.32), 0, 1)[..., None].astype(np.float32)
    message = Message.of("a head", Kind.FRAMES)
    marker = Marker(side, side, message)
    for frame in (speaker_frames[0], speaker_frames[40]):
        footage = cv2.resize(frame, (side, side), interpolation=cv2.INTER_CUBIC)
        head = np.concatenate([footage / 255 * alpha, alpha], -1).astype(np.float32)
        marked_head = marker.embed_premultiplied(head)
        image = ((marked_head[..., :3] + (1 - alpha) * footage / 255) * 255).round().astype(np.uint8)
        assert 10 * np.log10(255**2 / np.square(image.astype(float) - footage).mean()) >= 46
        assert detect([image]).message == message
        assert detect([footage]).message is None


def test_nothing_is_found_without_a_mark(clean):
    found = detect(clean)
    assert not found.found
    assert found.message is None


def test_another_key_finds_nothing(clean):
    assert not detect(marked(clean[:2]), key=b"another").found


@pytest.mark.parametrize("image", ["wall", "flat", "noise"])
def test_the_mark_stays_above_46_db(clean, image):
    frame = {
        "wall": clean[0],
        "flat": np.full((SIDE, SIDE, 3), 128, np.uint8),
        "noise": np.random.default_rng(0).integers(20, 230, (SIDE, SIDE, 3)).astype(np.uint8),
    }[image]
    (result,) = marked([frame])
    difference = result.astype(np.float64) - frame
    if image == "flat":  # it is there, however weak
        assert detect([result]).message == MESSAGE
    else:
        assert (difference**2).mean() > 0.5
    assert 10 * np.log10(255**2 / (difference**2).mean()) >= 46


def test_a_clean_gradient_is_changed_by_a_level_at_most_and_still_has_the_message():
    y, x = np.mgrid[:SIDE, :SIDE]
    gradient = np.stack([60 + x * 0.2 + y * 0.05, 70 + x * 0.18 + y * 0.08, 95 + x * 0.15 + y * 0.1], -1)
    frame = gradient.round().astype(np.uint8)
    (result,) = marked([frame])
    assert np.abs(result.astype(int) - frame).max() == 1
    assert 10 * np.log10(255**2 / np.square(result.astype(float) - frame).mean()) > 56
    assert detect([result]).message == MESSAGE


def test_a_small_head_alone_is_marked_no_stronger_than_a_large_one(clean):
    y, x = np.mgrid[:SIDE, :SIDE]
    alpha = (np.hypot(x - 256, y - 256) < 60).astype(np.float32)[..., None]
    head = np.concatenate([clean[0] / 255 * alpha, alpha], -1).astype(np.float32)
    change = (Marker(SIDE, SIDE, MESSAGE).embed_premultiplied(head) - head)[alpha[..., 0] > 0][:, :3] * 255
    red, green, blue = change.std(axis=0)
    assert 0.5 < red < 1.5 and green == pytest.approx(red, rel=0.02)
    assert blue == pytest.approx((1 + BLUE_GAIN) * red, rel=0.05), "where a face has little of its own"


def test_a_frame_with_black_parts_has_no_defect(clean):
    frame = clean[0].copy()
    frame[:, : SIDE // 3] = 0
    (result,) = marked([frame])
    assert np.abs(result.astype(int) - frame).max() < 8 and detect([result]).message == MESSAGE


def test_an_expected_message_is_found_where_too_little_is_left_to_read_it(clean):
    noise = np.random.default_rng(1).normal(0, 64, clean[0].shape)

    def noisy(frame):
        return [np.clip(frame + noise, 0, 255).round().astype(np.uint8)]

    faint = noisy(marked(clean[:1])[0])
    assert detect(faint).message is None
    assert detect(faint, expected=MESSAGE).message == MESSAGE
    assert detect(faint, expected=Message.of("another")).message is None
    assert detect(noisy(clean[0]), expected=MESSAGE).message is None


def test_pieces_that_are_not_read_by_themselves_are_read_together():
    rng, with_mark, without = np.random.default_rng(3), Detector(), Detector()
    for seed in range(4):
        host = textured(2, seed, 256)
        for detector, frames in ((with_mark, marked(host)), (without, host)):
            faint = [np.clip(frame + rng.normal(0, 30, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
            assert detector.piece(faint).message is None
    assert with_mark.together().message == MESSAGE
    assert without.together().message is None


def test_the_mark_is_steady_in_time(clean):
    frames = clean[:6]
    marks = [after.astype(int) - before for after, before in zip(marked(frames), frames, strict=True)]
    change = np.mean([np.abs(b - a).mean() for a, b in pairwise(marks)])
    assert change < 0.1 * np.abs(marks[0]).mean()


def test_the_frame_given_is_not_changed(clean):
    before = clean[0].copy()
    assert (marked(clean[:1])[0] != before).any() and (clean[0] == before).all()


def test_a_shots_frames_depend_on_the_mark():
    assert len({Marking().key, Marking(watermark=MESSAGE).key, Marking(watermark=Message.of("another")).key}) == 3
    frame, canvas = textured(1)[0], Canvas(StoredFormat(RGB8, SIDE, SIDE), (SIDE, SIDE))
    for marking, expected in ((Marking(watermark=MESSAGE), MESSAGE), (Marking(), None)):
        planes = tuple(np.ascontiguousarray(plane) for plane in np.moveaxis(frame, 2, 0))
        marking.of_frames((SIDE, SIDE)).on_canvas(planes, canvas)
        assert detect([np.dstack(planes)]).message == expected
        assert (np.dstack(planes) == frame).all() == (expected is None)


def test_a_code_with_a_seventh_of_its_bits_wrong_is_decoded():
    coded = encode(MESSAGE)
    assert coded.shape == (CODED_BITS,)
    wrong = np.random.default_rng(1).permutation(CODED_BITS)[: CODED_BITS // 7]
    coded[wrong] *= -0.5
    assert decode(coded) == MESSAGE


def noisy(agreement: float, count: int, seed: int) -> list[np.ndarray]:
    """Coded messages in so much noise that they agree with what is left by so many standard deviations."""
    coded, rng = encode(MESSAGE), np.random.default_rng(seed)
    noise = rng.normal(0, 1, (count, CODED_BITS))
    noise -= np.outer(noise @ coded, coded) / CODED_BITS
    noise *= np.sqrt(CODED_BITS**2 / agreement**2 - CODED_BITS) / np.linalg.norm(noise, axis=1, keepdims=True)
    return list(coded + noise)


def test_a_message_that_is_not_the_most_likely_one_is_found_by_its_checks():
    values = noisy(8.8, 40, 0)
    assert (
        sum(decode(soft) == MESSAGE for soft in values) > sum(decode(soft, paths=1) == MESSAGE for soft in values) + 2
    )
    assert all(decode(soft) in (MESSAGE, None) for soft in values)
    assert decode(encode(MESSAGE), CODED_BITS + 1) is None, "all values together are less than what is wanted"


def test_a_message_that_agrees_as_little_as_is_accepted_is_decoded():
    assert all(decode(soft) == MESSAGE for soft in noisy(9.4, 20, 1))


def test_noise_is_no_message():
    rng = np.random.default_rng(0)
    assert all(decode(rng.normal(0, 1, CODED_BITS)) is None for _ in range(20))


def test_a_message_is_64_bits_and_an_unknown_version_is_none():
    message = Message.of("subject", Kind.FRAMES)
    assert Message.from_int(message.to_int()) == message and len(message.text) == 12
    assert Message.from_int(message.to_int() ^ 1 << 60) is None
    assert Message.of_clip("00ff" + 60 * "a").text == "00ffaaaaaaaa"
    with pytest.raises(ValueError, match="48 bits"):
        Message(Kind.VIDEO, 1 << 48)


def test_frames_of_another_size_are_a_defect_of_the_caller():
    with pytest.raises(ValueError, match="wanted"):
        Marker(64, 64, MESSAGE).embed(np.zeros((64, 65, 3), np.uint8))
    with pytest.raises(ValueError, match="no frames"):
        detect([])
    with pytest.raises(ValueError, match="no pieces"):
        Detector().together()
    pieces = Detector()
    pieces.piece([np.zeros((64, 64, 3), np.uint8)])
    with pytest.raises(ValueError, match="pieces of several sizes"):
        pieces.piece([np.zeros((64, 80, 3), np.uint8)])
