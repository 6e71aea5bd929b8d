"""A crown that the image cuts off is that of the frame which shows most of it."""

from __future__ import annotations

import numpy as np
import pytest

from backend.portrait_sync.beyond_frame import completed
from backend.training.gaussians.crown import SKULL_M, Crown, is_cut_off, level_pose, rounded, shows_most, skull_cap
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
    assert is_cut_off(image, margin)
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
    assert not is_cut_off(image, margin)
    assert not crown.put_on(image, pose(down_px=8))[: margin + 2].any()


def test_a_skull_that_nods_stays_as_high_as_its_middle_and_what_comes_into_view_is_hair() -> None:
    seen = pose(down_px=-5)
    for nod_deg in (-10, 10):
        nodding = turned(seen, 0, nod_deg)
        level = level_pose(seen, nodding)
        np.testing.assert_allclose(level[:3, :3], seen[:3, :3], atol=1e-12)
        (there, here), _ = zip(*(CAMERA.project(at, SKULL_M[None]) for at in (level, nodding)), strict=True)
        np.testing.assert_allclose(there, here, atol=1e-6)
        low, high = head(pose(down_px=20)), head(pose(down_px=-10))  # a sheet that bends is lower, or higher
        sheet, round_skull = (low, high) if nod_deg > 0 else (high, low)
        brow_row = 70
        found = rounded(sheet, round_skull, brow_row)
        top = slice(0, brow_row - round(0.1 * SIDE) - 1)
        np.testing.assert_allclose(found[top, :, 3], round_skull[top, :, 3], atol=1e-6)
        np.testing.assert_array_equal(found[brow_row:], sheet[brow_row:])
        hair = found[top][found[top, :, 3] > 0.5]
        np.testing.assert_allclose(hair, np.tile([0.2, 0.4, 0.6, 1.0], (len(hair), 1)), atol=0.02)


def test_a_head_that_is_turned_sideways_is_level_when_turned() -> None:
    seen = pose()
    np.testing.assert_allclose(level_pose(seen, turned(seen, 9, 0)), turned(seen, 9, 0), atol=1e-9)


def test_a_skull_goes_on_behind_its_crown_as_far_from_its_middle_and_in_its_colour() -> None:
    random = np.random.default_rng(0)
    side = random.uniform(-1.2, 1.2, 4000)
    outline = np.stack([0.085 * np.sin(side), -0.12 * np.cos(side), random.uniform(-0.05, 0.02, 4000)], 1)
    inside = outline * np.stack([random.uniform(0.8, 1, 4000)] * 2 + [np.ones(4000)], 1)
    points, colours = SKULL_M + np.concatenate([outline, inside]), np.tile([0.2, 0.1, 0.05], (8000, 1))
    cap, found = skull_cap(points, colours)
    offset = cap - SKULL_M
    assert (offset[:, 2] >= 0).all() and offset[:, 2].max() > 0.05
    level = offset[np.isclose(offset[:, 2], 0)]
    np.testing.assert_allclose(np.hypot(level[:, 0] / 0.085, level[:, 1] / 0.12), 1, atol=0.08)
    np.testing.assert_allclose(found, np.tile([0.2, 0.1, 0.05], (len(cap), 1)), atol=1e-9)
    assert not len(skull_cap(points[:50], colours[:50])[0]), "too little is known of it"


def test_the_frame_that_shows_most_is_one_that_is_turned_like_the_others() -> None:
    poses = np.stack([pose(down_px=at) for at in (0, 3, 9, -5)] + [turned(pose(down_px=20), 15, 0)])
    assert shows_most(CAMERA, poses, np.arange(5)) == 2
    assert shows_most(CAMERA, poses, np.array([0, 3])) == 0
