"""Bundle adjustment against a made-up truth."""

from __future__ import annotations

import numpy as np
import pytest

from backend.evaluation.tracking.measures import pose_error
from backend.head_sync import bundle_adjustment
from backend.head_sync.bundle_adjustment import (
    FocalPrior,
    Prior,
    bundle_adjust,
    refine_points,
    refine_poses,
    residuals_px,
)
from backend.workspace.poses import project, step_poses
from tests.backend.made_up_head import FOCAL, PRINCIPAL, make_face, make_motion


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_poses_survive_noise_and_outliers(rng):
    points, truth = make_face()[:120], make_motion(60)
    seen = project(truth, points, FOCAL, PRINCIPAL) + rng.normal(0, 0.5, (60, 120, 2))
    seen[rng.random((60, 120)) < 0.1] += 40
    start = step_poses(truth, rng.normal(0, 0.03, (60, 6)))
    found = refine_poses(seen, np.full((60, 120), 2.0), points, start, FOCAL, PRINCIPAL)
    error = pose_error(found, truth)
    assert error.turn_deg.mean() < 0.3
    assert error.place_percent.mean() < 0.5


def test_a_frame_that_sees_nothing_keeps_its_pose(rng):
    points, truth = make_face()[:50], make_motion(5)
    weights = np.ones((5, 50))
    weights[2] = 0
    start = step_poses(truth, rng.normal(0, 0.02, (5, 6)))
    found = refine_poses(project(truth, points, FOCAL, PRINCIPAL), weights, points, start, FOCAL, PRINCIPAL)
    np.testing.assert_allclose(found[2], start[2])
    np.testing.assert_allclose(found[[0, 1, 3, 4]], truth[[0, 1, 3, 4]], atol=1e-4)


def test_points_are_triangulated(rng):
    points, truth = make_face()[:80], make_motion(100)
    seen = project(truth, points, FOCAL, PRINCIPAL) + rng.normal(0, 0.2, (100, 80, 2))
    start = points + rng.normal(0, 0.008, points.shape)
    prior = Prior(start, np.full(80, 1 / 0.05))
    found = refine_points(seen, np.full((100, 80), 5.0), start, truth, FOCAL, PRINCIPAL, prior)
    assert np.abs(found - points).max() < 0.002


def test_points_and_poses_are_found_together_and_explain_what_was_seen(rng):
    points, truth = make_face()[:80], make_motion(60)
    seen = project(truth, points, FOCAL, PRINCIPAL) + rng.normal(0, 0.2, (60, 80, 2))
    weights = np.where(rng.random((60, 80)) < 0.7, 5.0, 0.0)
    first = points + rng.normal(0, 0.004, points.shape)
    start = step_poses(truth, rng.normal(0, 0.02, (60, 6)))
    prior = Prior(first, np.full(80, 1 / 0.02))
    bundle = bundle_adjust(seen, weights, first, start, FOCAL, PRINCIPAL, prior)
    error = residuals_px(seen, bundle.points, bundle.poses, FOCAL, PRINCIPAL)[weights > 0]
    assert np.sqrt((error**2).mean()) < 0.32  # two axes of 0.2 px make 0.28
    assert pose_error(bundle.poses, truth).turn_deg.mean() < 0.3


def test_focal_length_is_found_where_the_shape_is_known():
    points, truth = make_face()[:80], make_motion(60)
    seen = project(truth, points, FOCAL, PRINCIPAL)
    start = truth.copy()
    start[:, 2, 3] *= 0.8
    prior = Prior(points, np.full(80, 1 / 0.0001))
    bundle = bundle_adjust(
        seen, np.full((60, 80), 5.0), points, start, 0.8 * FOCAL, PRINCIPAL, prior, FocalPrior(0.8 * FOCAL, 1.0), 40
    )
    assert bundle.focal == pytest.approx(FOCAL, rel=0.02)
    assert 0 < bundle.focal_spread < 0.1


def test_poses_by_the_kernel_are_those_of_plain_operations(monkeypatch, rng):
    pytest.importorskip("numba")
    points, truth = make_face()[:80], make_motion(60)
    seen = project(truth, points, FOCAL, PRINCIPAL)
    seen[::3, ::7] += 25.0  # outliers
    weights = np.where(rng.random((60, 80)) < 0.7, 2.0, 0.0)
    weights[5] = 0.0
    start = step_poses(truth, np.full((60, 6), 0.01))
    found = refine_poses(seen, weights, points, start, FOCAL, PRINCIPAL)
    monkeypatch.setattr(bundle_adjustment, "has_numba", lambda: False)
    expected = refine_poses(seen, weights, points, start, FOCAL, PRINCIPAL)
    assert np.abs(found - expected).max() < 1e-9
    assert np.abs(found[4] - start[4]).max() > 1e-3
