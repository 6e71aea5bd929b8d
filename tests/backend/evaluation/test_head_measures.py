"""What is measured of a head finds the fault it is named after, and no other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.evaluation.continuity import continuity
from backend.evaluation.grain import MEASURES, detail, grain
from backend.evaluation.head_depth import depth_difference
from backend.evaluation.head_sweep import Condition, drawn, middle, of_frames, shapes_alone, turn, turned
from backend.evaluation.sharpness import PARTS, mean_sharpness, sharpness
from backend.workspace.head_track import HeadTrack
from backend.workspace.landmarks import LEFT_EYE, LIPS, RIGHT_EYE
from backend.workspace.poses import make_poses
from tests.backend.evaluation.striped_head import CAMERA, DISTANCE_M, StripedHead

CHROMA = [MEASURES.index(name) for name in ("chroma_rms", "chroma_p99")]


@pytest.fixture
def base() -> Condition:
    pose = np.eye(4)
    pose[2, 3] = DISTANCE_M
    return Condition("front", pose, np.full(52, 0.1, np.float32))


@pytest.fixture
def trained(base) -> list[Condition]:
    """A clip's poses: a few degrees about the front."""
    return [turn(base, yaw, pitch) for yaw in (-4, -2, 0, 3, 5) for pitch in (-3, 2)]


def test_a_clean_head_that_turns_has_no_grain(base, trained):
    found = grain(StripedHead(), CAMERA, trained, [turn(base, -12), turn(base, 12), *shapes_alone(base)[:8]])
    limit = 1.15 * np.nanmax(found.trained_ratios, axis=0)
    assert (found.ratios <= limit).all(), (found.ratios, limit)
    assert all(row["median"] < 1.3 for row in found.figures.values())


def test_more_coloured_specks_are_more_grain(base, trained):
    outside = [turn(base, 12), turn(base, -25)]
    by_share = np.array(
        [grain(StripedHead(specks), CAMERA, trained, outside).ratios.min(0) for specks in (0.0, 0.005, 0.02, 0.1)]
    )
    assert (np.diff(by_share[:, MEASURES.index("chroma_rms")]) > 0.25).all(), by_share
    assert (by_share[2:, CHROMA] > 1.5).all()


def test_grain_is_named_by_the_shape_that_shows_it(base, trained):
    found = grain(StripedHead(0.05), CAMERA, trained, shapes_alone(base, (0.5, 1.3))[:6])
    assert np.argwhere(found.ratios[:, CHROMA[0]] > 2).ravel().tolist() == [1, 3, 5]
    assert found.figures["chroma_rms"]["at"].endswith("1.3")


def test_detail_of_the_silhouette_and_of_nothing_is_none(base):
    flat = np.zeros((64, 64, 4), np.float32)
    assert np.isnan(detail(flat)).all()
    flat[16:48, 16:48] = (0.1, 0.6, 0.2, 1)
    assert detail(flat).max() == 0


def test_the_sweep_has_every_shape_and_every_turn(base):
    shapes = shapes_alone(base)
    assert len(shapes) == 52 * 4 and len({condition.name for condition in shapes}) == len(shapes)
    assert all((condition.blendshapes != base.blendshapes).sum() == 1 for condition in shapes)
    angles = [np.degrees(np.arccos((np.trace(c.head_to_camera[:3, :3]) - 1) / 2)) for c in turned(base)]
    assert len(angles) == 15 and max(angles) == pytest.approx(29, abs=0.5) and min(angles) == pytest.approx(0, abs=1e-5)
    assert all((c.head_to_camera[:3, 3] == base.head_to_camera[:3, 3]).all() for c in turned(base))


def test_the_middle_of_a_clip_is_its_mean_pose_and_untracked_frames_are_left_out(base):
    poses = np.array([turn(base, yaw).head_to_camera for yaw in (-10, 30, 0)])
    valid = np.array([True, True, False])
    values = np.stack([np.full(52, value, np.float32) for value in (0.2, 0.4, 9.0)])
    track = HeadTrack(CAMERA, poses, valid, np.zeros((3, 478, 2), np.float32), values)
    found = middle(track, values)
    np.testing.assert_allclose(found.head_to_camera, turn(base, 10).head_to_camera, atol=1e-9)
    np.testing.assert_allclose(found.blendshapes, 0.3, rtol=1e-6)
    assert [condition.name for condition in of_frames(track, values, np.arange(3))] == ["frame 0", "frame 1"]


