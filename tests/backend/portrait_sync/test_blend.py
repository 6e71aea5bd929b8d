"""Laying the head over the plate, and the working square back into the source."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.portrait_sync.blend import over, place, resample
from backend.workspace.subject import Crop


def smooth_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height // 12, width // 12, 3)).astype(np.float32)
    return np.clip(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def test_over_is_the_plate_where_the_head_is_clear_and_the_head_where_it_is_solid() -> None:
    plate = smooth_image(48, 48)
    head = np.zeros((48, 48, 4), np.float32)
    head[:24] = (0.25, 0.5, 1.0, 1.0)
    result = over(head, plate)
    assert np.array_equal(result[24:], plate[24:])
    assert (result[:24] == (64, 128, 255)).all()


def test_softening_an_edge_makes_no_dark_fringe() -> None:
    plate = np.full((64, 64, 3), 180, np.uint8)
    head = np.zeros((64, 64, 4), np.float32)
    head[:, :32] = (180 / 255, 180 / 255, 180 / 255, 1)
    assert np.abs(over(head, plate, soften_px=2.0).astype(int) - 180).max() <= 1


def test_softening_keeps_detail_inside_the_head() -> None:
    head = np.ones((64, 64, 4), np.float32)
    head[..., :3] = np.random.default_rng(0).uniform(0, 1, (64, 64, 3))
    sharp, soft = (over(head, np.zeros((64, 64, 3), np.uint8), soften_px=value) for value in (0.0, 2.0))
    assert np.array_equal(sharp[16:48, 16:48], soft[16:48, 16:48])


@pytest.mark.parametrize("crop", [Crop(40, 30, 96), Crop(33.5, 20.25, 150), Crop(-20, -10, 140), Crop(60, 40, 64)])
def test_a_working_square_goes_back_to_where_it_was_taken(crop: Crop) -> None:
    source = smooth_image(180, 240)
    again = place(resample(source, (crop.x, crop.y), crop.size / 96, (96, 96)), crop, source)
    assert np.abs(again.astype(int) - source).mean() < 1.0
    assert np.abs(again.astype(int) - source).max() < 30
    left, top = max(0, int(crop.x)), max(0, int(crop.y))
    outside = np.ones(source.shape[:2], bool)
    outside[top : int(np.ceil(crop.y + crop.size)), left : int(np.ceil(crop.x + crop.size))] = False
    assert np.array_equal(again[outside], source[outside])


def test_the_border_is_feathered_inside_the_source_and_not_at_its_edges() -> None:
    source = np.zeros((100, 200, 3), np.uint8)
    image = np.full((64, 64, 3), 255, np.uint8)
    result = place(image, Crop(50, 0, 100), source, feather=0.1)
    assert result[50, 50, 0] < 30, "the side within the source begins at nothing"
    assert result[0, 100, 0] == 255, "the source's own upper edge has no ramp"
    assert (np.diff(result[50, 50:70, 0].astype(int)) >= 0).all()


def test_a_crop_beside_the_source_changes_nothing() -> None:
    source = smooth_image(60, 60)
    assert np.array_equal(place(np.zeros((32, 32, 3), np.uint8), Crop(100, 100, 32), source), source)
