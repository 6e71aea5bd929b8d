"""Bundle adjustment by Adam, against Levenberg-Marquardt and a made-up truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from backend.evaluation.tracking.measures import pose_error
from backend.head_sync.adam_adjustment import adam_bundle_adjust
from backend.head_sync.bundle_adjustment import Prior, bundle_adjust, residuals_px
from backend.workspace.poses import project, step_poses
from tests.backend.made_up_head import FOCAL, PRINCIPAL, make_face, make_motion


@dataclass
class Clip:
    """What is adjusted, and the true poses."""

    points_px: np.ndarray
    weights: np.ndarray
    points: np.ndarray
    poses: np.ndarray
    prior: Prior
    truth: np.ndarray

    def adjust(self, **options):
        return adam_bundle_adjust(
            self.points_px, self.weights, self.points, self.poses, FOCAL, PRINCIPAL, self.prior, **options
        )


def make_clip(frames: int = 60, count: int = 80, seen: float = 0.7, outliers: float = 0.0) -> Clip:
    rng = np.random.default_rng(1)
    points, truth = make_face()[:count], make_motion(frames)
    points_px = project(truth, points, FOCAL, PRINCIPAL) + rng.normal(0, 0.2, (frames, count, 2))
    points_px[rng.random((frames, count)) < outliers] += 40
    weights = np.where(rng.random((frames, count)) < seen, 5.0, 0.0)
    first = points + rng.normal(0, 0.004, points.shape)
    start = step_poses(truth, rng.normal(0, 0.01, (frames, 6)))
    return Clip(points_px, weights, first, start, Prior(first.copy(), np.full(count, 1 / 0.01)), truth)


@pytest.mark.parametrize("outliers", [0.0, 0.1])
def test_adam_reaches_the_cost_and_poses_of_levenberg_marquardt(outliers):
    clip = make_clip(outliers=outliers)
    best = bundle_adjust(
        clip.points_px, clip.weights, clip.points, clip.poses, FOCAL, PRINCIPAL, clip.prior, iterations=40
    )
    found = clip.adjust()
    assert found.cost == pytest.approx(best.cost, rel=0.002)  # measured: 1.00001
    assert pose_error(found.poses, clip.truth).turn_deg.mean() < 0.3
    assert (
        pose_error(found.poses, clip.truth).turn_deg.mean() < pose_error(best.poses, clip.truth).turn_deg.mean() + 0.02
    )
    assert np.abs(found.points - best.points).max() < 0.001


def test_points_and_poses_explain_what_was_seen():
    clip = make_clip()
    found = clip.adjust()
    error = residuals_px(clip.points_px, found.points, found.poses, FOCAL, PRINCIPAL)[clip.weights > 0]
    assert np.sqrt((error**2).mean()) < 0.32  # two axes of 0.2 px make 0.28


def test_a_frame_that_sees_nothing_keeps_its_pose_and_an_unseen_point_its_prior():
    clip = make_clip(frames=20)
    clip.weights[[4, 19]] = 0
    clip.weights[:, 7] = 0
    clip.points[7] += 0.01
    found = clip.adjust(iterations=60)
    np.testing.assert_array_equal(found.poses[[4, 19]], clip.poses[[4, 19]])
    np.testing.assert_allclose(found.points[7], clip.prior.mean[7], atol=1e-12)
    assert np.abs(found.poses[5] - clip.poses[5]).max() > 1e-3


def test_nothing_seen_at_all_changes_nothing():
    clip = make_clip(frames=3, count=10, seen=0.0)
    found = clip.adjust()
    np.testing.assert_array_equal(found.poses, clip.poses)
    np.testing.assert_allclose(found.points, clip.points, atol=1e-12)
    assert found.cost == 0


def test_the_same_clip_gives_the_same_bits_in_one_piece_or_many(monkeypatch):
    clip = make_clip(frames=20)
    first, second = clip.adjust(iterations=40), clip.adjust(iterations=40)
    np.testing.assert_array_equal(first.poses, second.poses)
    np.testing.assert_array_equal(first.points, second.points)
    monkeypatch.setattr("backend.head_sync.adam_adjustment.PIECE", 50)  # a frame lies in two pieces then
    pieces = clip.adjust(iterations=40)
    np.testing.assert_allclose(pieces.poses, first.poses, atol=1e-7)
    assert pieces.cost == pytest.approx(first.cost, rel=1e-6)


def test_stopping_it_leaves_what_it_was_given_as_it_was():
    clip = make_clip(frames=20)
    before = [array.copy() for array in (clip.points_px, clip.weights, clip.points, clip.poses, clip.prior.mean)]
    parts = []

    def stop_half_way(done: float) -> None:
        parts.append(done)
        if done >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clip.adjust(iterations=40, on_step=stop_half_way)
    assert parts == sorted(parts)
    assert parts[-1] == 0.5
    for array, kept in zip(
        (clip.points_px, clip.weights, clip.points, clip.poses, clip.prior.mean), before, strict=True
    ):
        np.testing.assert_array_equal(array, kept)
    again, first = clip.adjust(iterations=40), make_clip(frames=20).adjust(iterations=40)
    np.testing.assert_array_equal(again.poses, first.poses)
