"""Images of a field: the folded networks are exact, the camera is a pinhole, kernels and threads agree."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from backend.renderer.colour import to_scene_linear, to_straight_uint8
from backend.renderer.field import plain
from backend.renderer.field.field import Field, FieldConfig
from backend.renderer.field.kernels import Kernel, Samples, get_kernel
from backend.renderer.field.rays import pixel_rays
from backend.renderer.field.renderer import FieldRenderer
from backend.renderer.field.triplane import TriplaneLayout
from backend.renderer.regions import Region
from backend.workspace.camera import Camera


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


def compiled_kernel(bfloat16: bool) -> Kernel:
    from backend.renderer.field.kernels.numba_kernel import NumbaKernel

    return NumbaKernel(bfloat16=bfloat16)


@pytest.fixture(params=["torch", "numba"])
def kernel(request) -> Kernel:
    """Each kernel in turn, in single precision."""
    if request.param == "torch":
        return get_kernel("torch")
    pytest.importorskip("numba")
    return compiled_kernel(bfloat16=False)


POSE = np.array([[1, 0, 0, 0.02], [0, 1, 0, -0.01], [0, 0, 1, 0.9], [0, 0, 0, 1]], float)
CAMERA = Camera(48, 40, 90.0, (24.0, 20.0))


def test_folded_networks_are_those_of_the_paper():
    field = small_field()
    points, towards = torch.rand(700, 3), torch.nn.functional.normalize(torch.randn(700, 3), dim=1)
    blendshapes = torch.rand(52)
    samples = Samples(points, points[:, 0], torch.arange(700).int(), torch.arange(701), points[:, 0])
    with torch.no_grad():
        expected = plain.shade(field, points, towards, blendshapes)
        networks = field.networks(blendshapes[None])
        given = samples, towards, torch.tensor([0, 700]), field.tables, field.config.layout, networks
        shaded = get_kernel("torch").shade(*given)
    for first, second in zip(shaded, expected, strict=True):
        torch.testing.assert_close(second, first, atol=1e-4, rtol=1e-4)


def test_the_plain_image_shows_the_same_head():
    """Written another way, with other samples: the benchmark's reference draws what the kernels draw."""
    field, blendshapes = small_field(), np.full(52, 0.3, np.float32)
    with torch.no_grad():
        field.density_out.bias[0] = 2.0  # a mist, in which the places of samples matter little
        field.tables.mul_(0.1)
    field.set_occupied(torch.ones(32, 32, 32))
    image = FieldRenderer(field).render(CAMERA, POSE, blendshapes).rgba
    v, u = np.mgrid[0 : CAMERA.height, 0 : CAMERA.width] + 0.5
    seen = plain.render_rays(field, CAMERA, POSE, blendshapes, u.ravel(), v.ravel()).numpy()
    difference = np.abs(seen.reshape(image.shape) - image)
    # The kernels' density fades out over the last half cell at the cube's faces.
    assert difference.mean() < 0.02 and np.corrcoef(seen.ravel(), image.ravel())[0, 1] > 0.99
    assert image[..., 3].max() > 0.2


def test_one_checkpoint_renders_alike_with_every_kernel():
    pytest.importorskip("numba")
    field, blendshapes = small_field(), np.full(52, 0.3, np.float32)
    oracle = FieldRenderer(field, get_kernel("torch")).render(CAMERA, POSE, blendshapes)
    for kernel in (get_kernel("numba"), compiled_kernel(bfloat16=False)):
        image = FieldRenderer(field, kernel).render(CAMERA, POSE, blendshapes)
        assert np.abs(image.rgba - oracle.rgba).max() < 1 / 255
        assert np.abs(image.depth_m - oracle.depth_m).max() < 1e-3
        assert np.abs(image.attention - oracle.attention).max() < 1 / 255
    assert oracle.rgba[..., 3].max() > 0.2 and oracle.attention.max() > 0.02


def test_depth_and_attention_say_where_the_head_is_and_what_moves_it():
    field = small_field()
    with torch.no_grad():
        field.density_out.bias[0] = 8.0  # a solid ball of 0.105 m about the origin
    image = FieldRenderer(field).render(CAMERA, POSE, np.zeros(52, np.float32))
    u, v = (int(value) for value in CAMERA.project(POSE, np.zeros((1, 3)))[0][0])
    distance = float(np.linalg.norm(POSE[:3, 3]))
    assert image.depth_m[v, u] == pytest.approx(distance - 0.105, abs=0.02)
    assert image.depth_m[0, 0] == 0
    lips, expression = image.attention[..., 0].sum(1), image.attention[..., 1].sum(1)
    rows = np.arange(CAMERA.height)
    assert (lips @ rows) / lips.sum() > (expression @ rows) / expression.sum() + 3  # the lips' region lies lower
    assert (image.attention <= image.rgba[..., 3:] + 1e-4).all()


def test_a_crop_is_a_part_of_the_image():
    renderer, blendshapes = FieldRenderer(small_field()), np.full(52, 0.3, np.float32)
    whole = renderer.render(CAMERA, POSE, blendshapes)
    part = renderer.render(CAMERA, POSE, blendshapes, crop=(10, 6, 30, 21))
    np.testing.assert_allclose(part.rgba, whole.rgba[6:27, 10:40], atol=1e-4)
    np.testing.assert_allclose(part.depth_m, whole.depth_m[6:27, 10:40], atol=1e-4)
    frames = list(renderer.render_batch(CAMERA, [POSE, POSE], [blendshapes, blendshapes]))
    assert len(frames) == 2
    np.testing.assert_array_equal(frames[1].rgba, whole.rgba)


