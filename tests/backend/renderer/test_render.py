"""A field's pictures: the folded networks are exact, the camera is a pinhole, kernels and threads agree."""

import numpy as np
import pytest
import torch

from backend.renderer.cameras import Camera, pixel_rays, project
from backend.renderer.colour import to_scene_linear, to_straight_uint8
from backend.renderer.field import Field, FieldConfig, FrameNetworks, Region, spherical_harmonics
from backend.renderer.kernels import get_kernel
from backend.renderer.render import Renderer
from backend.renderer.triplane import TriplaneLayout


def small_field(seed: int = 0) -> Field:
    torch.manual_seed(seed)
    region = Region((0.0, 0.05, -0.1), (0.08, 0.05, 0.08))
    above = Region((0.0, -0.05, -0.1), (0.08, 0.05, 0.08))
    layout = TriplaneLayout(6, 10, 8, 64)
    config = FieldConfig((-0.15, -0.15, -0.15), 0.3, 0.01, region, above, (0.0,) * 52, layout, occupancy_cells=32)
    field = Field(config)
    with torch.no_grad():
        field.tables.uniform_(-1, 1)
    ball = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 32)] * 3, indexing="ij")).norm(dim=0) < 0.7
    field.set_occupied(ball)
    return field


POSE = np.array([[1, 0, 0, 0.02], [0, 1, 0, -0.01], [0, 0, 1, 0.9], [0, 0, 0, 1]], float)
CAMERA = Camera(48, 40, 90.0, (24.0, 20.0))


def test_networks_folded_for_a_frame_give_what_training_gives():
    field = small_field()
    points, towards = torch.rand(700, 3), torch.nn.functional.normalize(torch.randn(700, 3), dim=1)
    blendshapes = torch.rand(52)
    kernel = get_kernel("torch")
    with torch.no_grad():
        lip, expression = field.codes(blendshapes[None])
        trained = field(points, spherical_harmonics(towards), lip.expand(700, -1), expression.expand(700, -1), kernel)
        networks = FrameNetworks(field, blendshapes, torch.float32)
        encoding = kernel.encode(points, field.tables, field.config.layout)
        folded = networks(points, encoding, networks.view(towards))
    for first, second in zip(trained, folded, strict=True):
        torch.testing.assert_close(second, first, atol=1e-4, rtol=1e-4)


def test_one_checkpoint_renders_alike_with_every_kernel():
    pytest.importorskip("numba")
    field, blendshapes = small_field(), np.full(52, 0.3, np.float32)
    pictures = [
        Renderer(field, get_kernel(name), torch.float32).render(CAMERA, POSE, blendshapes).rgba
        for name in ("torch", "numba")
    ]
    assert np.abs(pictures[0] - pictures[1]).max() < 1 / 255
    assert pictures[0][..., 3].max() > 0.2


def test_rays_and_projection_are_inverse():
    u, v = np.array([3.5, 40.0]), np.array([7.25, 12.0])
    origins, directions = pixel_rays(CAMERA, POSE, u, v)
    pixels, depth = project(CAMERA, POSE, origins + 0.8 * directions)
    np.testing.assert_allclose(pixels, np.stack([u, v], 1), atol=1e-3)
    assert (depth > 0).all()


def test_single_pixels_are_those_of_the_picture():
    renderer, blendshapes = Renderer(small_field(), dtype=torch.float32), np.zeros(52, np.float32)
    whole = renderer.render(CAMERA, POSE, blendshapes)
    rgba, depth = renderer.render_rays(CAMERA, POSE, blendshapes, np.array([24.5]), np.array([20.5]))
    np.testing.assert_allclose(rgba[0], whole.rgba[20, 24], atol=1e-5)
    np.testing.assert_allclose(depth[0], whole.depth_m[20, 24], atol=1e-5)


@pytest.mark.parametrize("kernel", ["torch", "numba"])
def test_the_picture_is_continuous_in_the_pose(kernel):
    """Blender holds poses in single precision: what that changes must not be seen."""
    if kernel == "numba":
        pytest.importorskip("numba")
    field = small_field()
    field.set_occupied(torch.rand(32, 32, 32, generator=torch.Generator().manual_seed(3)) > 0.6)  # all borders
    renderer, blendshapes = Renderer(field, get_kernel(kernel), torch.float32), np.zeros(52, np.float32)
    camera = CAMERA.scaled(192, 160)
    still = renderer.render(camera, POSE, blendshapes).rgba
    assert (still[..., 3] > 0.05).mean() > 0.2
    for along in np.eye(3):
        moved = POSE.copy()
        moved[:3, 3] += 1e-6 * along
        assert np.abs(renderer.render(camera, moved, blendshapes).rgba - still).max() < 0.2 / 255


def test_turning_the_head_turns_the_picture():
    renderer, blendshapes = Renderer(small_field()), np.zeros(52, np.float32)
    moved = POSE.copy()
    moved[0, 3] += 0.05
    before, after = (renderer.render(CAMERA, pose, blendshapes).rgba[..., 3] for pose in (POSE, moved))
    columns = np.arange(CAMERA.width)
    shift = (after.sum(0) @ columns) / after.sum() - (before.sum(0) @ columns) / before.sum()
    assert shift == pytest.approx(0.05 / 0.9 * CAMERA.focal_px, abs=0.7)


def test_a_head_outside_the_view_is_an_empty_picture():
    away = POSE.copy()
    away[0, 3] = 50
    assert Renderer(small_field()).render(CAMERA, away, np.zeros(52, np.float32)).rgba.max() == 0


def test_scene_linear_colour_encodes_back_to_what_it_was():
    rgba = np.random.default_rng(0).random((5, 6, 4)).astype(np.float32)
    rgba[..., :3] *= rgba[..., 3:]
    linear = to_scene_linear(rgba)
    straight = linear[..., :3] / linear[..., 3:]
    encoded = np.where(straight <= 0.0031308, straight * 12.92, 1.055 * straight ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(encoded, rgba[..., :3] / rgba[..., 3:], atol=1e-4)
    assert np.abs(to_straight_uint8(rgba)[..., 3] / 255 - rgba[..., 3]).max() < 1 / 255
