"""A head that is prepared for drawing gives the image that its attributes give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.protocol import BLENDSHAPE_NAMES
from backend.renderer.gaussians.frame_codes import FrameCodes
from backend.renderer.gaussians.head import GaussianHead
from backend.renderer.gaussians.kernels import View, get_rasteriser
from backend.renderer.gaussians.kernels.interface import COLOUR, OPACITY, POSITION, HeadRasteriser
from backend.renderer.gaussians.renderer import GaussianRenderer
from tests.backend.made_up_gaussians import made_up_gaussians
from tests.backend.renderer.gaussians.made_up_gaussians import make_view

pytest.importorskip("numba")


@pytest.fixture(scope="module")
def head() -> GaussianHead:
    head = made_up_gaussians(700)
    some = torch.from_numpy(np.stack([_conditions(seed) for seed in range(100, 300)]))
    head.lip_code.bound_colour(head.inputs(0.5 * some)[0])
    assert head.lips and head.expressions and head.lips + head.expressions < head.count
    return head


@pytest.fixture(params=[1, 2, 3])
def rasteriser(request):
    return get_rasteriser("numba", threads=request.param)


def _conditions(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, len(BLENDSHAPE_NAMES)).astype(np.float32)


def _assert_same(head: GaussianHead, rasteriser, view: View, conditions: np.ndarray) -> None:
    attributes = head.attributes(conditions, view.head_to_camera)
    drawn = rasteriser.draw(attributes, head.order.numpy(), view, depth=True, mattes=head.mattes.numpy())
    rgba, depth, mattes = drawn.rgba.copy(), drawn.depth.copy(), drawn.mattes.copy()
    crop = (0, 0, view.camera.width, view.camera.height)
    renderer = GaussianRenderer(head, rasteriser)
    alone = renderer.render(view.camera, view.head_to_camera, conditions, crop).rgba.copy()
    frame = renderer.render(view.camera, view.head_to_camera, conditions, passes=True)
    assert rgba[..., 3].max() > 0.9
    for image in (alone, frame.rgba):
        np.testing.assert_allclose(image, rgba, atol=1e-4)
    np.testing.assert_allclose(frame.mattes, mattes, atol=1e-4)
    seen = rgba[..., 3] > 0.06
    along_axis = frame.depth_m / renderer._rays[1] * rgba[..., 3]
    np.testing.assert_allclose(along_axis[seen], depth[seen], atol=1e-4)
    assert not frame.depth_m[rgba[..., 3] < 0.04].any()


@pytest.mark.parametrize("turn_deg", [(0, 0, 0), (5, 20, 3), (-20, -40, 0)])
@pytest.mark.parametrize("size", [(64, 64), (101, 37)])
def test_a_prepared_head_is_drawn_as_from_its_attributes(head, rasteriser, size, turn_deg):
    view = make_view(*size, turn_deg, head.config.filter_m)
    for seed in range(3):
        _assert_same(head, rasteriser, view, _conditions(seed))


@pytest.mark.parametrize("count", [60, 128, 129])
def test_blocks_that_are_not_full_or_hold_no_driven_gaussian_are_drawn(count, rasteriser):
    head = made_up_gaussians(count)
    _assert_same(head, rasteriser, make_view(48, filter_m=head.config.filter_m), _conditions(1))
    bare = GaussianHead(head.config, head.base, 0, 0, head.mattes, head.order)
    _assert_same(bare, rasteriser, make_view(48, filter_m=head.config.filter_m), _conditions(1))


def test_codes_and_view_of_a_frame_are_those_of_the_head(head):
    frame = FrameCodes(head)
    with torch.no_grad():
        for codes in (head.lip_code, head.expression_code):
            codes.network[2].weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
        frame = FrameCodes(head)
        for seed in range(5):
            conditions = _conditions(seed)
            given = torch.from_numpy(conditions)[None]
            for row, expected in enumerate((head.codes(given), head.shown_codes(given))):
                for one, other in zip(frame.codes(conditions), expected, strict=True):
                    np.testing.assert_allclose(one[row], other[0], atol=1e-5)
            pose = make_view(8, turn_deg=(seed, 10 * seed, 0)).head_to_camera
            np.testing.assert_allclose(frame.view(pose), head.view(pose[None])[0], atol=1e-6)


def test_beyond_the_clip_the_lips_move_on_and_keep_their_colour():
    """Extrapolated colours were glare on the lips and a dark edge at the chin."""
    head = made_up_gaussians(700)
    clip = np.tile(np.float32(head.config.blendshape_centre), (200, 1))
    jaw = BLENDSHAPE_NAMES.index("jawOpen")
    clip[:, jaw] += np.random.default_rng(0).uniform(-0.1, 0.3, 200).astype(np.float32)
    head.lip_code.start(head.inputs(torch.from_numpy(clip))[0])
    head.lip_code.bound_colour(head.inputs(torch.from_numpy(clip))[0])
    pose, rows = make_view(8).head_to_camera, []
    for opening in (0.1, 0.15, 0.7, 1.0):
        conditions = clip[0].copy()
        conditions[jaw] = opening
        rows.append(head.attributes(conditions, pose)[:, : head.lips])
    rest, inside, wide, wider = rows
    assert np.abs(inside[COLOUR] - rest[COLOUR]).max() > 1e-3
    np.testing.assert_allclose(wide[OPACITY], wider[OPACITY], atol=1e-5)
    np.testing.assert_allclose(wide[COLOUR], wider[COLOUR], atol=1e-5)
    assert np.abs(wider[POSITION] - wide[POSITION]).max() > 0.2 * np.abs(wide[POSITION] - rest[POSITION]).max()


def test_a_prepared_head_keeps_nothing_of_the_arrays_that_it_was_made_from(head, rasteriser):
    view, conditions = make_view(48, filter_m=head.config.filter_m), _conditions(0)
    changing = made_up_gaussians(200)
    renderer = GaussianRenderer(changing, rasteriser)
    expected = renderer.render(view.camera, view.head_to_camera, conditions).rgba.copy()
    for tensor in (changing.base, changing.lip_bases, changing.expression_bases, changing.view_bases):
        tensor.zero_()
    np.testing.assert_array_equal(renderer.render(view.camera, view.head_to_camera, conditions).rgba, expected)


def test_a_frame_of_a_prepared_head_has_no_gradients(head, rasteriser):
    view = make_view(32, filter_m=head.config.filter_m)
    image = GaussianRenderer(head, rasteriser).render(view.camera, view.head_to_camera, _conditions(0)).rgba
    with pytest.raises(RuntimeError, match="attributes"):
        rasteriser.backward(image)


def test_plain_pytorch_draws_a_head_without_preparing_it(head):
    plain = get_rasteriser("torch")
    assert not isinstance(plain, HeadRasteriser)
    view, conditions = make_view(24, filter_m=head.config.filter_m), _conditions(2)
    image = GaussianRenderer(head, plain).render(view.camera, view.head_to_camera, conditions).rgba
    compiled = GaussianRenderer(head).render(view.camera, view.head_to_camera, conditions).rgba
    np.testing.assert_allclose(compiled, image, atol=3e-3)
