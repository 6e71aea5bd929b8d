"""Where head points are chosen, and what becomes of them on the embedded speaker."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.head_sync import landmarks_stage
from backend.head_sync.bundle_adjustment import residuals_px
from backend.head_sync.head_motion_tracker import expected_focal_px, track_head_motion
from backend.head_sync.head_points_choice import choose_references, flow_bend
from backend.head_sync.head_points_tracker import track_head_points
from backend.head_sync.landmarks_stage import Landmarks
from backend.head_sync.stage import principal_px, read_grey
from backend.progress import Reporter
from backend.workspace.store import Workspace
from tests.backend.made_up_head import make_motion

FRAMES = 50


def blotches(seed: int, size: int = 240) -> np.ndarray:
    """An image (size, size) uint8 that can be tracked everywhere."""
    noise = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)


def test_flow_bends_where_one_part_moves_against_the_rest_and_not_by_an_affine_map():
    image = blotches(1)
    rows, columns = np.mgrid[:240, :240].astype(np.float32)
    corners = np.array([[x, y] for x in (20.0, 120, 220) for y in (20.0, 120, 220)])
    # All of it is rotated and scaled a little; a disc in it is shifted by four pixels more.
    turn = cv2.getRotationMatrix2D((120, 120), 4, 1.03)
    turned = cv2.warpAffine(image, turn, (240, 240), borderMode=cv2.BORDER_REFLECT)
    inside = np.exp(-(((columns - 60) ** 2 + (rows - 60) ** 2) / 18**2)).astype(np.float32)
    moved = cv2.remap(turned, columns - 4 * inside, rows, cv2.INTER_LINEAR)
    there = corners @ turn[:, :2].T + turn[:, 2]
    bend = flow_bend(image, [moved], [np.stack([corners, there])])
    disc = (columns - 60) ** 2 + (rows - 60) ** 2 < 25**2
    middle = (np.abs(columns - 120) < 90) & (np.abs(rows - 120) < 90)
    far = (columns - 60) ** 2 + (rows - 60) ** 2 > 60**2
    assert bend[disc].mean() > 4 * bend[far & middle].mean()


def test_references_are_far_apart_in_turn_and_time():
    poses = make_motion(200)
    known = np.ones(200, bool)
    known[50:100] = False
    chosen = choose_references(poses, known, limit=6)
    assert len(set(chosen)) == 6
    assert known[chosen].all()
    yaw = np.degrees(np.arcsin(poses[chosen, 0, 2]))
    assert np.ptp(yaw) > 0.7 * np.ptp(np.degrees(np.arcsin(poses[known, 0, 2])))


@pytest.fixture(scope="module")
def seen(speaker: Path, tmp_path_factory: pytest.TempPathFactory):
    """The speaker's first frames with landmarks and their motion."""
    root = Path(shutil.copytree(speaker, tmp_path_factory.mktemp("points") / "speaker"))
    workspace = Workspace.open(root)
    workspace.subject.frames = FRAMES
    landmarks_stage.run(workspace, Reporter(), landmarker="mesh")
    found = Landmarks.read(root / "landmarks.npz")
    subject, principal = workspace.subject, principal_px(workspace.subject)
    expected = expected_focal_px(subject.size, subject.crop.size, subject.source_size)
    motion = track_head_motion(found.points_px, found.depth, found.detected, principal, expected)
    return (lambda frame: read_grey(workspace.frame_path(frame))), found.points_px, motion, principal


@pytest.mark.parametrize("keypoints", ["corners", "flow-most", "flow-least"])
def test_points_are_found_again_where_the_head_is(seen, keypoints):
    read, landmarks_px, motion, principal = seen
    points = track_head_points(read, landmarks_px, motion, principal, keypoints)
    assert points.seen.shape == (FRAMES, len(points.points_head_m))
    assert (points.seen.sum(1) > 100).all()
    error = residuals_px(points.points_px, points.points_head_m, motion.poses, motion.focal.px, principal)
    assert np.median(error[points.seen]) < 4, "poses from landmarks shake by a pixel or two"
    at_home = points.seen[points.reference, np.arange(len(points.reference))]
    assert at_home.all(), "each point is seen where it was chosen"


def test_the_three_choices_differ(seen):
    read, landmarks_px, motion, principal = seen
    places = [
        {tuple(row) for row in track_head_points(read, landmarks_px, motion, principal, keypoints).points_px[0].round()}
        for keypoints in ("flow-most", "flow-least")
    ]
    assert len(places[0] & places[1]) < 0.6 * min(map(len, places))
