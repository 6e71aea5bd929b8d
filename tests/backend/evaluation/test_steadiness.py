"""The warping error is what of a change is not motion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.evaluation.steadiness import optical_flow, warped, warping_error

SIDE = 128


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    noise = np.random.default_rng(3).uniform(0, 255, (SIDE // 4, SIDE // 4, 3)).astype(np.float32)
    return np.clip(cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def test_flow_reads_the_frame_before_at_the_place_of_each_pixel(texture):
    image = np.roll(texture, 3, axis=1)
    flow, known = optical_flow(image, texture)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[16:-16, 16:-16] = True
    assert np.abs(np.median(flow[inside], axis=0) - (-3, 0)).max() < 0.3
    assert known[inside].mean() > 0.95
    still = warping_error(image, texture, np.zeros_like(flow), inside)
    assert warping_error(image, texture, flow, inside) < 0.15 * still


def test_flicker_counts_and_motion_does_not(texture):
    image = np.roll(texture, 2, axis=0)
    flow, known = optical_flow(image, texture)
    known[:16], known[-16:] = False, False
    real = warping_error(image, texture, flow, known)
    flickering = np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)
    assert warping_error(flickering, texture, flow, known) > real + 8


def test_an_empty_mask_has_no_error(texture):
    flow = np.zeros((SIDE, SIDE, 2), np.float32)
    assert np.isnan(warping_error(texture, texture, flow, np.zeros((SIDE, SIDE), bool)))
    np.testing.assert_array_equal(warped(texture, flow), texture)
