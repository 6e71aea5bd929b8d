"""A head that an image cuts off is continued beyond it."""

from __future__ import annotations

import numpy as np
import pytest

from backend.portrait_sync.beyond_frame import BAND, completed, crown_above


def disc(cx: float, cy: float) -> np.ndarray:
    y, x = np.mgrid[0:128, 0:128] + 0.5
    alpha = (np.hypot(x - cx, y - cy) < 45).astype(np.float32)[..., None]
    return np.concatenate([alpha * (0.2, 0.4, 0.6), alpha], -1).astype(np.float32)


def test_a_crown_that_the_image_cuts_off_is_completed_and_a_whole_head_stays():
    cut, margin = completed(disc(64, 38), 90)
    above = cut[:margin, :, 3] > 0.5
    assert above[-1].sum() == pytest.approx(2 * np.sqrt(45**2 - 38**2), abs=4), "as wide as where it is cut"
    assert above.any(1).sum() == pytest.approx(8.5, abs=3), "a circle has 7 rows"
    straight = cut[:margin, :, :3][above] / cut[:margin, :, 3:][above]
    np.testing.assert_allclose(straight, np.tile([0.2, 0.4, 0.6], (len(straight), 1)), atol=0.02)
    aside, _ = completed(disc(88, 60), 128)
    assert (aside[:, -margin:, 3] > 0.5).any(0).sum() == pytest.approx(7, abs=4)
    hanging, _ = completed(disc(88, 60), 10)
    assert not hanging[:, -margin:, 3].any(), "below the lips nothing is continued"
    whole, _ = completed(disc(64, 60), 90)
    np.testing.assert_array_equal(whole[margin:-margin, margin:-margin], disc(64, 60))
    assert whole[..., 3].sum() == disc(64, 60)[..., 3].sum()


def test_a_crown_alone_is_that_of_the_completed_head():
    head = disc(64, 38)
    head[..., 0] *= np.linspace(0.5, 1, 128, dtype=np.float32)[:, None]  # its rows are mirrored
    whole, margin = completed(head, 90)
    found = crown_above(np.rint(255 * head).astype(np.uint8), margin, round(BAND * 128))
    np.testing.assert_allclose(found / 255, whole[:margin, margin:-margin], atol=0.01)
    assert found[..., 3].max() == 255 and (found[..., :3] <= found[..., 3:]).all()
    assert not crown_above(np.rint(255 * disc(64, 60)).astype(np.uint8), margin, 5).any(), "a whole head has no more"


def test_a_crown_is_as_high_in_the_next_frame_whose_outline_differs_by_a_pixel():
    """A short piece of an outline hardly says how round it is: what it has from its pixels must not decide."""
    random = np.random.default_rng(0)
    heights = []
    for _ in range(20):
        head, steps = np.zeros((64, 160, 4), np.uint8), random.integers(-1, 2, 160)
        # An ellipse of 58 by 60 pixels about a middle 40 below the cut, to 55 from its middle.
        for column in range(25, 135):
            row = 40 - 58 * np.sqrt(1 - ((column + 0.5 - 80) / 60) ** 2) + steps[column]
            head[max(0, round(row)) :, column] = 255
        heights.append((crown_above(head, 40, 8)[..., 3] > 127).any(1).sum())
    assert max(heights) - min(heights) <= 4 and np.mean(heights) == pytest.approx(18, abs=4), heights


def test_a_crown_is_closed_beside_a_piece_of_wall_that_a_matte_took_along():
    head = np.rint(255 * disc(64, 38)).astype(np.uint8)
    plain = (crown_above(head, 15, 5)[..., 3] > 127).any(1).sum()
    head[2:30, 96:112] = 255
    found = (crown_above(head, 15, 5)[..., 3] > 127).any(1).sum()
    assert found == pytest.approx(plain, abs=3)
