"""Whole clips are compared frame by frame, and the figures tell what is wrong with them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from backend.errors import MediaError, WorkspaceError
from backend.evaluation.evaluate import FramePair, evaluate, evaluate_videos
from backend.workspace import write_image


def head_matte() -> np.ndarray:
    matte = np.zeros((256, 256), np.uint8)
    cv2.ellipse(matte, (128, 130), (70, 95), 0, 0, 360, 255, -1)
    return matte


def test_equal_frames_are_perfect(pictures):
    figures = evaluate(FramePair(i, p, p, head_matte()) for i, p in enumerate(pictures[:10])).figures
    assert figures["frames"] == 10
    assert (figures["psnr"], figures["psnr_head"], figures["ssim"], figures["lmd_px"]) == (100, 100, 1, 0)
    json.dumps(figures, allow_nan=False)


def test_an_error_outside_the_head_is_not_the_heads(pictures):
    def background_off(picture: np.ndarray) -> np.ndarray:
        changed = picture.copy()
        changed[:30, :30] //= 2
        return changed

    figures = evaluate(FramePair(i, background_off(p), p, head_matte()) for i, p in enumerate(pictures[:5])).figures
    assert figures["psnr"] < 50
    assert figures["psnr_head"] == 100


def test_lips_that_move_at_another_time_are_found_out(pictures):
    truth = pictures[:28]
    late = pictures[8:36]
    right = evaluate(FramePair(i, p, p) for i, p in enumerate(truth)).figures
    wrong = evaluate(FramePair(i, p, q) for i, (p, q) in enumerate(zip(late, truth, strict=True))).figures
    assert right["lip_correlation"] == 1
    assert wrong["lip_correlation"] < 0.8
    assert wrong["lmd_px"] > 0.5


def test_a_frame_without_a_face_is_counted_not_averaged(pictures):
    empty = np.full((256, 256, 3), 90, np.uint8)
    pairs = [FramePair(i, empty if i < 3 else p, p) for i, p in enumerate(pictures[:12])]
    evaluation = evaluate(pairs)
    assert evaluation.figures["frames_without_face"] >= 3
    assert evaluation.figures["lmd_px"] < 2
    assert evaluation.figures["psnr_head"] is None


def test_samples_spread_over_the_whole_clip_however_long():
    picture = np.full((32, 32, 3), 90, np.uint8)
    evaluation = evaluate(FramePair(100 + i, picture, picture) for i in range(70))
    shown = [sample.index for sample in evaluation.samples]
    assert 24 <= len(shown) < 48
    assert shown[0] == 100
    assert shown[-1] > 160


def test_no_frames_is_told():
    with pytest.raises(WorkspaceError, match="no frames to compare"):
        evaluate([])


def test_folders_of_frames_are_compared(tmp_path, pictures):
    for index, picture in enumerate(pictures[:5]):
        write_image(tmp_path / "a" / f"{index:06d}.png", picture)
        write_image(tmp_path / "a" / f"{index:06d}_truth.png", picture // 2)
        write_image(tmp_path / "b" / f"{index:06d}.png", np.clip(picture.astype(int) + 5, 0, 255).astype(np.uint8))
    figures = evaluate_videos(tmp_path / "a", tmp_path / "b").figures
    assert figures["frames"] == 5
    assert figures["psnr"] == pytest.approx(20 * np.log10(255 / 5), abs=0.5)
    write_image(tmp_path / "b" / "000002.png", pictures[0][:128])
    with pytest.raises(MediaError, match=r"Frame 2 of .* has 256 x 256 pixels, that of .* 256 x 128"):
        evaluate_videos(tmp_path / "a", tmp_path / "b")
    with pytest.raises(MediaError, match="holds no frames"):
        evaluate_videos(tmp_path, tmp_path / "b")
