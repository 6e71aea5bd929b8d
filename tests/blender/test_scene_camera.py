"""A tracked pinhole as a Blender camera and back, against the projection that Blender itself uses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest


@pytest.fixture
def lens(kit):
    """A camera object in the scene."""
    import bpy

    item = bpy.data.objects.new("lens", bpy.data.cameras.new("lens"))
    kit.scene.collection.objects.link(item)
    return item


def projected_by_blender(scene, lens, point: np.ndarray) -> np.ndarray:
    """Pixel (x right, y down) of a point in the camera's axes, by Blender's own projection matrix."""
    import bpy

    render = scene.render
    width = render.resolution_x * render.resolution_percentage // 100
    height = render.resolution_y * render.resolution_percentage // 100
    matrix = np.array(
        lens.calc_matrix_camera(
            bpy.context.evaluated_depsgraph_get(),
            x=width,
            y=height,
            scale_x=render.pixel_aspect_x,
            scale_y=render.pixel_aspect_y,
        )
    )
    clip = matrix @ np.append(point, 1.0)
    x, y = clip[:2] / clip[3]
    return np.array([(x + 1) / 2 * width, (1 - y) / 2 * height])


POINT = np.array([0.13, 0.21, -1.7])
"""In front of the camera: it looks along -z, y is up."""


def projected(pinhole, point: np.ndarray) -> np.ndarray:
    x, y, z = point * (1, -1, -1)
    return np.array([x, y]) / z * pinhole.focal_px + pinhole.principal_px


@pytest.mark.parametrize(("width", "height"), [(512, 512), (1920, 1080), (1080, 1920)])
def test_a_pinhole_comes_back_and_is_what_blender_projects_with(kit, lens, width, height):
    camera, pinhole = kit.part("scene.camera"), kit.record("camera").Camera
    wanted = pinhole(width, height, 1234.5, (width * 0.53, height * 0.46))
    camera.set_pinhole(lens.data, wanted)
    kit.scene.render.resolution_x, kit.scene.render.resolution_y = width, height
    found = camera.camera_intrinsics(kit.scene, lens, width, height)
    assert found.focal_px == pytest.approx(wanted.focal_px, rel=1e-6)
    assert found.principal_px == pytest.approx(wanted.principal_px, abs=1e-3)
    np.testing.assert_allclose(projected_by_blender(kit.scene, lens, POINT), projected(wanted, POINT), atol=2e-3)


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("size", [(640, 360), (360, 640)])
@pytest.mark.parametrize("percentage", [100, 37])
@pytest.mark.parametrize("aspect", [(1.0, 1.0), (1.0, 1.4), (2.0, 1.0)])
def test_any_camera_is_read_as_blender_projects_it(kit, lens, fit, size, percentage, aspect):
    camera, render = kit.part("scene.camera"), kit.scene.render
    render.resolution_x, render.resolution_y = size
    render.resolution_percentage = percentage
    render.pixel_aspect_x, render.pixel_aspect_y = aspect
    lens.data.sensor_fit, lens.data.lens = fit, 61.0
    lens.data.sensor_width, lens.data.sensor_height = 30.0, 22.0
    lens.data.shift_x, lens.data.shift_y = 0.07, -0.11
    width, height = camera.render_size(kit.scene)
    pinhole = camera.camera_intrinsics(kit.scene, lens, width, height)
    x, y = projected(pinhole, POINT)
    y *= height / (height * aspect[1] / aspect[0])  # the pinhole's picture has square pixels
    np.testing.assert_allclose(projected_by_blender(kit.scene, lens, POINT), [x, y], atol=2e-3)


def test_another_height_of_the_render_keeps_the_scale(kit, lens):
    camera, pinhole = kit.part("scene.camera"), kit.record("camera").Camera
    camera.set_pinhole(lens.data, pinhole(1280, 720, 900.0, (650.0, 350.0)))
    found = camera.camera_intrinsics(kit.scene, lens, 1280, 1600)
    assert found.focal_px == pytest.approx(900.0)
    assert found.principal_px == pytest.approx((650.0, 350.0 + (1600 - 720) / 2), abs=1e-3)


def test_a_render_region_is_the_part_of_the_frame_that_blender_renders(kit, lens):
    camera, render = kit.part("scene.camera"), kit.scene.render
    render.resolution_x, render.resolution_y = 200, 100
    render.use_border = True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.25, 0.75, 0.5, 0.9
    assert camera.render_border(kit.scene) == (50, 10, 100, 40)


def test_an_orthographic_camera_is_refused_by_name(kit, lens):
    lens.data.type = "ORTHO"
    with pytest.raises(kit.part("scene.errors").SceneError, match=r"“lens” is orthographic.*Perspective"):
        kit.part("scene.camera").camera_intrinsics(kit.scene, lens, 100, 100)


def test_a_cropped_source_gives_the_whole_image_s_camera(kit):
    workspace = kit.opened(kit.workspace(source_size=(321, 181), crop=(101.0, -15.0, 144.0), frames=1))
    animation = workspace.footage_animation()
    animation = replace(animation, camera=kit.record("camera").Camera(96, 96, 192.0, (50.0, 40.0)))
    pinhole = kit.part("scene.importer").source_camera(workspace, animation)
    assert (pinhole.width, pinhole.height) == (320, 180)
    assert pinhole.focal_px == pytest.approx(192.0 * 1.5)
    assert pinhole.principal_px == pytest.approx((101 + 50 * 1.5, -15 + 40 * 1.5))
