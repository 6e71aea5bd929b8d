"""Compositing the head over the plate, and the working square into the source."""

from __future__ import annotations

import cv2
import numpy as np

from backend.portrait_sync.blend import over, working_ramp
from backend.workspace.subject import Crop, Subject


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


def test_a_working_frame_is_feathered_within_the_source_and_not_at_its_edges() -> None:
    subject = Subject(source_size=(200, 100), size=64, crop=Crop(50, 0, 100))
    ramp = working_ramp(subject, feather=0.1)
    assert ramp[32, 0] < 0.1, "the side within the source begins at nothing"
    assert ramp[0, 32] == ramp[-1, 32] == 1, "the source's own edges have no ramp"
    assert (np.diff(ramp[32, :12]) >= 0).all()
    np.testing.assert_allclose(ramp, ramp[:, ::-1])
    assert (working_ramp(Subject(source_size=(64, 64), size=64, crop=Crop(0, 0, 64))) == 1).all()
