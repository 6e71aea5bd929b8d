"""The composite: every layer in its place to the pixel, the footage there and back, and no fringe at any setting."""

from __future__ import annotations

import numpy as np
import pytest

from . import head_backend
from . import synthetic_workspace as synthetic
from .composite_kit import compose, composed, differing, expected, node
from .scene_kit import as_png

pytestmark = pytest.mark.usefixtures("client")


@pytest.mark.parametrize("frame", [1, 12, 13, 20])
def test_the_head_lies_over_the_plate_and_the_footage_runs_there_and_back(kit, frame):
    rig = composed(kit)
    assert differing(kit.render(frame), expected(kit, rig, frame)) == 0


@pytest.mark.parametrize(
    ("source_size", "crop"),
    [((320, 180), (101.0, 33.0, 96.0)), ((321, 181), (101.0, -15.0, 96.0)), ((160, 240), (60.0, 160.0, 96.0))],
)
def test_a_cropped_plate_lies_in_its_square_of_the_whole_footage(kit, source_size, crop):
    rig = composed(kit, source_size=source_size, crop=crop)
    picture = kit.render(13)
    assert picture.shape[:2] == (source_size[1] // 2 * 2, source_size[0] // 2 * 2)
    assert differing(picture, expected(kit, rig, 13)) == 0


def test_an_enlarged_plate_lies_in_its_square(kit):
    rig = composed(kit, source_size=(320, 180), crop=(100.0, 20.0, 144.0))
    off = np.abs(kit.render(2)[..., :3] - expected(kit, rig, 2)).max(-1) > 3 / 255
    ring = np.zeros_like(off)
    ring[19:166, 99:246] = True
    ring[22:162, 102:242] = False
    assert not (off & ~ring).any(), "only the seam itself may mix"


def test_a_smaller_render_is_the_same_image(kit):
    rig = composed(kit, source_size=(320, 180), crop=(100.0, 20.0, 144.0))
    kit.scene.render.resolution_percentage = 50
    compose(kit)
    small, large = kit.render(2)[..., :3], expected(kit, rig, 2)
    halved = (large[::2, ::2] + large[1::2, ::2] + large[::2, 1::2] + large[1::2, 1::2]) / 4
    assert (np.abs(small - halved).max(-1) > 6 / 255).mean() < 0.04, "but for outlines"


@pytest.mark.parametrize("size", [(320, 320), (320, 100)])
def test_another_aspect_keeps_head_and_footage_together(kit, size):
    composed(kit, source_size=(320, 180), crop=(112.0, 42.0, 96.0))
    whole = kit.render(2)
    kit.scene.render.resolution_x, kit.scene.render.resolution_y = size
    compose(kit)
    picture = kit.render(2)
    rows = min(180, size[1])
    a, b = (180 - rows) // 2, (size[1] - rows) // 2
    assert differing(picture[b : b + rows], whole[a : a + rows]) == 0


@pytest.mark.parametrize(("softness", "shrink"), [(3.0, 0.0), (8.0, 0.0), (8.0, 1.0), (30.0, 0.5), (0.0, 1.0)])
def test_no_setting_of_the_edge_makes_a_fringe(kit, softness, shrink):
    """A head of the background's colour must vanish in it, however its edge is treated."""
    composed(kit)
    background = node(kit, "at render size").outputs[0]
    nodes = kit.part("scene.nodes")
    tree = nodes.tree_of(kit.scene)
    matte = nodes.alpha_of(tree, node(kit, "engine").outputs["Image"])
    same = nodes.set_alpha(tree, background, matte, replace=False)
    edge = node(kit, "edge softness")
    tree.links.new(same, edge.inputs["Head"])
    edge.inputs["Softness"].default_value, edge.inputs["Shrink"].default_value = softness, shrink
    picture = kit.render(4)
    below = np.zeros_like(picture[..., :3])
    below[...] = synthetic.level(3), 0.0, synthetic.PLATE_BLUE
    assert differing(picture, below, 2) == 0


def test_softness_softens_and_shrink_takes_in_the_outline(kit):
    composed(kit)
    edge = node(kit, "edge softness")
    hard = kit.render(4)[..., 1]
    edge.inputs["Softness"].default_value = 6.0
    soft = kit.render(4)[..., 1]
    edge.inputs["Shrink"].default_value = 1.0
    shrunk = kit.render(4)[..., 1]
    assert 0 < ((np.abs(soft - hard) > 0.02).mean()) < 0.3
    assert shrunk.sum() < soft.sum()


def test_composing_again_renews_and_keeps_what_the_artist_did(kit):
    import bpy

    composed(kit)
    nodes = kit.part("scene.nodes")
    tree = nodes.tree_of(kit.scene)
    edge, over = node(kit, "edge softness"), node(kit, "output")
    edge.inputs["Softness"].default_value = 4.0
    over.name = over.label = "my own name"
    own = tree.nodes.new("CompositorNodeInvert")
    final = nodes.output_socket(tree)
    tree.links.new(over.outputs[0], own.inputs["Color"])
    tree.links.new(own.outputs[0], final)
    before = len(tree.nodes), len(tree.links), len(bpy.data.node_groups), len(bpy.data.images)
    compose(kit)
    assert (len(tree.nodes), len(tree.links), len(bpy.data.node_groups), len(bpy.data.images)) == before
    assert node(kit, "edge softness").inputs["Softness"].default_value == 4.0
    assert nodes.output_socket(tree).links[0].from_node == own


def test_a_group_of_an_earlier_version_is_found_with_the_artist_s_edits_and_bears_its_new_name(kit):
    import bpy

    composed(kit)
    over = node(kit, "output").node_tree
    over.name, over["synctalk_role"] = "Laid over", "SyncTalk Laid over"
    over["edit"] = "of the artist"
    nodes = kit.part("scene.nodes")
    tree = nodes.tree_of(kit.scene)
    for made in [item for item in tree.nodes if item.get("synctalk_role")]:
        tree.nodes.remove(made)
    before = len(bpy.data.node_groups)
    compose(kit)
    assert node(kit, "output").node_tree == over
    assert (over.name, over["synctalk_role"], over["edit"]) == ("Over", "SyncTalk Over", "of the artist")
    assert len(bpy.data.node_groups) == before


def test_an_artist_s_own_tree_is_kept(kit):
    nodes = kit.part("scene.nodes")
    tree = nodes.ensure_tree(kit.scene, "own")
    own = tree.nodes.new("CompositorNodeBlur")
    composed(kit)
    assert own.name in nodes.tree_of(kit.scene).nodes


def test_baked_frames_take_the_head_s_place_and_the_engine_rests(kit, monkeypatch):
    rig = composed(kit)
    live = kit.render(13)
    frames = kit.tmp_path / "baked"
    subject = kit.opened(rig.workspace).subject
    for frame in range(20):
        said = kit.read(rig, frame + 1)
        head = head_backend.draw(
            {
                "width": 96,
                "height": 96,
                "focal_px": 192.0,
                "principal_px": (96 * 0.52, 96 * 0.49),
                "head_to_camera": said.head_to_camera.ravel(),
                "blendshapes": said.blendshapes,
            }
        )
        synthetic.write_image(frames / f"{frame:06d}.png", straight(as_png(head)))
    assert subject.frames == 12
    compose(kit, frames)
    kit.use_backend(monkeypatch, "dies")
    assert differing(kit.render(13), live) == 0
    compose(kit)
    kit.use_backend(monkeypatch)
    assert differing(kit.render(13), live) == 0


def straight(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture[..., :3] / np.maximum(picture[..., 3:], 1e-9), picture[..., 3:]], -1)


def test_frames_are_labelled_in_words(kit):
    composed(kit)
    tree = kit.part("scene.nodes").tree_of(kit.scene)
    labels = {item.label for item in tree.nodes if item.bl_idname == "NodeFrame"}
    assert labels == {"Footage", "Clean plate", "Neural head", "Edge softness", "Output"}


def test_a_missing_plate_is_reported(kit):
    root = kit.workspace()
    kit.import_tracking(root)
    for path in (root / "plate").iterdir():
        path.unlink()
    with pytest.raises(kit.part("scene.errors").SceneError, match=r"plate/000000.jpg is missing"):
        compose(kit)