def test_depth_differs_by_what_a_surface_was_moved(trained):
    same = depth_difference(StripedHead(), StripedHead(), CAMERA, trained)
    assert (same.median_m, same.p95_m) == (0, 0) and same.pixels > 1000
    moved = depth_difference(StripedHead(nearer_m=0.004), StripedHead(), CAMERA, trained)
    assert moved.median_m == pytest.approx(0.004, rel=1e-3) and moved.bias_m == pytest.approx(-0.004, rel=1e-3)
    assert depth_difference(StripedHead(), StripedHead(), CAMERA, []).pixels == 0


def test_a_jump_is_no_smooth_motion(base):
    smooth = continuity(StripedHead(), CAMERA, [base, turn(base, 12)])
    assert smooth.shift < 0.5 and smooth.jump < 0.2 * smooth.turn
    jumping = continuity(StripedHead(jump=20.0), CAMERA, [base])
    assert jumping.shift == pytest.approx(20, abs=0.5)


def test_a_blur_of_the_mouth_is_found_in_the_mouth(images):
    truth = images[0]
    random = np.random.default_rng(0)
    landmarks = np.full((478, 2), 20, np.float32)
    landmarks[list(LIPS)] = random.uniform((100, 160), (150, 185), (len(LIPS), 2))
    for eye, x in ((RIGHT_EYE, 90), (LEFT_EYE, 140)):
        landmarks[eye] = random.uniform((x, 100), (x + 25, 110), (len(eye), 2))
    hair = np.zeros((256, 256), np.uint8)
    hair[20:60] = 255
    assert sharpness(truth, truth, landmarks, hair) == dict.fromkeys(PARTS, 1.0)
    blurred = truth.copy()
    blurred[150:200, 80:170] = cv2.GaussianBlur(truth, (9, 9), 3)[150:200, 80:170]
    found = sharpness(blurred, truth, landmarks, hair)
    assert found["mouth"] < 0.5 and found["eyes"] == found["hair"] == 1
    unseen = sharpness(truth, truth, np.full((478, 2), np.nan, np.float32), 0 * hair)
    assert mean_sharpness([found, unseen]) == {"mouth": round(found["mouth"], 3), "eyes": 1.0, "hair": 1.0}
    assert mean_sharpness([unseen]) == dict.fromkeys(PARTS)


def test_a_trained_head_can_be_measured_at_its_own_and_at_other_poses(trained_once):
    from backend.training import checkpoints
    from backend.workspace.store import Workspace

    workspace = Workspace.open(trained_once)
    track, head = workspace.head_track(), checkpoints.load_for_rendering(workspace)
    conditions, renderer = head.lips.clip_conditions(workspace, track.blendshapes), head.renderer()
    camera, base = track.camera.scaled(96, 96), middle(track, conditions)
    own = of_frames(track, conditions, np.arange(0, workspace.subject.first_test_frame, 20))
    found = grain(renderer, camera, own, [*shapes_alone(base, (1.3,))[:3], *turned(base, (-25, 25), (0,))])
    assert np.isfinite(found.ratios).all() and found.figures["chroma_rms"]["largest"] > 0
    assert depth_difference(renderer, renderer, camera, own).p95_m == 0
    assert 0 <= continuity(renderer, camera, own[:1]).jump < 255
    assert all(np.isfinite(image.rgba).all() for image in drawn(renderer, camera, own))


def test_poses_of_the_sweep_are_rigid(base):
    poses = np.array([condition.head_to_camera for condition in turned(base)])
    np.testing.assert_allclose(poses, make_poses(poses[:, :3, :3], poses[:, :3, 3]))
    np.testing.assert_allclose(
        poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.eye(3)[None].repeat(15, 0), atol=1e-12
    )
