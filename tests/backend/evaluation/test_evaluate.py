"""Clips are compared frame by frame, and the figures show what is wrong with them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from backend.errors import MediaError, WorkspaceError
from backend.evaluation.evaluate import FramePair, evaluate
from backend.evaluation.videos import evaluate_videos
from backend.media.encode import VideoWriter
from backend.workspace.images import write_image


def head_matte() -> np.ndarray:
    matte = np.zeros((256, 256), np.uint8)
    cv2.ellipse(matte, (128, 130), (70, 95), 0, 0, 360, 255, -1)
    return matte


def test_equal_frames_are_perfect(images):
    figures = evaluate(FramePair(i, p, p, head_matte()) for i, p in enumerate(images[:10])).figures
    assert figures["frames"] == 10
    assert [figures[name] for name in ("psnr", "psnr_head", "psnr_mouth", "psnr_edge")] == [100] * 4
    assert [figures[name] for name in ("ssim", "ms_ssim", "lip_correlation", "lip_range")] == [1] * 4
    assert (figures["lmd_px"], figures["temporal_steadiness"]) == (0, 0)
    json.dumps(figures, allow_nan=False)


def test_an_error_outside_the_head_is_not_the_heads(images):
    def background_off(image: np.ndarray) -> np.ndarray:
        changed = image.copy()
        changed[:30, :30] //= 2
        return changed

    figures = evaluate(FramePair(i, background_off(p), p, head_matte()) for i, p in enumerate(images[:5])).figures
    assert figures["psnr"] < 50
    assert figures["psnr_head"] == 100


def test_an_error_along_the_border_is_found_there(images):
    border = cv2.ellipse(np.zeros((256, 256), np.uint8), (128, 130), (70, 95), 0, 0, 360, 255, 2) > 0

    def rough(image: np.ndarray) -> np.ndarray:
        return np.where(border[..., None], 255 - image, image)

    figures = evaluate(FramePair(i, rough(p), p, head_matte()) for i, p in enumerate(images[:5])).figures
    assert figures["psnr_edge"] < figures["psnr_head"] - 3 < figures["psnr_mouth"]


def test_steadiness_compares_consecutive_frames_inside_the_head(images):
    truth = images[:8]

    def steadiness(shift, numbers=range(8), matte=True):
        pairs = [
            FramePair(number, shift(i, image), image, head_matte() if matte else None)
            for i, (number, image) in enumerate(zip(numbers, truth, strict=True))
        ]
        return evaluate(pairs).figures["temporal_steadiness"]

    def flicker(i: int, image: np.ndarray) -> np.ndarray:
        changed = image // 4 * 3
        changed[120:140, 120:140] = 0
        return changed + np.uint8(9 * (i % 2))

    assert steadiness(lambda i, image: image) == 0
    assert steadiness(lambda i, image: flicker(i, image)) > steadiness(lambda i, image: flicker(0, image)) + 4
    assert steadiness(flicker, matte=False) is None
    assert steadiness(flicker, numbers=range(0, 16, 2)) is None

    def background_flickers(i: int, image: np.ndarray) -> np.ndarray:
        changed = image.copy()
        changed[:30] = 255 * (i % 2)
        return changed

    assert steadiness(background_flickers) == 0


def test_the_range_of_the_lips_is_found_out(images):
    shut = images[0]
    half = [cv2.addWeighted(p, 0.5, shut, 0.5, 0) for p in images[:25]]
    figures = evaluate(FramePair(i, p, q) for i, (p, q) in enumerate(zip(half, images[:25], strict=True))).figures
    assert figures["lip_range"] < 0.95
    still = evaluate(FramePair(i, shut, p) for i, p in enumerate(images[:25])).figures
    assert still["lip_range"] == pytest.approx(0, abs=0.01)


def test_mean_error_and_worst_frames_tell_where_and_when(images):
    def spoilt(i: int, image: np.ndarray) -> np.ndarray:
        changed = image.astype(int)
        changed[200:220, 10:40] += np.where(changed[200:220, 10:40] > 127, -1, 1) * (90 if i == 30 else 20)
        return changed.astype(np.uint8)

    truth = [images[i % 8] for i in range(60)]
    evaluation = evaluate(FramePair(200 + i, spoilt(i, p), p) for i, p in enumerate(truth))
    assert evaluation.means.error[200:220, 10:40] == pytest.approx(np.full((20, 30), (59 * 20 + 90) / 60))
    assert evaluation.means.error.sum() == pytest.approx(600 * (59 * 20 + 90) / 60)
    assert evaluation.means.truth == pytest.approx(np.mean(truth, axis=0), abs=1e-4)
    numbers = [frame.pair.index for frame in evaluation.worst]
    assert numbers[0] == 230
    assert evaluation.worst[0].psnr == pytest.approx(10 * np.log10(255**2 / (90**2 * 600 / 256**2)), abs=0.01)
    assert len(numbers) > 3 and np.diff(sorted(numbers)).min() >= 12


def test_lips_that_move_at_another_time_are_found_out(images):
    truth = images[:28]
    late = images[8:36]
    right = evaluate(FramePair(i, p, p) for i, p in enumerate(truth)).figures
    wrong = evaluate(FramePair(i, p, q) for i, (p, q) in enumerate(zip(late, truth, strict=True))).figures
    assert right["lip_correlation"] == 1
    assert wrong["lip_correlation"] < 0.8
    assert wrong["lmd_px"] > 0.5


def test_a_frame_without_a_face_is_counted_not_averaged(images):
    empty = np.full((256, 256, 3), 90, np.uint8)
    pairs = [FramePair(i, empty if i < 3 else p, p) for i, p in enumerate(images[:12])]
    evaluation = evaluate(pairs)
    assert evaluation.figures["frames_without_face"] >= 3
    assert evaluation.figures["lmd_px"] < 2
    assert evaluation.figures["psnr_head"] is None


def test_samples_spread_over_the_complete_clip_however_long():
    image = np.full((32, 32, 3), 90, np.uint8)
    evaluation = evaluate(FramePair(100 + i, image, image) for i in range(70))
    shown = [sample.index for sample in evaluation.samples]
    assert 24 <= len(shown) < 48
    assert shown[0] == 100
    assert shown[-1] > 160


def test_no_frames_is_reported():
    with pytest.raises(WorkspaceError, match="no frames to compare"):
        evaluate([])


def test_folders_of_frames_are_compared(tmp_path, images):
    for index, image in enumerate(images[:5]):
        write_image(tmp_path / "a" / f"{index:06d}.png", image)
        write_image(tmp_path / "a" / f"{index:06d}_truth.png", image // 2)
        write_image(tmp_path / "b" / f"{index:06d}.png", np.clip(image.astype(int) + 5, 0, 255).astype(np.uint8))
    figures = evaluate_videos(tmp_path / "a", tmp_path / "b").figures
    assert figures["frames"] == 5
    assert figures["psnr"] == pytest.approx(20 * np.log10(255 / 5), abs=0.5)
    write_image(tmp_path / "b" / "000002.png", images[0][:128])
    with pytest.raises(MediaError, match=r"Frame 2 of .* has 256 x 256 pixels, that of .* 256 x 128"):
        evaluate_videos(tmp_path / "a", tmp_path / "b")
    with pytest.raises(MediaError, match="holds no frames"):
        evaluate_videos(tmp_path, tmp_path / "b")


def test_folders_are_paired_by_the_frames_numbers(tmp_path, images):
    for index in range(6):
        write_image(tmp_path / "full" / f"{index:06d}.png", images[index * 6])
    for index in (2, 3, 5, 9):
        write_image(tmp_path / "part" / f"{index}.png", images[index * 4] if index == 9 else images[index * 6])
    evaluation = evaluate_videos(tmp_path / "part", tmp_path / "full")
    assert evaluation.index.tolist() == [2, 3, 5]
    assert evaluation.figures["psnr"] == 100
    write_image(tmp_path / "far" / "000100.png", images[0])
    with pytest.raises(MediaError, match="share no frame number"):
        evaluate_videos(tmp_path / "far", tmp_path / "full")


def test_a_video_meets_a_folder_in_order(tmp_path, images):
    with VideoWriter(tmp_path / "video.mp4", 256, 256) as video:
        for index in range(5):
            video.write(images[6 * index])
    for index in range(4):
        write_image(tmp_path / "frames" / f"{index + 1:06d}.png", images[6 * index])
    figures = evaluate_videos(tmp_path / "video.mp4", tmp_path / "frames").figures
    assert figures["frames"] == 4
    assert figures["psnr"] > 33
    assert figures["psnr_head"] is None and figures["temporal_steadiness"] is None


def test_a_reference_with_images_of_the_truth_is_taken_at_those(tmp_path, images):
    for index, image in enumerate(images[:3]):
        changed = np.where(head_matte()[..., None] > 127, image, 0)
        write_image(tmp_path / "theirs" / f"{index:06d}.png", changed)
        write_image(tmp_path / "held" / f"{index:06d}.png", 255 - image)
        write_image(tmp_path / "held" / f"{index:06d}_truth.png", image)
        write_image(tmp_path / "held" / f"{index:06d}_head.png", head_matte()[..., None].repeat(3, axis=2))
    theirs = evaluate_videos(tmp_path / "theirs", tmp_path / "held").figures
    assert theirs["psnr_head"] == 100 and theirs["psnr"] < 20
    own = evaluate_videos(tmp_path / "held", tmp_path / "held").figures
    assert own["frames"] == 3 and own["psnr_head"] < 15


def test_mattes_give_the_figures_of_the_head(tmp_path, images):
    def half_wrong(image: np.ndarray) -> np.ndarray:
        changed = image.copy()
        changed[:, :20] = 0
        return changed

    for index, image in enumerate(images[:3]):
        write_image(tmp_path / "a" / f"{index:06d}.png", half_wrong(image))
        write_image(tmp_path / "b" / f"{index:06d}.png", image)
        write_image(tmp_path / "mattes" / f"{index:06d}.png", head_matte()[..., None].repeat(3, axis=2))
    assert evaluate_videos(tmp_path / "a", tmp_path / "b").figures["psnr_head"] is None
    figures = evaluate_videos(tmp_path / "a", tmp_path / "b", tmp_path / "mattes").figures
    assert figures["psnr_head"] == 100 and figures["psnr"] < 40
    write_image(tmp_path / "far" / "000100_head.png", head_matte()[..., None].repeat(3, axis=2))
    with pytest.raises(MediaError, match="holds no matte of a compared frame"):
        evaluate_videos(tmp_path / "a", tmp_path / "b", tmp_path / "far")
    with pytest.raises(MediaError, match="holds no mattes"):
        evaluate_videos(tmp_path / "a", tmp_path / "b", tmp_path)
    write_image(tmp_path / "mattes" / "000001.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(MediaError, match=r"Frame 1 of .*mattes has 64 x 64 pixels"):
        evaluate_videos(tmp_path / "a", tmp_path / "b", tmp_path / "mattes")
