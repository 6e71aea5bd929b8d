"""What a head that is the mean of its frames lacks in sharpness is measured, and added to what it is fitted to."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.training.dataset import Frame
from backend.training.gaussians.detail import MOST, RADIUS_PX, Detail, missing_detail, sharpened

SIDE = 96
BOXES = np.array([[0, 0, SIDE, SIDE], [30, 60, 66, 84], [20, 24, 40, 40], [56, 24, 76, 40]], np.float32)


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0).normal(0, 60, (SIDE, SIDE, 3)).astype(np.float32)
    colour = np.clip(128 + cv2.GaussianBlur(random, (0, 0), 1.0), 0, 255).astype(np.uint8)
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[8:88, 8:88] = 255
    return Frame(0, colour, alpha, 0, 0, BOXES)


def blurred(frame, sigma):
    return cv2.GaussianBlur(frame.colour.astype(np.float32), (0, 0), sigma)


def energy(image, box):
    x0, y0, x1, y1 = box.astype(int)
    grey = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
    return sum((part[y0:y1, x0:x1] ** 2).sum() for part in np.gradient(grey))


def test_the_amount_makes_a_blurred_image_as_sharp_as_its_frame(frame):
    drawn = blurred(frame, 0.6)
    found = missing_detail([(drawn, frame)])
    more = drawn - cv2.GaussianBlur(drawn, (0, 0), RADIUS_PX)
    for amount, box in ((found.mouth, BOXES[1]), (found.eyes, BOXES[2])):
        assert 0.2 < amount < MOST
        assert energy(drawn, box) < 0.8 * energy(frame.colour, box)
    assert energy(drawn + found.mouth * more, BOXES[1]) == pytest.approx(energy(frame.colour, BOXES[1]), rel=1e-3)


def test_each_part_has_its_own_amount(frame):
    drawn = frame.colour.astype(np.float32)
    x0, y0, x1, y1 = BOXES[1].astype(int)
    drawn[y0:y1, x0:x1] = blurred(frame, 0.8)[y0:y1, x0:x1]
    found = missing_detail([(drawn, frame)])
    assert found.mouth > 0.4 and found.eyes == 0


def test_an_image_as_sharp_as_its_frame_or_sharper_needs_none_and_a_blur_is_not_sharpened_without_end(frame):
    colour = frame.colour.astype(np.float32)
    assert missing_detail([(colour, frame)]) == Detail(0, 0, 0)
    assert missing_detail([(2 * colour - 128, frame)]) == Detail(0, 0, 0)
    assert missing_detail([(blurred(frame, 4.0), frame)]).mouth == MOST
    assert missing_detail([(0 * colour, frame)]).mouth in (0, MOST)


def test_the_mean_of_sharpened_frames_is_their_sharpened_mean(frame):
    """Which is why a head that is fitted to them is sharp: the mask is linear."""
    shifted = [Frame(0, np.roll(frame.colour, by, 1), frame.alpha, 0, 0, BOXES) for by in (-1, 0, 1)]
    mean = np.mean([one.colour for one in shifted], 0)
    of_mean = sharpened(Frame(0, np.rint(mean).astype(np.uint8), frame.alpha, 0, 0, BOXES), Detail(0.5, 0.5, 0.5))
    mean_of = np.mean([sharpened(one, Detail(0.5, 0.5, 0.5)) for one in shifted], 0)
    inside = (slice(16, 80), slice(16, 80))
    assert np.abs(of_mean[inside] - mean_of[inside]).mean() < 0.8
    assert energy(mean_of, BOXES[1]) > 1.2 * energy(mean, BOXES[1])


def test_the_mattes_border_is_left_alone(frame):
    found = sharpened(frame, Detail(1, 1, 1))
    changed = (found != frame.colour).any(2)
    assert changed[20:76, 20:76].mean() > 0.9
    outside = frame.alpha == 0
    assert not changed[outside].any()


def test_a_head_that_is_still_less_sharp_gets_more(frame):
    drawn = blurred(frame, 0.6)
    first = missing_detail([(drawn, frame)])
    halfway = drawn + 0.5 * first.mouth * (drawn - cv2.GaussianBlur(drawn, (0, 0), RADIUS_PX))
    both = first.and_more(missing_detail([(halfway, frame)]))
    assert first.mouth < both.mouth < MOST
    assert first.and_more(Detail(MOST, MOST, MOST)) == Detail(MOST, MOST, MOST)
