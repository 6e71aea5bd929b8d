"""Metrics agree with values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backend.evaluation.metrics import LIPS, correlation, landmark_distance, lip_opening, psnr, ssim


def test_psnr_is_that_of_its_formula():
    truth = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(truth + np.uint8(10), truth) == pytest.approx(20 * math.log10(255 / 10))
    assert psnr(truth, truth) == math.inf
    # Unsigned arithmetic would wrap around here.
    assert psnr(np.full((8, 8, 3), 90, np.uint8), truth) == pytest.approx(20 * math.log10(255 / 10))


def test_psnr_inside_a_mask_sees_nothing_else():
    truth = np.zeros((8, 8, 3), np.uint8)
    predicted = truth.copy()
    predicted[:4] = 200
    predicted[4:] = 5
    mask = np.zeros((8, 8), bool)
    mask[4:] = True
    assert psnr(predicted, truth, mask) == pytest.approx(20 * math.log10(255 / 5))
    assert math.isnan(psnr(predicted, truth, np.zeros((8, 8), bool)))


def test_ssim_is_one_for_equal_and_falls_with_noise():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 255, (32, 32, 3), np.uint8)
    assert ssim(truth, truth) == pytest.approx(1)
    # Of two constant pictures only the luminance term is left: (2ab + c) / (a² + b² + c), c = (0.01 · 255)².
    a, b, c = 100.0, 120.0, 2.55**2
    flat = np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 120, np.uint8)
    assert ssim(*flat) == pytest.approx((2 * a * b + c) / (a * a + b * b + c), abs=1e-6)
    noisy = np.clip(truth + generator.normal(0, 30, truth.shape), 0, 255).astype(np.uint8)
    assert ssim(noisy, truth) < 0.95


def test_landmark_distance_compares_the_shape_of_the_mouth():
    truth = np.random.default_rng(0).uniform(0, 100, (3, 478, 2))
    assert landmark_distance(truth + 7.0, truth) == pytest.approx(np.zeros(3))
    moved = truth.copy()
    half = list(LIPS[:20])
    moved[:, half, 0] += 4.0  # half of the points by 4 px: 2 px each way about the mean
    assert landmark_distance(moved, truth) == pytest.approx(np.full(3, 2.0))
    elsewhere = truth.copy()
    elsewhere[:, 10] += 50  # the forehead
    assert landmark_distance(elsewhere, truth) == pytest.approx(np.zeros(3))
    truth[1] = np.nan
    assert np.isnan(landmark_distance(moved, truth)).tolist() == [False, True, False]


def test_lip_opening_does_not_depend_on_the_pictures_size():
    landmarks = np.zeros((2, 478, 2))
    landmarks[:, 33], landmarks[:, 263] = (0, 0), (100, 0)
    for upper, lower in ((82, 87), (13, 14), (312, 317)):
        landmarks[:, upper] = (50, 60)
        landmarks[1, lower], landmarks[0, lower] = (50, 80), (50, 60)
    assert lip_opening(landmarks) == pytest.approx([0.0, 0.2])
    assert lip_opening(landmarks * 3) == pytest.approx([0.0, 0.2])


def test_correlation_leaves_out_frames_without_a_face():
    one = np.array([0.0, 1, 2, np.nan, 4, 5])
    assert correlation(one, 3 * one + 2) == pytest.approx(1)
    assert correlation(one, -one) == pytest.approx(-1)
    assert math.isnan(correlation(one, np.ones(6)))


def test_arrays_of_different_shape_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8))
