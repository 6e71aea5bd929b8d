"""The visible mark in the composite is the one that `render --label` draws."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from .composite_kit import compose, composed, node

pytestmark = pytest.mark.usefixtures("client")


def labelled(kit, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) in [0, 1] of an image with the mark, as the backend draws it."""
    label = importlib.import_module(f"{kit.package}.backend.workspace.label")
    height, width = image.shape[:2]
    return label.Label(width, height).draw_premultiplied(image)[..., :3]


@pytest.mark.parametrize("size", [(320, 180), (321, 183), (160, 240)])
def test_the_mark_is_the_backends_to_the_pixel(kit, size):
    composed(kit, source_size=size, crop=(40.0, 40.0, 96.0))
    plain = kit.render(2)
    kit.scene.synctalk.visible_label = True
    image = kit.render(2)
    assert (np.abs(image - plain).max(-1) > 0.1).sum() > 50
    np.testing.assert_allclose(image[..., :3], labelled(kit, plain), atol=3 / 255)
    kit.scene.synctalk.visible_label = False
    np.testing.assert_array_equal(kit.render(2), plain)


def test_another_size_of_the_render_has_the_mark_of_that_size(kit):
    composed(kit, source_size=(320, 180), crop=(40.0, 40.0, 96.0))
    kit.scene.synctalk.visible_label = True
    kit.scene.render.resolution_x, kit.scene.render.resolution_y, kit.scene.render.resolution_percentage = 400, 220, 150
    image = kit.render(2)
    kit.scene.synctalk.visible_label = False
    np.testing.assert_allclose(image[..., :3], labelled(kit, kit.render(2)), atol=3 / 255)


def test_without_the_add_on_the_mark_stays_in_its_corner_at_another_size(kit):
    import bpy

    composed(kit, source_size=(320, 180), crop=(40.0, 40.0, 96.0))
    kit.scene.synctalk.visible_label = True
    handler = kit.part("scene.label")._before_render
    bpy.app.handlers.render_init.remove(handler)
    try:
        kit.scene.render.resolution_percentage = 200
        image = kit.render(2)
    finally:
        bpy.app.handlers.render_init.append(handler)
    kit.scene.synctalk.visible_label = False
    assert np.abs(image[..., :3] - labelled(kit, kit.render(2))).mean() < 0.002


def test_a_region_shows_its_part_of_the_mark(kit):
    composed(kit, source_size=(320, 180), crop=(40.0, 40.0, 96.0))
    kit.scene.synctalk.visible_label = True
    full = kit.render(2)
    render = kit.scene.render
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.5, 1.0, 0.5, 1.0
    np.testing.assert_allclose(kit.render(2)[..., :3], full[:90, 160:, :3], atol=3 / 255)


def test_composing_again_keeps_the_mark_last_before_the_warning(kit):
    import bpy

    composed(kit)
    kit.scene.synctalk.visible_label = True
    before = len(bpy.data.node_groups), len(bpy.data.images)
    compose(kit)
    kit.part("scene.label").show_label(kit.scene, True)
    assert (len(bpy.data.node_groups), len(bpy.data.images)) == before
    assert node(kit, "warning").inputs["Image"].links[0].from_node == node(kit, "label")
    assert node(kit, "label").inputs["Image"].links[0].from_node == node(kit, "output")


def test_the_switch_of_a_scene_without_a_composite_waits_for_one(kit):
    kit.scene.synctalk.visible_label = True
    composed(kit)
    kit.part("scene.label").show_label(kit.scene, kit.scene.synctalk.visible_label)
    assert not node(kit, "label").mute
