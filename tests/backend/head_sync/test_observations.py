"""How much each observation of a frame counts for its pose."""

from __future__ import annotations

import numpy as np
import pytest

from backend.head_sync.bundle_adjustment import refine_poses
from backend.head_sync.observations import crowding
from backend.workspace.poses import project

FOCAL, PRINCIPAL = 1100.0, np.array([256.0, 256.0])


@pytest.fixture
def points() -> np.ndarray:
    """Thirty points within 4 mm on the nose, and sixteen all over the upper face, metres in the head frame."""
    rng = np.random.default_rng(1)
    nose = np.array([0, -0.01, -0.11]) + rng.normal(0, 0.0015, (30, 3))
    x, y = (each.ravel() for each in np.meshgrid(np.linspace(-0.055, 0.055, 4), np.linspace(-0.12, -0.04, 4)))
    return np.concatenate([nose, np.stack([x, y, -0.09 + 8 * x**2], 1)])


def test_a_highlight_on_many_patches_does_not_outvote_the_rest_of_the_head(points: np.ndarray) -> None:
    pose = np.eye(4)[None]
    pose[0, 2, 3] = 1.0
    seen = np.ones((1, len(points)), bool)
    shown = project(pose, points, FOCAL, PRINCIPAL)
    shown[:, :30, 1] += 1.0  # pixels

    def turned_deg(weights: np.ndarray) -> float:
        found = refine_poses(shown, weights, points, pose, FOCAL, PRINCIPAL)[0]
        return float(np.degrees(np.arccos(np.clip((np.trace(found[:3, :3]) - 1) / 2, -1, 1))))

    alike = turned_deg(np.ones(seen.shape))
    assert alike > 0.2
    assert turned_deg(1 / np.sqrt(crowding(points, seen))) < 0.5 * alike


def test_points_share_information_with_those_that_the_same_frame_sees_around_them(points: np.ndarray) -> None:
    seen = np.ones((2, len(points)), bool)
    seen[1, 1:30] = False
    both, alone = crowding(points, seen)
    assert both[:30] == pytest.approx(np.full(30, both[0]), rel=0.25)
    assert both[0] > 20 * both[30:].max()
    assert alone[0] == pytest.approx(alone[30:].mean(), rel=0.1)
    assert (1 / crowding(points, seen)[seen]).mean() == pytest.approx(1, abs=1e-4)


def test_no_head_points_at_all() -> None:
    assert crowding(np.zeros((0, 3)), np.zeros((5, 0), bool)).shape == (5, 0)
