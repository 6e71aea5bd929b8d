"""The compiled rasteriser agrees with plain PyTorch in every output and every gradient."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from backend.renderer.gaussians.kernels import View, get_rasteriser
from backend.renderer.gaussians.kernels.torch_rasteriser import TorchRasteriser
from backend.workspace.camera import Camera
from backend.workspace.poses import rotation_exp
from tests.backend.renderer.gaussians.made_up_gaussians import make_attributes, make_order, make_view

pytest.importorskip("numba")

COUNT = 300


@pytest.fixture(params=[1, 2])
def compiled(request):
    return get_rasteriser("numba", threads=request.param)


@pytest.fixture
def oracle():
    return TorchRasteriser(dtype=torch.float64)


def _head(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    attributes = make_attributes(COUNT, seed, sizes_m=(0.004, 0.02))
    return attributes, make_order(attributes)


@pytest.mark.parametrize("filter_m", [0.0, 3e-4, 3e-3])
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (3, 9)])
def test_the_compiled_image_and_its_passes_are_those_of_plain_pytorch(compiled, oracle, size, filter_m):
    random = np.random.default_rng(0)
    attributes, order = _head()
    view = make_view(*size, turn_deg=(5, 20, 3), filter_m=filter_m)
    earlier = attributes + np.float32(1e-3) * random.standard_normal(attributes.shape).astype(np.float32)
    mattes = random.random((3, COUNT), np.float32)
    asked = {"depth": True, "mattes": mattes, "before": (earlier, make_view(*size, turn_deg=(5, 19, 3)))}
    one, other = (rasteriser.draw(attributes, order, view, **asked) for rasteriser in (compiled, oracle))
    for name in ("rgba", "depth", "mattes", "motion"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=3e-3, err_msg=name)
    assert one.rgba.shape == (size[1], size[0], 4) and one.rgba[..., 3].max() > 0.9


@pytest.mark.parametrize("filter_m", [0.0, 3e-4, 3e-3])
@pytest.mark.parametrize("turn_deg", [(5, 20, 3), (-30, -50, 10)])
def test_the_compiled_gradients_are_those_of_plain_pytorch(compiled, oracle, turn_deg, filter_m):
    attributes, order = _head(seed=1)
    view = make_view(50, 41, turn_deg, filter_m)
    _assert_same_gradients(compiled, oracle, attributes, order, view)


def _assert_same_gradients(compiled, oracle, attributes, order, view):
    shape = view.camera.height, view.camera.width, 4
    gradient = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    for rasteriser in (compiled, oracle):
        rasteriser.draw(attributes, order, view)
    one, other = compiled.backward(gradient), oracle.backward(gradient)
    for row in range(14):
        wrong = np.abs(one.attributes[row] - other.attributes[row]) / np.abs(other.attributes[row]).max()
        # A pixel whose alpha is the cutoff's to the last digits has its gradient in one of them and not in the other.
        assert np.quantile(wrong, 0.99) < 2e-3 and wrong.max() < 0.05, f"row {row}"
    np.testing.assert_allclose(one.pose, other.pose, atol=5e-3 * np.abs(other.pose).max())
    np.testing.assert_allclose(one.pull, other.pull, atol=5e-3 * other.pull.max())
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-3 * other.weight.max())


def test_gradients_are_right_where_the_jacobian_is_limited_and_where_gaussians_fade_near_the_camera(compiled, oracle):
    """A camera in the head, with a field of view of 127°, looks past Gaussians beyond its limit and near its plane."""
    attributes, order = _head(seed=3)
    attributes[10] -= 3  # or rounding shows: all of them cover most of the image
    attributes[3:6] += 0.7
    pose = np.eye(4)
    pose[2, 3] = 0.02
    _assert_same_gradients(compiled, oracle, attributes, order, View(Camera(40, 40, 10.0, (20.0, 20.0)), pose, 3e-4))


def test_the_gradient_of_the_pose_is_the_change_that_a_small_motion_makes(oracle):
    attributes, order = _head(seed=4)
    view = make_view(40, turn_deg=(5, 20, 3))
    random = np.random.default_rng(5)
    gradient, motion = random.standard_normal((40, 40, 4)), random.standard_normal(6)
    oracle.draw(attributes, order, view)
    expected = oracle.backward(gradient).pose @ motion

    def loss(step: float) -> float:
        pose = view.head_to_camera.copy()
        pose[:3, :3] = rotation_exp(step * motion[3:]) @ pose[:3, :3]
        pose[:3, 3] += step * motion[:3]
        return float((oracle.draw(attributes, order, View(view.camera, pose, view.filter_m)).rgba * gradient).sum())

    step = 1e-5
    assert (loss(step) - loss(-step)) / (2 * step) == pytest.approx(expected, rel=0.02)


@pytest.mark.skipif(
    not (torch.cuda.is_available() and importlib.util.find_spec("gsplat")), reason="gsplat needs CUDA and is not here"
)
def test_gsplat_draws_the_same_within_the_step_at_its_cutoff(oracle):
    attributes, order = _head()
    view = make_view(64, turn_deg=(5, 20, 3))
    gradient = np.random.default_rng(0).standard_normal((64, 64, 4)).astype(np.float32)
    rasteriser = get_rasteriser("gsplat", "cuda")
    one, other = (drawn.draw(attributes, order, view, depth=True) for drawn in (rasteriser, oracle))
    assert np.abs(one.rgba - other.rgba).mean() < 0.02 and np.abs(one.depth - other.depth).mean() < 0.02
    by_one, by_other = rasteriser.backward(gradient), oracle.backward(gradient)
    assert np.corrcoef(by_one.attributes.ravel(), by_other.attributes.ravel())[0, 1] > 0.95
