"""Compositing the head over the plate, and the working square into the source."""

from __future__ import annotations

import cv2
import numpy as np

from backend.portrait_sync.blend import over, over_part, working_ramp
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


def test_a_head_over_a_part_of_a_plate_is_that_over_the_frame_beneath() -> None:
    """Where the plate repeats the frame, taking none of it changes nothing."""
    plate = smooth_image(48, 48).astype(np.float32) / 255
    head = np.random.default_rng(1).uniform(0, 1, (48, 48, 4)).astype(np.float32)
    head[..., :3] *= head[..., 3:]
    for share in (0.0, 0.4, 1.0):
        layer = over_part(head, plate, np.full((48, 48), share, np.float32))
        shown = layer[..., :3] + (1 - layer[..., 3:]) * plate
        assert np.abs(np.rint(255 * shown) - over(head, np.rint(255 * plate).astype(np.uint8))).max() <= 1
        np.testing.assert_allclose(layer[..., 3], 1 - (1 - head[..., 3]) * (1 - share), atol=1e-6)
