"""Where the working frame lies: around the head wherever it goes, pixel by pixel where that is possible."""

from __future__ import annotations

import numpy as np
import pytest

from backend.media.crop import choose_crop


def boxes(x: float, y: float, side: float, sway: float = 0.0, count: int = 50) -> np.ndarray:
    left = x + sway * np.sin(np.linspace(0, 6.28, count))
    top = np.full(count, y)
    return np.stack([left, top, left + side, top + side], 1)


@pytest.mark.parametrize(("image", "face"), [(512, 258), (512, 300), (256, 145), (1024, 500)])
def test_a_head_that_fills_a_square_image_keeps_it(image, face):
    crop, side = choose_crop(boxes((image - face) / 2, image * 0.35, face), image, image, 512)
    assert (crop.x, crop.y, crop.size) == (0, 0, image)
    assert side == min(image, 512)


def test_the_face_has_its_share_of_the_frame():
    crop, side = choose_crop(boxes(900, 300, 200), 1920, 1080, 512)
    assert side == 512
    assert 0.35 <= 200 / crop.size <= 0.45
    assert crop.x <= 900 - 60
    assert crop.y <= 300 - 100
    assert crop.y + crop.size >= 500 + 100


def test_a_square_near_the_limit_is_cut_without_resampling():
    crop, side = choose_crop(boxes(300, 250, 215), 1280, 720, 512)
    assert crop.size == side == 512


def test_a_square_below_the_limit_is_cut_without_resampling():
    crop, side = choose_crop(boxes(300, 150, 120), 1280, 720, 512)
    assert crop.size == side
    assert side % 16 == 0
    assert (crop.x, crop.y) == (round(crop.x), round(crop.y))


def test_a_head_that_moves_about_stays_inside():
    crop, _ = choose_crop(boxes(800, 300, 150, sway=250), 1920, 1080, 512)
    assert crop.x <= 560
    assert crop.x + crop.size >= 1190


def test_one_wild_box_does_not_widen_the_crop():
    steady = boxes(900, 300, 200, count=100)
    wild = np.concatenate([steady, [[10, 10, 210, 210]]])
    assert choose_crop(wild, 1920, 1080, 512)[0].size == choose_crop(steady, 1920, 1080, 512)[0].size


def test_a_close_face_in_an_upright_video_reaches_beyond_its_edges():
    crop, side = choose_crop(boxes(200, 600, 680), 1080, 1920, 512)
    assert crop.size > 1080
    assert crop.x == round((1080 - crop.size) / 2)
    assert side == 512


def test_the_crop_stays_inside_where_it_fits():
    crop, _ = choose_crop(boxes(1750, 40, 150), 1920, 1080, 512)
    assert crop.x + crop.size <= 1920
    assert crop.y >= 0
