"""The composite follows the scene's size, percentage, region and pixels by itself: head and footage stay together."""

from __future__ import annotations

import numpy as np
import pytest

from . import head_backend
from . import synthetic_workspace as synthetic
from .composite_kit import compose, composed, differing, expected
from .scene_kit import as_png

pytestmark = pytest.mark.usefixtures("client")

SOURCE = {"source_size": (320, 180), "crop": (100.0, 20.0, 144.0)}


def scaled(full: np.ndarray, width: int, height: int) -> np.ndarray:
    """`full` at that size, each pixel the mean of what falls into it."""
    for axis, wanted in ((0, height), (1, width)):
        count = full.shape[axis]
        fine = np.repeat(full, wanted, axis)
        shape = (*fine.shape[:axis], wanted, count, *fine.shape[axis + 1 :])
        full = fine.reshape(shape).mean(axis + 1)
    return full


def off(a: np.ndarray, b: np.ndarray) -> float:
    """The part of the pixels that differ by more than outlines do."""
    return float((np.abs(a[..., :3] - b[..., :3]).max(-1) > 8 / 255).mean())


@pytest.mark.parametrize("percent", [50, 75])
def test_the_percentage(kit, percent):
    rig = composed(kit, **SOURCE)
    kit.scene.render.resolution_percentage = percent
    image = kit.render(2)
    size = 320 * percent // 100, 180 * percent // 100
    assert image.shape[1::-1] == size
    assert off(image, scaled(expected(kit, rig, 2), *size)) < 0.05


@pytest.mark.parametrize("size", [(640, 360), (320, 320), (320, 100), (200, 60)])
def test_the_resolution(kit, size):
    rig = composed(kit, **SOURCE)
    full = expected(kit, rig, 2)
    kit.scene.render.resolution_x, kit.scene.render.resolution_y = size
    image = kit.render(2)
    wanted = scaled(full, size[0], round(180 * size[0] / 320))
    rows = min(wanted.shape[0], size[1])
    a, b = (wanted.shape[0] - rows) // 2, (size[1] - rows) // 2
    assert off(image[b : b + rows], wanted[a : a + rows]) < 0.05


@pytest.mark.parametrize("percent", [100, 50])
@pytest.mark.parametrize("crop", [True, False])
def test_a_render_region(kit, crop, percent):
    composed(kit, **SOURCE)
    render = kit.scene.render
    render.resolution_percentage = percent
    full = kit.render(2)
    render.use_border, render.use_crop_to_border = True, crop
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.25, 0.9, 0.1, 0.8
    x, y, width, height = kit.part("scene.camera").render_border(kit.scene)
    image = kit.render(2)
    if not crop:
        image = image[y : y + height, x : x + width]
    assert image.shape == (height, width, 4)
    assert off(image, full[y : y + height, x : x + width]) < 0.05


def test_pixels_that_are_not_square(kit):
    rig = composed(kit, **SOURCE)
    render = kit.scene.render
    render.pixel_aspect_x, render.pixel_aspect_y = 1.0, 2.0
    render.resolution_y = 90
    assert off(kit.render(2), scaled(expected(kit, rig, 2), 320, 90)) < 0.05


def test_baked_frames_follow_as_well(kit):
    rig = composed(kit, **SOURCE)
    found, workspace, animation = kit.part("work.composite").subject_in(kit.scene)
    pinhole = kit.part("scene.importer").source_camera(workspace, animation)
    frames = kit.tmp_path / "baked"
    for frame in range(20):
        posed = kit.read(rig, frame + 1)
        params = {
            "width": pinhole.width,
            "height": pinhole.height,
            "focal_px": pinhole.focal_px,
            "principal_px": pinhole.principal_px,
            "head_to_camera": posed.head_to_camera.ravel(),
            "blendshapes": posed.blendshapes,
        }
        if frame in (0, 12):  # the first names the sequence, the other is rendered
            head = as_png(head_backend.draw(params))
            colour = head[..., :3] / np.maximum(head[..., 3:], 1e-9)
            synthetic.write_image(frames / f"{frame:06d}.png", np.concatenate([colour, head[..., 3:]], -1))
    kit.scene.render.resolution_percentage = 50
    kit.scene.render.resolution_y = 320
    live = kit.render(13)
    compose(kit, frames)
    baked = kit.render(13)
    assert off(baked, live) < 0.05
    compose(kit)
    assert differing(kit.render(13), live) == 0


def test_a_composite_of_an_earlier_version_follows_once_it_is_built_again(kit):
    composed(kit, **SOURCE)
    live = kit.render(2)
    tree = kit.part("scene.nodes").tree_of(kit.scene)
    group = next(item for item in tree.nodes if item.get("synctalk_role") == "at render size")
    fixed = tree.nodes.new("CompositorNodeScale")
    fixed["synctalk_role"] = "at render size"
    tree.links.new(group.inputs["Image"].links[0].from_socket, fixed.inputs["Image"])
    tree.links.new(fixed.outputs[0], group.outputs[0].links[0].to_socket)
    tree.nodes.remove(group)
    compose(kit)
    assert differing(kit.render(2), live) == 0


def test_a_saved_file_follows_without_the_permission_to_run_scripts(kit):
    composed(kit, **SOURCE)
    tree = kit.part("scene.nodes").tree_of(kit.scene)
    drivers = [curve.driver for curve in tree.animation_data.drivers]
    assert len(drivers) == 4
    assert all(driver.is_simple_expression and driver.is_valid for driver in drivers)


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (320, 320), (400, 100), (180, 320)])
@pytest.mark.parametrize("aspect", [(1.0, 1.0), (1.0, 2.0)])
def test_footage_and_plate_lie_behind_the_camera_where_the_head_is_drawn(kit, size, aspect):
    """In the frame's own width, Blender fits an image of 1 by 1/a into a frame of 1 by 1/A, and scales and moves it."""
    import bpy

    rig = composed(kit, **SOURCE)
    render = kit.scene.render
    render.resolution_x, render.resolution_y = size
    render.pixel_aspect_x, render.pixel_aspect_y = aspect
    frame = size[0] * aspect[0] / (size[1] * aspect[1])
    data = rig.camera.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    wanted = [((0.0, 0.0), 1.0, 320 / 180), ((12 / 320, -2 / 320), 144 / 320, 1.0)]
    for background, (middle, width, image) in zip(data.background_images, wanted, strict=True):
        assert background.frame_method == "FIT"
        fitted = 1.0 if image > frame else image / frame
        assert fitted * background.scale == pytest.approx(width, rel=1e-5)
        assert np.array(background.offset) * min(1.0, frame) == pytest.approx(middle, abs=1e-6)
