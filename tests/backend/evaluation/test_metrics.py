"""Metrics agree with values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import convolve2d

from backend.evaluation.metrics import border_band, change_error, landmark_distance, ms_ssim, psnr, range_ratio, ssim
from backend.workspace.landmarks import LIPS


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
    # Of two constant images only the luminance term is left: (2ab + c) / (a² + b² + c), c = (0.01 · 255)².
    a, b, c = 100.0, 120.0, 2.55**2
    flat = np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 120, np.uint8)
    assert ssim(*flat) == pytest.approx((2 * a * b + c) / (a * a + b * b + c), abs=1e-6)
    noisy = np.clip(truth + generator.normal(0, 30, truth.shape), 0, 255).astype(np.uint8)
    assert ssim(noisy, truth) < 0.95


def plain_ms_ssim(one: np.ndarray, other: np.ndarray, weights: list[float]) -> float:
    """The published program's steps on one channel, word by word and slowly."""
    at = np.arange(-5, 6)
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for scale, weight in enumerate(weights):
        x, y, xx, yy, xy = (
            convolve2d(image, window, "valid") for image in (one, other, one * one, other * other, one * other)
        )
        similarity = (2 * (xy - x * y) + c2) / (xx - x * x + yy - y * y + c2)
        if scale == len(weights) - 1:
            similarity *= (2 * x * y + c1) / (x * x + y * y + c1)
        values.append(similarity.mean() ** weight)
        one, other = (
            (p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]) / 4
            for p in (p[: p.shape[0] // 2 * 2, : p.shape[1] // 2 * 2] for p in (one, other))
        )
    return float(np.prod(values))


@pytest.mark.parametrize(("height", "width", "scales"), [(176, 191, 5), (175, 200, 4), (45, 64, 3), (11, 30, 1)])
def test_ms_ssim_is_that_of_its_steps_over_as_many_scales_as_fit(height, width, scales):
    generator = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    smooth = 128 + 60 * np.stack([np.sin(x / 9 + y / wave) for wave in (5, 7, 11)], axis=2)
    truth = smooth.round().astype(np.uint8)
    predicted = np.clip(smooth + generator.normal(5, 20, smooth.shape), 0, 255).astype(np.uint8)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    expected = np.mean(
        [
            plain_ms_ssim(predicted[..., c].astype(float), truth[..., c].astype(float), list(weights / weights.sum()))
            for c in range(3)
        ]
    )
    assert 0.2 < expected < 0.99
    assert ms_ssim(predicted, truth) == pytest.approx(expected, abs=1e-7)


def test_ms_ssim_is_one_for_equal_and_falls_with_noise():
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:180, :180]
    truth = (128 + 100 * np.sin(x / 13) * np.cos(y / 17)).astype(np.uint8)[..., None].repeat(3, axis=2)
    assert ms_ssim(truth, truth) == pytest.approx(1, abs=1e-12)
    noisy = [np.clip(truth + generator.normal(0, sigma, truth.shape), 0, 255).astype(np.uint8) for sigma in (5, 20, 60)]
    figures = [ms_ssim(image, truth) for image in noisy]
    assert 1 > figures[0] > figures[1] > figures[2] > 0
    assert ms_ssim(255 - truth, truth) == 0, "a negative is no likeness"
    # Of two constant images only the luminance term of the coarsest scale is left.
    a, b, c = 100.0, 120.0, 2.55**2
    flat = np.full((176, 176, 3), 100, np.uint8), np.full((176, 176, 3), 120, np.uint8)
    assert ms_ssim(*flat) == pytest.approx(((2 * a * b + c) / (a * a + b * b + c)) ** 0.1333, abs=1e-4)
    with pytest.raises(ValueError, match="smaller than the window"):
        ms_ssim(truth[:10], truth[:10])


def test_a_standing_error_is_steady_and_flicker_is_not():
    truth = np.random.default_rng(0).integers(40, 200, (2, 16, 16, 3)).astype(np.uint8)
    wrong = truth + np.uint8(30)
    assert change_error(wrong[1], truth[1], wrong[0], truth[0]) == 0
    frozen = np.stack([truth[0], truth[0]])
    moved = np.abs(truth[1].astype(int) - truth[0])
    assert change_error(frozen[1], truth[1], frozen[0], truth[0]) == pytest.approx(moved.mean())
    # 10 up in one frame and 10 down in the next is a change of 20.
    flickering = np.stack([truth[0] - np.uint8(10), truth[1] + np.uint8(10)])
    assert change_error(flickering[1], truth[1], flickering[0], truth[0]) == 20
    half = np.zeros((16, 16), bool)
    half[:8] = True
    flickering[:, 8:] = truth[:, 8:]
    assert change_error(flickering[1], truth[1], flickering[0], truth[0], half) == 20
    assert change_error(flickering[1], truth[1], flickering[0], truth[0], ~half) == 0
    assert math.isnan(change_error(wrong[1], truth[1], wrong[0], truth[0], np.zeros((16, 16), bool)))


def test_the_band_runs_along_the_border_of_the_head_only():
    head = np.zeros((200, 200), bool)
    head[50:, 60:140] = True  # runs out of the image below, as a head with its neck does
    band = border_band(head)
    assert band[50, 100] and band[100, 60] and band[100, 139]
    assert not band[100, 100] and not band[20, 100]
    assert not band[199, 100], "the image's own border is none of the head's"
    assert band[120].sum() == 2 * 2 * 3
    assert not border_band(np.zeros((50, 50), bool)).any()


def test_range_ratio_is_of_the_usual_extremes():
    truth = np.linspace(0, 1, 101)
    assert range_ratio(0.6 * truth + 3, truth) == pytest.approx(0.6)
    outliers = 0.6 * truth
    outliers[[0, 50]] = 40, np.nan
    assert range_ratio(outliers, truth) == pytest.approx(0.6, abs=0.02)
    assert math.isnan(range_ratio(truth, np.ones(101)))
    assert math.isnan(range_ratio(truth, np.full(101, np.nan)))


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


def test_arrays_of_different_shape_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8))
