"""The compiled optical flow finds what OpenCV's does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("numba")

from backend.head_sync.patch_flow import Pyramid, match, match_by_opencv

SIDE = 160


def texture(shift: tuple[float, float] = (0.0, 0.0), side: int = SIDE) -> np.ndarray:
    """Smooth noise, moved right and down."""
    noise = np.random.default_rng(3).integers(0, 256, (side + 40, side + 40)).astype(np.float32)
    image = cv2.GaussianBlur(noise, (0, 0), 2.5)
    image = (image - image.mean()) / image.std() * 40 + 128
    to_source = np.array([[1, 0, 20 - shift[0]], [0, 1, 20 - shift[1]]], np.float64)
    image = cv2.warpAffine(image, to_source, (side, side), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    return np.clip(image, 0, 255).round().astype(np.uint8)


def places(count: int, low: float, high: float) -> np.ndarray:
    return np.random.default_rng(1).uniform(low, high, (count, 2))


@pytest.mark.parametrize("window", [9, 23, 31, 33, 41])
def test_patches_are_found_where_opencv_finds_them(window):
    before, after = texture(), texture((2.3, -1.7))
    start = places(60, 30, SIDE - 30)
    there, found, difference = match(Pyramid.of(before), Pyramid.of(after), start, start, window)
    expected, expected_found, expected_difference = match_by_opencv(before, after, start, start, window)
    assert found.all() and expected_found.all()
    assert np.abs(there - expected).max() < 0.05
    assert np.abs(difference - expected_difference).max() < 0.3
    assert np.abs(np.median(there - start, axis=0) - (2.3, -1.7)).max() < 0.05


def test_a_patch_without_texture_is_not_found():
    flat = np.full((SIDE, SIDE), 90, np.uint8)
    start = places(5, 40, SIDE - 40)
    _, found, _ = match(Pyramid.of(flat), Pyramid.of(texture()), start, start, 15)
    assert not found.any()


@pytest.mark.parametrize("guess", [(1e9, 0.0), (-500.0, 80.0), (80.0, 400.0), (np.nan, 80.0), (np.inf, 0.0)])
def test_a_guess_beyond_the_image_finds_nothing(guess):
    image = Pyramid.of(texture())
    start = np.array([[80.0, 80.0], [60.0, 60.0]])
    there, found, _ = match(image, image, start, np.array([guess, (60.5, 60.0)]), 15)
    assert found.tolist() == [False, True]
    assert np.abs(there[1] - 60).max() < 0.05


def test_patches_at_the_edge_and_small_images_do_no_harm():
    for side in (12, 40, SIDE):
        image = Pyramid.of(texture(side=side))
        start = np.array([[0.0, 0.0], [side - 1.0, 0.0], [0.0, side - 1.0], [side - 1.0, side - 1.0]])
        there, found, _ = match(image, image, start, start, 41)
        assert np.isfinite(there[found]).all()


def test_no_points_are_no_matches():
    image = Pyramid.of(texture())
    there, found, difference = match(image, image, np.zeros((0, 2)), np.zeros((0, 2)), 15)
    assert len(there) == len(found) == len(difference) == 0
