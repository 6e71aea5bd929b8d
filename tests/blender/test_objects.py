"""Objects of the scene hide the head and are hidden by it, with antialiased edges, and are seen through what is clear."""

from __future__ import annotations

import numpy as np
import pytest

from . import head_backend
from .composite_kit import compose, composed, node

pytestmark = pytest.mark.usefixtures("client")

RED = (1.0, 0.0, 0.0, 1.0)


@pytest.fixture
def scene(kit):
    """A composite, its ball in the middle of the image."""
    composed(kit)
    kit.scene.frame_set(2)
    return kit.scene


def material(name: str, colour=RED, clear=0.0):
    """Light of one colour, or a pane that lets `clear` of what is behind it through."""
    import bpy

    made = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0, 0):
        made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    nodes.clear()
    output, light = nodes.new("ShaderNodeOutputMaterial"), nodes.new("ShaderNodeEmission")
    light.inputs["Color"].default_value = colour
    surface = light
    if clear:
        surface, through = nodes.new("ShaderNodeMixShader"), nodes.new("ShaderNodeBsdfTransparent")
        surface.inputs[0].default_value = clear
        links.new(light.outputs[0], surface.inputs[1])
        links.new(through.outputs[0], surface.inputs[2])
    links.new(surface.outputs[0], output.inputs["Surface"])
    return made


def add_bar(kit, rig, depth_m: float, shade, half_width_m=0.2, half_height_m=0.03):
    """A bar before (below 0) or behind the middle of the ball, along the image's rows."""
    import bpy

    mesh = bpy.data.meshes.new("bar")
    x, z = half_width_m, half_height_m
    mesh.from_pydata([(-x, 0, -z), (x, 0, -z), (x, 0, z), (-x, 0, z)], [], [(0, 1, 2, 3)])
    mesh.materials.append(shade)
    item = bpy.data.objects.new("bar", mesh)
    item.parent = rig.control
    move(kit, item, depth_m)
    kit.scene.collection.objects.link(item)
    return item


def move(kit, bar, depth_m: float) -> None:
    """Put a bar before or behind the middle of the ball."""
    bar.location = kit.part("scene.coordinates").points_to_blender(head_backend.CENTRE_M + np.array([0, 0, depth_m]))


def show(kit):
    """Objects in the composite, rendered fast."""
    api = kit.part("api")
    rendered = api.composite_objects(scene=kit.scene)
    rendered.cycles.samples, rendered.cycles.use_denoising = 16, False
    return rendered


def red(image: np.ndarray) -> np.ndarray:
    """(H, W): whether a pixel is the bar's."""
    return (image[..., 0] > 0.9) & (image[..., 1:3].max(-1) < 0.1)


def head_of(kit) -> np.ndarray:
    """(H, W): whether the head is there, by its own image."""
    kit.scene.render.use_compositing = False
    found = kit.render(2)[..., 3] > 0.5
    kit.scene.render.use_compositing = True
    return found


def test_a_bar_before_the_head_hides_it_and_one_behind_is_hidden(kit, scene):
    rig = kit.part("scene.rig").require_rig(scene)
    plain, head = kit.render(2), head_of(kit)
    bar = add_bar(kit, rig, -0.12, material("light"))
    show(kit)
    front = kit.render(2)
    inside = red(front)
    assert (inside & head).sum() > 200 and (inside & ~head).sum() > 50
    move(kit, bar, 0.12)
    behind = kit.render(2)
    assert not (red(behind) & head).any() and (red(behind) & ~head).sum() > 50
    np.testing.assert_allclose(behind[head], plain[head], atol=2 / 255)


def test_a_bar_through_the_head_is_seen_where_it_is_before_the_surface(kit, scene):
    rig = kit.part("scene.rig").require_rig(scene)
    head = head_of(kit)
    bar = add_bar(kit, rig, -0.03, material("light"), half_width_m=0.12)
    bar.rotation_euler.z = np.radians(60)  # its one end before the head, its other behind
    show(kit)
    row = red(kit.render(2)) & head
    columns = np.flatnonzero(row.any(0))
    width = np.flatnonzero(head.any(0))
    assert 0.1 < len(columns) / len(width) < 0.9 and (np.diff(columns) == 1).all(), (
        "one piece of it, with one end in the head"
    )


