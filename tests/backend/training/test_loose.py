"""What is no part of a Gaussian head is found from all sides, and what hangs on it is kept."""

import numpy as np
import torch

from backend.renderer.gaussians.kernels import get_rasteriser
from backend.renderer.gaussians.kernels.interface import LOG_SCALE, OPACITY, POSITION
from backend.renderer.gaussians.renderer import GaussianRenderer
from backend.training.gaussians import density
from backend.training.gaussians.loose import loose_gaussians
from backend.workspace.camera import Camera
from tests.backend.made_up_gaussians import made_up_gaussians

STRAND, PIECE, FAINT = slice(0, 20), slice(20, 30), slice(30, 35)


def test_pieces_beside_the_head_are_loose_beyond_the_image_too_and_strands_on_it_are_not():
    head = made_up_gaussians(400)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 3))
    points *= 0.07 / np.linalg.norm(points, axis=1, keepdims=True)
    points[STRAND] = np.linspace((-0.05, 0.05, 0), (-0.09, 0.11, 0), 20)
    points[PIECE] = (0.15, 0.02, 0) + rng.normal(size=(10, 3)) * 0.004
    points[FAINT] = (-0.14, -0.04, 0) + rng.normal(size=(5, 3)) * 0.01
    head.base[POSITION] = torch.from_numpy(points.T.astype(np.float32))
    head.base[LOG_SCALE] = np.log(0.006)
    head.base[OPACITY] = 3.0
    head.base[OPACITY, FAINT] = -4.0
    pose = np.eye(4)
    pose[2, 3] = 0.6
    camera = Camera(128, 128, 300.0, (64.0, 64.0))
    renderer = GaussianRenderer(head, get_rasteriser(threads=1))
    image = renderer.render(camera, pose, np.zeros(52)).rgba
    assert image[64, 64, 3] > 0.9, "a head is there"
    loose = loose_gaussians(head, renderer, camera, pose, np.zeros(52))
    assert np.flatnonzero(loose).tolist() == list(range(20, 35))


def test_of_a_head_in_pieces_or_without_any_nothing_is_removed():
    pose, camera = np.eye(4), Camera(128, 128, 300.0, (64.0, 64.0))
    pose[2, 3] = 0.6
    for opacity, apart_m in ((3.0, 0.25), (-9.0, 0.0)):
        head = made_up_gaussians(400)
        head.base[POSITION, :160] += torch.tensor([[apart_m], [0.0], [0.0]])
        head.base[OPACITY] = opacity
        renderer = GaussianRenderer(head, get_rasteriser(threads=1))
        assert not loose_gaussians(head, renderer, camera, pose, np.zeros(52)).any()


def test_removed_gaussians_leave_the_others_in_the_order_that_they_were_fitted_in():
    head = made_up_gaussians(300)
    rng = np.random.default_rng(1)
    order = rng.permutation(300).astype(np.int32)
    weight = np.ones(300, np.float32)
    gone = rng.choice(300, 40, replace=False)
    weight[gone] = 0
    change = density.refit(head, weight, np.zeros(300, np.float32), 0, np.array([0.0, 0.0, -0.6]))
    kept = density.kept_order(order, change.source)
    assert kept.dtype == np.int32
    assert change.source[kept].tolist() == [index for index in order if index not in gone]
