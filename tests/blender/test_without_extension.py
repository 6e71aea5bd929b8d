"""A .blend with a head, rendered where the extension is missing: Blender takes another engine, so the image must say so."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from . import synthetic_workspace as synthetic
from .composite_kit import compose, composed, differing

pytestmark = pytest.mark.usefixtures("client")

# Blender falls back to EEVEE, which wants a graphics card; to the compositor one engine is as foreign as the other.
ELSEWHERE = """
import bpy, os, sys
blend, image = sys.argv[1:]
bpy.ops.wm.open_mainfile(filepath=blend, use_scripts=False)
assert not hasattr(bpy.types.Scene, "synctalk")
scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.cycles.samples, scene.cycles.device = 1, "CPU"
scene.render.filepath = image
scene.frame_set(2)
bpy.ops.render.render(write_still=True)
bpy.ops.wm.save_as_mainfile(filepath=blend)
sys.stdout.flush()
os._exit(0)
"""


def rendered_elsewhere(kit) -> np.ndarray:
    """(H, W, 4) of the scene, as a Blender without the extension renders it from the saved file."""
    import bpy

    kit.part("scene.output").set_images(kit.scene, kit.tmp_path)
    blend, image = kit.tmp_path / "scene.blend", kit.tmp_path / "elsewhere.png"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    script = kit.tmp_path / "elsewhere.py"
    script.write_text(ELSEWHERE)
    environment = {"BLENDER_USER_RESOURCES": str(kit.tmp_path / "nobody"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, str(script), str(blend), str(image)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return synthetic.read_image(image)


def warned(image: np.ndarray) -> float:
    """The part of the image that is the warning's red or its white letters."""
    red = (image[..., 0] > 0.2) & (image[..., 1:3].max(-1) < 0.1)
    white = image[..., :3].min(-1) > 0.9
    return float((red | white).mean())


@pytest.mark.parametrize("size", [(320, 180), (200, 200)])
def test_every_frame_carries_a_warning(kit, size):
    composed(kit, source_size=(320, 180), crop=(100.0, 20.0, 144.0))
    kit.scene.render.resolution_x, kit.scene.render.resolution_y = size
    here = kit.render(2)
    there = rendered_elsewhere(kit)
    assert warned(here) < 0.02
    assert warned(there) > 0.5
    assert (there[..., :3].min(-1) > 0.6).mean() > 0.02, "letters"


def test_an_artist_s_nodes_after_the_composite_keep_the_warning_last(kit):
    composed(kit)
    nodes = kit.part("scene.nodes")
    tree = nodes.tree_of(kit.scene)
    warning = next(item for item in tree.nodes if item.get("synctalk_role") == "warning")
    assert nodes.output_socket(tree).links[0].from_node == warning
    assert warning.inputs["SyncTalk"].is_linked


def test_a_composite_built_before_there_was_a_warning_gets_one(kit):
    composed(kit)
    nodes = kit.part("scene.nodes")
    tree = nodes.tree_of(kit.scene)
    before = kit.render(2)
    warning = next(item for item in tree.nodes if item.get("synctalk_role") == "warning")
    own = tree.nodes.new("CompositorNodeBlur")
    tree.links.new(warning.inputs["Image"].links[0].from_socket, own.inputs["Image"])
    tree.links.new(own.outputs[0], nodes.output_socket(tree))
    tree.nodes.remove(warning)
    compose(kit)
    compose(kit)
    warning = next(item for item in tree.nodes if item.get("synctalk_role") == "warning")
    assert warning.inputs["Image"].links[0].from_node == own
    assert nodes.output_socket(tree).links[0].from_node == warning
    assert differing(kit.render(2), before) == 0


def test_baked_frames_need_neither_engine_nor_warning(kit):
    composed(kit)
    live = kit.render(2)
    frames = kit.tmp_path / "baked"
    for frame in range(20):
        synthetic.write_image(frames / f"{frame:06d}.png", np.zeros((96, 96, 4), np.float32))
    compose(kit, frames)
    there = rendered_elsewhere(kit)
    assert there.shape == live.shape
    assert warned(there) == 0
    assert np.abs(there[..., 2] - synthetic.PLATE_BLUE).max() < 0.02


def test_a_file_that_was_saved_elsewhere_renders_here_without_the_warning(kit):
    import bpy

    composed(kit)
    here = kit.render(2)
    assert warned(rendered_elsewhere(kit)) > 0.4
    bpy.ops.wm.open_mainfile(filepath=str(kit.tmp_path / "scene.blend"))
    kit.scene.render.engine = "SYNCTALK"  # which the Blender there had changed
    assert differing(kit.render(2), here) == 0


def test_another_engine_and_back_leaves_no_warning(kit):
    import bpy

    composed(kit)
    here = kit.render(2)
    kit.scene.render.engine = "CYCLES"
    kit.scene.cycles.samples = 1
    assert warned(kit.render(2)) > 0.4, "another engine renders no head"
    kit.scene.render.engine = "SYNCTALK"
    assert differing(kit.render(2), here) == 0
    kit.scene.render.engine = "CYCLES"
    bpy.ops.wm.save_as_mainfile(filepath=str(kit.tmp_path / "other.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(kit.tmp_path / "other.blend"))
    kit.scene.render.engine = "SYNCTALK"
    assert differing(kit.render(2), here) == 0