def test_edges_are_antialiased_where_objects_end_and_where_the_head_does(kit, scene):
    rig = kit.part("scene.rig").require_rig(scene)
    bar = add_bar(kit, rig, -0.12, material("light", (1.0, 1.0, 1.0, 1.0)))
    bar.rotation_euler.y = np.radians(20)
    show(kit)
    image = kit.render(2)
    scene.render.resolution_percentage = 400
    large = kit.render(2)
    wanted = large.reshape(96, 4, 96, 4, 4).mean((1, 3))
    # The test backend's ball is not antialiased: what the bar covers, and where it lies over the footage, is compared.
    compared = ~np.pad(np.abs(np.diff(head_of(kit).reshape(96, 4, 96, 4).mean((1, 3)), axis=1)) > 0, ((0, 0), (0, 1)))
    bar_edge = (wanted[..., 0] > 0.2) & compared
    assert np.abs(image - wanted)[bar_edge].mean() < 0.04


def test_the_split_of_an_object_adds_up_to_the_object(kit, scene):
    """Half before and half behind nothing: what is left of the head's pixels is the object, as opaque as it is."""
    rig = kit.part("scene.rig").require_rig(scene)
    add_bar(kit, rig, -0.12, material("pane", clear=0.5))
    show(kit)
    over = node(kit, "output")
    tree = kit.part("scene.nodes").tree_of(scene)
    image = kit.render(2)
    for name in ("Head Depth",):
        tree.links.remove(over.inputs[name].links[0])
    outside = ~head_of(kit)
    for softness in (0.001, 0.1):
        over.inputs["Softness"].default_value = softness
        over.inputs["Head Depth"].default_value = 1.0  # somewhere about the bar's own
        np.testing.assert_allclose(kit.render(2)[outside], image[outside], atol=4 / 255)


def test_what_is_behind_the_head_is_not_seen_through_a_pane_before_it(kit, scene):
    rig = kit.part("scene.rig").require_rig(scene)
    head = head_of(kit)
    add_bar(kit, rig, -0.12, material("pane", (0.0, 1.0, 0.0, 1.0), clear=0.9), half_height_m=0.06)
    add_bar(kit, rig, 0.12, material("light"))
    show(kit)
    image = kit.render(2)
    inner = head & ~np.roll(~head, 3, 1) & ~np.roll(~head, -3, 1)
    assert not red(image)[inner].any()
    pane_alone = inner & (image[..., 1] - image[..., 0] > 0.02)
    assert pane_alone.any(), "the pane itself is before the head"


def test_what_crosses_behind_takes_nothing_of_a_rim_before_the_head(kit, scene):
    rig = kit.part("scene.rig").require_rig(scene)
    head = head_of(kit)
    rim = add_bar(kit, rig, -0.12, material("rim", (0.0, 1.0, 0.0, 1.0)), half_height_m=0.012)
    rim.rotation_euler.y = np.radians(90)
    behind = add_bar(kit, rig, 0.12, material("light"))
    show(kit)
    crossed = kit.render(2)
    behind.hide_render = True
    alone = kit.render(2)
    full = head & (alone[..., 1] > 0.98) & (alone[..., 0] < 0.05)  # an edge has both colours in one
    assert full.sum() > 50
    np.testing.assert_allclose(crossed[full], alone[full], atol=4 / 255)


def test_adding_again_makes_nothing_new_and_composing_again_keeps_it(kit, scene):
    import bpy

    rig = kit.part("scene.rig").require_rig(scene)
    add_bar(kit, rig, -0.12, material("light"))
    first = show(kit)
    tree = kit.part("scene.nodes").tree_of(scene)
    before = len(tree.nodes), len(tree.links), len(bpy.data.node_groups), len(bpy.data.scenes)
    assert show(kit) == first
    compose(kit)
    assert (len(tree.nodes), len(tree.links), len(bpy.data.node_groups), len(bpy.data.scenes)) == before
    assert red(kit.render(2)).any()


def test_objects_are_seen_by_the_camera_that_is_active_when_they_are_rendered(kit, scene):
    import bpy

    rig = kit.part("scene.rig").require_rig(scene)
    add_bar(kit, rig, -0.12, material("light"))
    rendered = show(kit)
    other = bpy.data.objects.new("other", bpy.data.cameras.new("other"))
    other.matrix_world = rig.camera.matrix_world
    scene.collection.objects.link(other)
    scene.camera = other
    kit.render(2)
    assert rendered.camera == other


def test_without_a_composite_or_with_a_baked_head_a_sentence_says_what_to_do(kit):
    error = kit.part("scene.errors").SceneError
    kit.import_tracking(kit.workspace())
    with pytest.raises(error, match="press Build Composite"):
        kit.part("api").composite_objects(scene=kit.scene)
    composed(kit)
    tree = kit.part("scene.nodes").tree_of(kit.scene)
    tree.nodes.remove(node(kit, "engine"))
    with pytest.raises(error, match="Baked frames of the head have no depth"):
        kit.part("api").composite_objects(scene=kit.scene)
