"""How a rendered head is put into its footage is chosen in one place."""

from __future__ import annotations

import numpy as np
import pytest

from backend.portrait_sync.blend import over
from backend.portrait_sync.frame import split_frame
from backend.portrait_sync.placed_head import PlacedHead
from backend.portrait_sync.plate import PlateParts, limit_by_frame
from backend.portrait_sync.portrait import OverPlate, open_portrait
from backend.protocol import NO_PORTRAIT, OURS, PORTRAITS
from backend.workspace.camera import Camera
from backend.workspace.head_track import HeadTrack
from backend.workspace.store import Workspace
from backend.workspace.subject import Subject
from tests.backend.portrait_sync.conftest import Scene

SIDE = 256


class Clip:
    """The drawn scene, each image of which has a colour of its own."""

    def frame(self, index: int) -> np.ndarray:
        return np.full((SIDE, SIDE, 3), (200, index, 0), np.uint8)

    def plate(self, index: int) -> np.ndarray:
        return np.full((SIDE, SIDE, 3), (0, index, 200), np.uint8)

    def background(self, index: int) -> np.ndarray:
        return np.full((SIDE, SIDE, 3), (0, 0, 90), np.uint8)

    def cover(self, index: int) -> np.ndarray | None:
        return None

    def to_image(self, points_px: np.ndarray) -> np.ndarray:
        return points_px


@pytest.fixture
def head() -> PlacedHead:
    rgba = np.zeros((SIDE, SIDE, 4), np.float32)
    rgba[100:150, 100:150] = (1, 1, 1, 1)
    camera = Camera(SIDE, SIDE, 600.0, (SIDE / 2, SIDE / 2))
    return PlacedHead(rgba, 7, camera, np.eye(4), np.zeros(52, np.float32))


def test_ours_is_over_the_plate_of_its_frame_and_none_before_the_background(head, tmp_path):
    """Neither reads anything of the workspace but the images."""
    workspace = Workspace(tmp_path, Subject(name="none"))
    poses, landmarks = np.tile(np.eye(4), (1, 1, 1)), np.zeros((1, 478, 2), np.float32)
    track = HeadTrack(head.camera, poses, np.ones(1, bool), landmarks, np.zeros((1, 52), np.float32))
    ours, alone = (open_portrait(name, Clip(), workspace, track).compose(head) for name in (OURS, NO_PORTRAIT))
    np.testing.assert_array_equal(ours, over(head.rgba, Clip().plate(7)))
    np.testing.assert_array_equal(alone, over(head.rgba, Clip().background(7)))
    assert set(PORTRAITS) >= {OURS, NO_PORTRAIT}


def test_an_edge_is_softened_by_its_share_of_the_side(head):
    soft = OverPlate(Clip(), 0.01).compose(head)
    np.testing.assert_array_equal(soft, over(head.rgba, Clip().plate(7), 0.01 * SIDE))


def test_each_part_of_a_plate_can_be_off(scene: Scene, model):
    def plate(**off: bool) -> np.ndarray:
        return split_frame(scene.frames[0], model, scene.probability[0], scene.landmarks[0], parts=PlateParts(**off))[1]

    full, bare = plate().astype(int), plate(neck=False).astype(int)
    behind = scene.head[0] > 0.99
    differs = np.abs(full - bare).max(-1) > 20
    assert differs[behind].mean() > 0.05, "the neck behind the head is gone"
    clip = plate(neck=False, light=False).astype(int)
    assert np.abs(clip - model.background)[behind].mean() < 0.5, "and the clip's background is there"
    assert np.abs(bare - clip)[behind].mean() < 4, "about as light in this frame"


def test_the_neck_below_the_jaw_keeps_the_chins_shadow(scene: Scene, model):
    """Removed above a line it left a light block on the neck, and darkness below the line."""
    found = split_frame(scene.frames[0], model, scene.probability[0], scene.landmarks[0])
    mattes, plate = found
    neck = (mattes[..., 0] == 0) & (mattes[..., 2] == 255)
    assert neck.sum() > 1000
    np.testing.assert_array_equal(plate[neck], scene.frames[0][neck])


def test_a_guessed_background_can_become_the_frame_under_what_the_matte_leaves_of_it():
    """Else the head over its plate is not the frame, and takes a piece of the true background along."""
    frame, plate = np.full((40, 60, 3), (120, 90, 80), np.uint8), np.full((40, 60, 3), (30, 40, 90), np.uint8)
    head = np.repeat(np.float32([0.05, 0.1, 0.3, 0.5, 0.95, 0.1]), 10)[None].repeat(40, 0)
    seen = np.zeros(head.shape, bool)
    seen[:, 50:] = True
    found = plate.copy()
    limit_by_frame(found, frame, head, seen, 100.0)
    assert found[20, 15, 0] > 100 and np.abs(found[20, 15].astype(int) - frame[20, 15]).max() < 25
    np.testing.assert_array_equal(found[:, 40:], plate[:, 40:], "covered, and known")
    for column in (5, 15, 25, 35):
        alpha = head[20, column]
        of_head = frame[20, column] - (1 - alpha) * found[20, column].astype(float)  # times its alpha
        assert of_head.min() > -1 and of_head.max() < 255 * alpha + 1
    thin = np.where(np.arange(60) == 15, head, 1.0).astype(np.float32)
    found = plate.copy()
    limit_by_frame(found, frame, thin, seen, 100.0)
    np.testing.assert_array_equal(found, plate, "a strand")
