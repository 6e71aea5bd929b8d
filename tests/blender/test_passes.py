"""The engine's passes are those that Cycles renders of the same ball, reach Render Layers and EXR, and cost nothing unless enabled."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from . import head_backend

pytestmark = pytest.mark.usefixtures("client")

READ = """
import sys
import numpy as np
import OpenEXR
with OpenEXR.File(sys.argv[1], separate_channels=True) as file:
    found = {name: item.pixels for part in file.parts for name, item in part.channels.items()}
np.savez(sys.argv[2], **{name: pixels.astype(np.float32) for name, pixels in found.items()})
"""


@pytest.fixture
def rig(rendered_rig):
    return rendered_rig


@pytest.fixture
def layers(kit, python):
    """Renders the frame to a multilayer EXR: its channels by name, without the layer's, (H, W) float32, top row first."""
    if subprocess.run([python, "-c", "import OpenEXR"], capture_output=True, check=False).returncode:
        pytest.skip("the backend's environment is of an earlier version: it has no OpenEXR")

    def render(frame=5):
        import bpy

        settings = kit.scene.render.image_settings
        if hasattr(settings, "media_type"):
            settings.media_type = "MULTI_LAYER_IMAGE"
        settings.file_format, settings.color_depth = "OPEN_EXR_MULTILAYER", "32"
        path = Path(kit.tmp_path, f"{kit.scene.render.engine}.exr")
        kit.scene.render.filepath = str(path)
        kit.scene.frame_set(frame)
        bpy.ops.render.render(write_still=True)
        subprocess.run([python, "-c", READ, path, path.with_suffix(".npz")], check=True)
        with np.load(path.with_suffix(".npz")) as found:
            return {name.partition(".")[2]: found[name] for name in found.files}

    return render


def enable(kit, *, mattes=False):
    layer = kit.scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_vector = layer.use_pass_normal = True
    layer.synctalk.use_pass_mattes = mattes
    return layer


def add_ball(kit, rig):
    """The ball that the backend draws, as a mesh on the head."""
    import bmesh
    import bpy

    mesh = bpy.data.meshes.new("ball")
    ball = bmesh.new()
    bmesh.ops.create_icosphere(ball, subdivisions=5, radius=head_backend.RADIUS_M)
    ball.to_mesh(mesh)
    item = bpy.data.objects.new("ball", mesh)
    item.parent = rig.control
    item.location = kit.part("scene.coordinates").points_to_blender(head_backend.CENTRE_M)
    kit.scene.collection.objects.link(item)
    driver = item.driver_add("scale")
    for curve in driver:
        variable = curve.driver.variables.new()
        variable.targets[0].id_type, variable.targets[0].id = "KEY", rig.face.data.shape_keys
        variable.targets[0].data_path = 'key_blocks["jawOpen"].value'
        curve.driver.expression = f"1 + 0.2 * {variable.name}"
    for face in mesh.polygons:
        face.use_smooth = True


def in_cycles(kit, layers):
    kit.scene.render.engine = "CYCLES"
    kit.scene.cycles.samples, kit.scene.cycles.use_denoising = 1, False
    kit.scene.cycles.pixel_filter_type = "BOX"
    kit.scene.cycles.filter_width = 0.01
    found = layers()
    kit.scene.render.engine = "SYNCTALK"
    return found


@pytest.mark.parametrize("edit", ["as tracked", "directed"])
def test_depth_normals_and_motion_are_those_that_cycles_renders(kit, rig, layers, edit):
    enable(kit)
    add_ball(kit, rig)
    if edit == "directed":
        rig.control.scale = 1.3, 1.3, 1.3
        rig.camera.rotation_euler.z += 0.1
        rig.camera.location.x += 0.05
        for frame, turn in ((4, 0.0), (5, 0.1), (6, 0.35)):
            rig.control.rotation_euler = 0.0, 0.0, turn
            rig.control.keyframe_insert("rotation_euler", frame=frame)
    truth, found = in_cycles(kit, layers), layers()
    inside = (truth["Depth.Z"] < 10) & (found["Depth.Z"] < 10)
    assert inside.mean() > 0.05 and ((truth["Depth.Z"] < 10) ^ inside).sum() < 0.1 * inside.sum()
    inner = inside & (np.abs(truth["Normal.X"]) < 0.7) & (np.abs(truth["Normal.Z"]) < 0.7)
    np.testing.assert_allclose(found["Depth.Z"][inner], truth["Depth.Z"][inner], atol=0.004)
    for axis in "XYZ":
        np.testing.assert_allclose(found[f"Normal.{axis}"][inner], truth[f"Normal.{axis}"][inner], atol=0.06)
    assert max(np.abs(truth[f"Vector.{axis}"][inner]).max() for axis in "XYZW") > 0.5, "it moves"
    for axis in "XYZW":
        np.testing.assert_allclose(found[f"Vector.{axis}"][inner], truth[f"Vector.{axis}"][inner], atol=0.15)
    assert (found["Depth.Z"][found["Combined.A"] == 0] > 9e9).all()


