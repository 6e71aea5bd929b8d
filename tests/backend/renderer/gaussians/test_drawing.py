"""What a drawn head must do whatever draws it: move without steps, be the same at every size, and survive any input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.renderer.gaussians.kernels import RASTERISERS, View, get_rasteriser
from backend.renderer.gaussians.kernels.interface import COLOUR, LOG_SCALE, OPACITY, POSITION, ROTATION
from tests.backend.renderer.gaussians.made_up_gaussians import make_attributes, make_order, make_view

pytest.importorskip("numba")

COUNT = 3000


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray]:
    attributes = make_attributes(COUNT, sizes_m=(0.002, 0.006))
    return attributes, make_order(attributes)


@pytest.fixture(params=[1, 2])
def rasteriser(request):
    return get_rasteriser("numba", threads=request.param)


def _image(rasteriser, head, view: View) -> np.ndarray:
    return rasteriser.draw(*head, view).rgba.copy()


def _shifted(view: View, shift_m: float) -> View:
    pose = view.head_to_camera.copy()
    pose[:3, 3] += shift_m
    return replace(view, head_to_camera=pose)


def test_a_micrometre_changes_no_pixel_visibly(rasteriser, head):
    for turn in range(-50, 51, 10):
        view = make_view(128, turn_deg=(turn / 3, turn, 0))
        change = _image(rasteriser, head, _shifted(view, 1e-6)) - _image(rasteriser, head, view)
        assert np.abs(change).max() < 1 / 255


@pytest.mark.parametrize("axis", range(3))
def test_a_slow_turn_moves_every_pixel_smoothly(rasteriser, head, axis):
    """A step is in one of two halves alone: the halves of a turn by 0.01° differ by a small part of a grey level."""
    direction = np.eye(3)[axis]
    for turn in range(-40, 41, 20):
        views = [make_view(128, turn_deg=direction * (turn + step)) for step in (0, 0.005, 0.01)]
        begin, middle, end = (_image(rasteriser, head, view) for view in views)
        assert np.abs((end - middle) - (middle - begin)).max() < 1 / 255


@pytest.mark.parametrize("filter_m", [0.0, 3e-4, 6e-4])
@pytest.mark.parametrize("size", [128, 256, 512])
def test_the_head_is_the_same_at_every_size(rasteriser, head, size, filter_m):
    view = make_view(size, turn_deg=(5, 20, 0), filter_m=filter_m)
    change = _averaged(rasteriser, head, view) - _image(rasteriser, head, view)
    assert np.abs(change).mean() < 1 / 255


def test_gaussians_smaller_than_a_pixel_are_not_swollen(rasteriser, head):
    """By the low-pass alone they would cover 4.5 times their area here, and half as much more at twice the size."""
    attributes = head[0].copy()
    attributes[LOG_SCALE] -= np.log(5)
    attributes[OPACITY] += 2
    view = make_view(256, turn_deg=(5, 20, 0), filter_m=0.0)
    once, twice = (draw(rasteriser, (attributes, head[1]), view)[..., 3] for draw in (_image, _averaged))
    assert once.mean() > 0.01 and twice.mean() == pytest.approx(once.mean(), rel=0.03)


def _averaged(rasteriser, head, view: View) -> np.ndarray:
    """Drawn at twice the size, and 2 x 2 pixels averaged."""
    width, height = view.camera.width, view.camera.height
    twice = _image(rasteriser, head, replace(view, camera=view.camera.scaled(2 * width, 2 * height)))
    return twice.reshape(height, 2, width, 2, 4).mean((1, 3))


@pytest.mark.parametrize("place", [(0, 0, 40, 30), (37, 21, 61, 50), (100, 90, 28, 38)])
def test_a_crop_is_that_part_of_the_complete_image(rasteriser, head, place):
    view = make_view(128, turn_deg=(5, 20, 3))
    complete = _image(rasteriser, head, view)
    x, y, width, height = place
    crop = _image(rasteriser, head, replace(view, camera=view.camera.cropped(*place)))
    np.testing.assert_allclose(crop, complete[y : y + height, x : x + width], atol=2.5e-3)


@pytest.mark.parametrize("size", [(1, 1), (7, 100), (129, 3), (83, 61)])
def test_any_size_can_be_drawn_and_trained(rasteriser, head, size):
    image = _image(rasteriser, head, make_view(*size))
    gradients = rasteriser.backward(np.ones_like(image))
    assert image.shape == (size[1], size[0], 4) and np.isfinite(image).all()
    assert gradients.weight.sum() == pytest.approx(image[..., 3].sum(), rel=1e-3)


def test_nothing_is_left_of_the_frame_before(rasteriser, head):
    mattes = np.ones((3, COUNT), np.float32)

    def drawn(turn: float, shift: float, passes: bool) -> list[np.ndarray]:
        view = _shifted(make_view(96, turn_deg=(0, turn, 0)), shift)
        asked = {"depth": True, "mattes": mattes, "before": (head[0], view)} if passes else {}
        frame = rasteriser.draw(*head, view, **asked)
        return [part.copy() for part in (frame.rgba, frame.depth, frame.mattes, frame.motion) if part is not None]

    expected = drawn(20, 0.05, True)
    for turn, shift, passes in ((0, -0.1, True), (30, 0.0, False), (0, 0.1, True), (0, 10.0, False)):
        drawn(turn, shift, passes)
        for one, other in zip(drawn(20, 0.05, True), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not drawn(0, 10.0, True)[0].any()


def test_passes_do_not_change_the_image_and_are_what_they_say(rasteriser, head):
    attributes, order = head[0].copy(), head[1]
    attributes[OPACITY] += 5
    attributes[LOG_SCALE] += 0.5
    view = make_view(96)
    mattes = np.zeros((3, COUNT), np.float32)
    mattes[0], mattes[2] = 1, 0.25
    alone = _image(rasteriser, (attributes, order), view)
    moved = _shifted(view, -0.01)
    frame = rasteriser.draw(attributes, order, view, depth=True, mattes=mattes, before=(attributes, moved))
    alpha = frame.rgba[..., 3]
    np.testing.assert_allclose(frame.rgba, alone, atol=1e-6)
    np.testing.assert_allclose(frame.mattes, alpha[..., None] * [1, 0, 0.25], atol=1e-5)
    centre = alpha[48, 48]
    assert frame.depth[48, 48] / centre == pytest.approx(0.6 - 0.085, abs=0.01)
    # The point at the centre came from 1 cm further left and up, and was 1 cm nearer.
    expected = view.camera.focal_px * 0.01 / (0.6 - 0.085 - 0.01)
    np.testing.assert_allclose(frame.motion[48, 48] / centre, expected, rtol=0.1)
    one = rasteriser.draw(attributes, order, view, depth=True)
    assert one.mattes is None and one.motion is None and one.depth is not None


def test_a_camera_in_the_head_or_behind_it_draws_finite_images(rasteriser, head):
    for depth in (0.08, 0.02, 0.0, -0.05, -0.3):
        view = make_view(64, turn_deg=(0, 30, 0))
        view.head_to_camera[2, 3] = depth
        image = _image(rasteriser, head, view)
        gradients = rasteriser.backward(np.ones_like(image))
        assert np.isfinite(image).all() and image.min() >= 0 and image[..., 3].max() <= 1
        assert np.isfinite(gradients.attributes).all() and np.isfinite(gradients.pose).all()
    assert not image.any()


def test_gaussians_that_are_not_finite_are_left_out(rasteriser, head):
    attributes, order = head
    view = make_view(64)
    damaged, expected = attributes.copy(), attributes.copy()
    wrong = np.random.default_rng(0).choice(COUNT, 14 * 8, replace=False).reshape(14, 8)
    expected[OPACITY, wrong.ravel()] = -50
    for row in range(14):
        damaged[row, wrong[row]] = [np.nan, np.inf, -np.inf, np.nan, 1e38, np.nan, np.inf, -np.inf]
    damaged[OPACITY, wrong[[*range(3), *range(6, 14)], 4]] = -50  # large but finite
    damaged[LOG_SCALE, wrong[3:6][:, [2, 7]].ravel()] = np.nan  # a Gaussian of no size is a Gaussian
    damaged[OPACITY, wrong[OPACITY]] = np.nan
    np.testing.assert_array_equal(
        _image(rasteriser, (damaged, order), view), _image(rasteriser, (expected, order), view)
    )
    rasteriser.draw(damaged, order, view)
    gradients = rasteriser.backward(np.ones((64, 64, 4), np.float32))
    assert np.isfinite(gradients.attributes).all() and np.isfinite(gradients.pose).all()
    assert not gradients.weight[wrong].any() and gradients.weight.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_pose_that_is_not_finite_draws_nothing(rasteriser, head, value):
    for place in ((0, 0), (1, 3), (2, 3)):
        view = make_view(64)
        view.head_to_camera[place] = value
        image = _image(rasteriser, head, view)
        assert np.isfinite(image).all()
        assert np.isfinite(rasteriser.backward(np.ones_like(image)).pose).all()


def test_one_that_covers_everything_and_one_of_no_size_are_drawn(rasteriser):
    attributes = np.zeros((14, 2), np.float32)
    attributes[ROTATION.start] = 1
    attributes[POSITION.start], attributes[LOG_SCALE] = [0, 0.0], [3, -30]
    attributes[OPACITY], attributes[COLOUR] = 10, 1
    image = _image(rasteriser, (attributes, np.array([0, 1])), make_view(100, 50))
    assert image[..., 3].min() > 0.98


def test_an_order_that_is_none_is_refused(rasteriser, head):
    for order in (np.arange(COUNT - 1), np.arange(1, COUNT + 1), np.arange(-1, COUNT - 1)):
        with pytest.raises(ValueError, match="order"):
            rasteriser.draw(head[0], order, make_view(64))


def test_gradients_are_refused_before_a_frame_and_in_another_size(rasteriser, head):
    with pytest.raises(RuntimeError, match="draw a frame"):
        rasteriser.backward(np.zeros((64, 64, 4), np.float32))
    rasteriser.draw(*head, make_view(64))
    with pytest.raises(ValueError, match="gradient"):
        rasteriser.backward(np.zeros((64, 65, 4), np.float32))


def test_rasterisers_are_found_by_name():
    assert get_rasteriser().name == "numba" and get_rasteriser("torch").name == "torch"
    assert get_rasteriser("auto", "mps").name == "numba"  # plain PyTorch blends every Gaussian into every pixel
    with pytest.raises(ValueError, match=", ".join(RASTERISERS)):
        get_rasteriser("none")