def test_rays_and_projection_are_inverse():
    u, v = np.array([3.5, 40.0]), np.array([7.25, 12.0])
    origins, directions = pixel_rays(CAMERA, POSE, u, v)
    pixels, depth = CAMERA.project(POSE, origins + 0.8 * directions)
    np.testing.assert_allclose(pixels, np.stack([u, v], 1), atol=1e-3)
    assert (depth > 0).all()


def test_single_pixels_are_those_of_the_image():
    renderer, blendshapes = FieldRenderer(small_field()), np.zeros(52, np.float32)
    whole = renderer.render(CAMERA, POSE, blendshapes)
    rgba, depth = renderer.render_rays(CAMERA, POSE, blendshapes, np.array([24.5]), np.array([20.5]))
    np.testing.assert_allclose(rgba[0], whole.rgba[20, 24], atol=1e-5)
    np.testing.assert_allclose(depth[0], whole.depth_m[20, 24], atol=1e-5)


def test_the_image_is_continuous_in_the_pose(kernel):
    """Blender holds poses in single precision: what that changes must not be seen."""
    field = small_field()
    field.set_occupied(torch.rand(32, 32, 32, generator=torch.Generator().manual_seed(3)) > 0.6)  # all borders
    renderer, blendshapes = FieldRenderer(field, kernel), np.zeros(52, np.float32)
    camera = CAMERA.scaled(192, 160)
    still = renderer.render(camera, POSE, blendshapes).rgba
    assert (still[..., 3] > 0.05).mean() > 0.2
    for along in np.eye(3):
        moved = POSE.copy()
        moved[:3, 3] += 1e-6 * along
        assert np.abs(renderer.render(camera, moved, blendshapes).rgba - still).max() < 0.2 / 255


def test_a_long_ray_lacks_no_sample(kernel):
    """One left out at the end makes the image jump where another comes in at the front."""
    field = small_field()
    field.config = dataclasses.replace(field.config, step_m=0.003)  # a hundred samples from side to side
    field.set_occupied(torch.ones(32, 32, 32))
    with torch.no_grad():  # the same everywhere: 12 a metre
        field.density_out.weight[0] = 0
        field.density_out.bias[0] = np.log(12)
    seen, _ = FieldRenderer(field, kernel).render_rays(
        CAMERA, POSE, np.zeros(52, np.float32), *np.array([[26.0], [19.0]])
    )
    # Density fades out over half a cell, 0.0047 m, at both faces.
    assert seen[0, 3] == pytest.approx(1 - np.exp(-12 * (0.3 - 0.0047)), abs=2e-3)


def test_a_configuration_outlives_json_and_what_older_versions_kept_in_it():
    config = small_field().config
    stored = json.loads(json.dumps(config.to_json()))
    assert FieldConfig.from_json(stored) == config
    assert FieldConfig.from_json(stored | {"max_samples": 16}) == config


def test_turning_the_head_turns_the_image():
    renderer, blendshapes = FieldRenderer(small_field()), np.zeros(52, np.float32)
    moved = POSE.copy()
    moved[0, 3] += 0.05
    before, after = (renderer.render(CAMERA, pose, blendshapes).rgba[..., 3] for pose in (POSE, moved))
    columns = np.arange(CAMERA.width)
    shift = (after.sum(0) @ columns) / after.sum() - (before.sum(0) @ columns) / before.sum()
    assert shift == pytest.approx(0.05 / 0.9 * CAMERA.focal_px, abs=0.7)


def test_a_head_outside_the_view_is_an_empty_image():
    away = POSE.copy()
    away[0, 3] = 50
    assert FieldRenderer(small_field()).render(CAMERA, away, np.zeros(52, np.float32)).rgba.max() == 0


def test_scene_linear_colour_encodes_back_to_what_it_was():
    rgba = np.random.default_rng(0).random((5, 6, 4)).astype(np.float32)
    rgba[..., :3] *= rgba[..., 3:]
    linear = to_scene_linear(rgba)
    straight = linear[..., :3] / linear[..., 3:]
    encoded = np.where(straight <= 0.0031308, straight * 12.92, 1.055 * straight ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(encoded, rgba[..., :3] / rgba[..., 3:], atol=1e-4)
    assert np.abs(to_straight_uint8(rgba)[..., 3] / 255 - rgba[..., 3]).max() < 1 / 255


def test_rays_of_unequal_numbers_of_columns_and_rows_are_refused():
    with pytest.raises(TypeCheckError):
        pixel_rays(CAMERA, POSE, np.ones(3), np.ones(4))


@pytest.mark.parametrize("crop", [(0, 0, 40, 30), (7, 3, 21, 19)])
def test_a_gpus_way_to_a_frame_makes_the_same_image(crop):
    """On the CPU: rays made by PyTorch in buffers that are kept, for any pose and face; without the recording."""
    from backend.renderer.field.device_frames import DeviceFrames
    from backend.renderer.field.renderer import _depth_m, _in_tiles

    field = small_field().eval()
    renderer = FieldRenderer(field, get_kernel("torch"))
    camera = Camera(40, 30, 60.0, (20.0, 15.0))
    frames = DeviceFrames(field, renderer.kernel, camera, crop, *_in_tiles(0, 0, crop[2], crop[3]))
    for turn, conditions in enumerate(np.random.default_rng(0).random((2, 52), np.float32)):
        pose = np.eye(4)
        pose[:3, 3] = (0.01, -0.02, 0.6 + 0.1 * turn)
        seen = frames.draw(pose, conditions)
        expected = renderer.render(camera, pose, conditions, crop)
        assert expected.rgba[..., 3].max() > 0.3
        np.testing.assert_allclose(seen[..., :4], expected.rgba, atol=1e-4)
        np.testing.assert_allclose(seen[..., 5:], expected.attention, atol=1e-4)
        np.testing.assert_allclose(_depth_m(seen), expected.depth_m, atol=1e-4)