def test_pixels_that_are_not_square_keep_depths_and_squeeze_motion(kit):
    passes, frames = kit.part("passes"), kit.part("live_frame")
    camera = kit.record("camera").Camera(1, 4, 10.0, (0.5, 2.0))
    directions = kit.part("scene.directions").Directions(np.eye(4), np.zeros(52), scale=2.0)
    depth = np.float32([1.0, 1e10, 3.0, 4.0]).reshape(4, 1, 1)
    given = {"Depth": depth, "Vector": np.ones((4, 1, 4), np.float32)}
    found = passes.in_scene(given, frames.HeadFrame("", camera, directions), np.eye(4), (1, 2))
    assert found["Depth"].ravel().tolist() == [np.float32(1e10), 8.0]
    assert found["Vector"][0, 0].tolist() == [1.0, 0.5, 1.0, 0.5]


def test_mattes_are_passes_of_their_own(kit, rig, layers):
    layer = enable(kit, mattes=True)
    found = layers()
    for name in ("Head", "Hair"):
        np.testing.assert_array_equal(found[f"{name}.X"], found["Combined.A"])
    assert not any(found[f"{name}.X"].any() for name in ("Mouth", "Skin", "Neck"))
    layer.synctalk.use_pass_mattes = layer.use_pass_vector = False
    assert {name.partition(".")[0] for name in layers()} - {"Combined", "Composite"} == {"Depth", "Normal", "SyncTalk"}


def test_passes_that_are_not_enabled_are_not_asked_for(kit, rig):
    import bpy

    engine = kit.part("engine")
    layer = kit.scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_vector = layer.use_pass_normal = False
    evaluated = []
    plain = type("Engine", (), {"frame_set": staticmethod(lambda *args, **kwargs: evaluated.append(args))})
    depsgraph = bpy.context.evaluated_depsgraph_get()
    passes = kit.part("passes")
    assert passes.wanted(plain(), depsgraph, engine.wanted_frame).params() == {} and not evaluated
    layer.use_pass_z = True
    assert passes.wanted(plain(), depsgraph, engine.wanted_frame).params() == {"passes": ["Depth"]} and not evaluated
    layer.use_pass_vector = True
    asked = passes.wanted(plain(), depsgraph, engine.wanted_frame).params()
    assert len(asked["before"]) == len(asked["after"]) == 71 and len(evaluated) == 3
    assert kit.scene.frame_current == evaluated[-1][0], "the frame that is rendered is evaluated again"


def test_passes_are_sockets_of_render_layers_while_they_are_enabled(kit, rig):
    nodes = kit.part("scene.nodes")
    layer = enable(kit, mattes=True)
    node = nodes.ensure_tree(kit.scene, "own").nodes.new("CompositorNodeRLayers")
    names = {"Depth", "Vector", "Normal", "Head", "Hair", "Mouth", "Skin", "Neck"}

    def sockets():
        return {socket.name for socket in node.outputs if socket.enabled}

    assert names <= sockets()
    layer.use_pass_z = layer.use_pass_vector = layer.use_pass_normal = layer.synctalk.use_pass_mattes = False
    assert not names & sockets()


def test_depth_reaches_the_compositor(kit, rig):
    nodes = kit.part("scene.nodes")
    enable(kit)
    tree = nodes.ensure_tree(kit.scene, "own")
    node = tree.nodes.new("CompositorNodeRLayers")
    near = nodes.math(tree, "LESS_THAN", node.outputs["Depth"], 5.0)
    tree.links.new(near, nodes.output_socket(tree))
    image = kit.render(4)
    kit.scene.render.use_compositing = False
    alpha = kit.render(4)[..., 3]
    np.testing.assert_array_equal(image[..., 0] > 0.5, alpha > 0.5)


def test_every_view_layer_has_its_own_image(kit, rig, layers):
    first = enable(kit)
    second = kit.scene.view_layers.new("second")
    second.use_pass_z = False
    kit.scene.frame_set(5)
    import bpy

    bpy.ops.render.render()
    nodes = kit.part("scene.nodes")
    tree = nodes.ensure_tree(kit.scene, "own")
    node = tree.nodes.new("CompositorNodeRLayers")
    node.layer = second.name
    tree.links.new(node.outputs["Alpha"], nodes.output_socket(tree))
    assert (kit.render(5)[..., 0] > 0.5).any(), f"not of {first.name} alone"


def test_a_failure_leaves_no_depth_before_the_scene(kit, rig, monkeypatch):
    passes = kit.part("passes")
    blank = passes.blank(("Depth", "Normal"), 4, 3)
    assert blank["Depth"].shape == (3, 4, 1) and (blank["Depth"] == 1e10).all() and not blank["Normal"].any()
