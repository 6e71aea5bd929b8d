"""A crown that the image cuts off is that of the frame which shows most of it."""

from __future__ import annotations

import numpy as np
import pytest

from backend.training.gaussians.crown import Crown, shows_most
from backend.training.gaussians.turned_frames import completed
from backend.workspace.camera import Camera
from backend.workspace.poses import turned

SIDE = 128
CAMERA = Camera(SIDE, SIDE, 250.0, (64.0, 64.0))


def pose(right_px: float = 0.0, down_px: float = 0.0, nearer: float = 1.0) -> np.ndarray:
    """A head whose origin is so far from the image's middle."""
    found = np.eye(4)
    found[:3, 3] = np.array([right_px / 250, down_px / 250, 1.0]) * 0.6 / nearer
    return found


def head(pose: np.ndarray, margin: int = 0) -> np.ndarray:
    """A disc of 0.11 m about a point 0.04 m above the origin, with a parting of 0.02 m, in the plane of the outline's top."""
    y, x = np.mgrid[-margin : SIDE + margin, -margin : SIDE + margin] + 0.5
    depth = pose[2, 3] + 0.02
    right, down = ((at - 64) * depth / 250 - pose[axis, 3] for axis, at in ((0, x), (1, y)))
    is_head = (np.hypot(right, down + 0.04) < 0.11) & ~((np.abs(right - 0.03) < 0.01) & (down < -0.1))
    alpha = is_head.astype(np.float32)[..., None]
    return np.concatenate([alpha * (0.2, 0.4, 0.6), alpha], -1).astype(np.float32)


@pytest.mark.parametrize(("right_px", "down_px", "nearer"), [(0, -14, 1.0), (6, -9, 1.0), (-4, -9, 1.15)])
def test_what_a_frame_cuts_off_is_what_another_shows(right_px, down_px, nearer) -> None:
    low, high = pose(down_px=5), pose(right_px, down_px, nearer)
    image, margin = completed(head(high), 90)
    crown = Crown.of(*completed(head(low), 90), CAMERA, low)
    found, truth = crown.put_on(image, high), head(high, margin)
    assert truth[:margin, :, 3].any(), "the image cuts it off"
    apart = np.abs(found - truth)[:margin]
    guessed = np.abs(image - truth)[:margin]
    assert apart.sum() < 0.35 * guessed.sum(), "one frame's guess knows no parting"
    np.testing.assert_array_equal(found[margin + 3 :], image[margin + 3 :])


def test_a_head_that_no_image_cuts_off_stays() -> None:
    image, margin = completed(head(pose(down_px=8)), 90)
    crown = Crown.of(*completed(head(pose(2, 12)), 90), CAMERA, pose(2, 12))
    assert not crown.put_on(image, pose(down_px=8))[: margin + 2].any()


def test_the_frame_that_shows_most_is_one_that_is_turned_like_the_others() -> None:
    poses = np.stack([pose(down_px=at) for at in (0, 3, 9, -5)] + [turned(pose(down_px=20), 15, 0)])
    assert shows_most(CAMERA, poses, np.arange(5)) == 2
    assert shows_most(CAMERA, poses, np.array([0, 3])) == 0
