"""EXR frames of `render` are read by Blender as they are meant: linear, premultiplied, passes as sockets of one layer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from . import synthetic_workspace as synthetic

ROOT = Path(__file__).resolve().parent.parent.parent

WRITE = """
import sys
import numpy as np
from backend.media.sequence import SequenceWriter
image = np.zeros((24, 32, 4), np.float32)
image[:12] = 0.25, 0.125, 0.0, 0.5
writer = SequenceWriter(sys.argv[1], "exr")
writer.write(0, image)
writer.write(1, image, {"Depth.Z": image[..., 0] + 0.5, "Hair.X": image[..., 1]})
"""


@pytest.fixture
def frames(python, tmp_path) -> Path:
    """A folder with a plain frame and one with passes."""
    if subprocess.run([python, "-c", "import OpenEXR"], capture_output=True, check=False).returncode:
        pytest.skip("the backend's environment is of an earlier version: it has no OpenEXR")
    subprocess.run([python, "-c", WRITE, tmp_path], cwd=ROOT, check=True)
    return tmp_path


def test_a_plain_frame_is_linear_and_premultiplied(frames):
    import bpy

    image = bpy.data.images.load(str(frames / "000000.exr"))
    pixels = np.array(image.pixels[:]).reshape(24, 32, 4)  # from the bottom up
    assert image.alpha_mode == "PREMUL" and image.colorspace_settings.is_data is False
    assert image.colorspace_settings.name in ("Linear Rec.709", "Linear")
    np.testing.assert_array_equal(pixels[-1, 0], [0.25, 0.125, 0.0, 0.5])
    np.testing.assert_array_equal(pixels[0, 0], 0)


def test_passes_are_sockets_of_the_image_node(frames, kit):
    import bpy

    tree = bpy.data.node_groups.new("read", "CompositorNodeTree")
    node = tree.nodes.new("CompositorNodeImage")
    node.image = bpy.data.images.load(str(frames / "000001.exr"))
    assert node.has_layers and node.layer == "Head"
    assert {"Combined", "Depth", "Hair"} <= {socket.name for socket in node.outputs if socket.enabled}


WRITE_SOFT_DISC = """
import sys
import numpy as np
from backend.media.sequence import SequenceWriter
from backend.workspace.arrays import decode_srgb
y, x = np.mgrid[:96, :128]
alpha = np.clip((34 - np.hypot(y - 48, x - 64)) / 12 + 0.5, 0, 1)[..., None]
colour = np.array([225, 180, 150]) / 255 * (alpha > 0)
straight = np.concatenate([colour, alpha], -1)
np.save(sys.argv[1] + "/straight.npy", straight)
linear = np.concatenate([decode_srgb(colour.astype(np.float32)) * alpha, alpha], -1).astype(np.float32)
for kind, image in (
    ("png", np.rint(straight * 255).astype(np.uint8)),
    ("png16", np.rint(straight * 65535).astype(np.uint16)),
    ("exr", linear),
):
    SequenceWriter(sys.argv[1] + "/" + kind, kind).write(0, image)
"""


@pytest.mark.parametrize("kind", ["png", "png16", "exr"])
def test_a_heads_soft_edge_has_no_fringe_over_white_and_black(kit, python, kind):
    subprocess.run([python, "-c", WRITE_SOFT_DISC, kit.tmp_path], cwd=ROOT, check=True)
    straight = np.load(kit.tmp_path / "straight.npy")
    (frame,) = (kit.tmp_path / kind).glob("000000.*")
    scene = kit.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.dither_intensity = 128, 96, 0.0
    scene.view_settings.view_transform = "Standard"
    strips = kit.part("scene.audio_strip").strips_of(scene.sequence_editor_create())
    for frame_number, behind in enumerate((0.0, 1.0), start=1):
        ground = np.concatenate([np.full((96, 128, 3), behind), np.ones((96, 128, 1))], -1)
        synthetic.write_image(kit.tmp_path / f"ground_{frame_number}.png", ground)
        strips.new_image("ground", str(kit.tmp_path / f"ground_{frame_number}.png"), 1, frame_number)
        head = strips.new_image("head", str(frame), 2, frame_number)
        head.blend_type = "ALPHA_OVER"
        shown = kit.render(frame_number)[..., :3]
        wanted = straight[..., :3] * straight[..., 3:] + behind * (1 - straight[..., 3:])
        assert np.abs(shown - wanted).max() < 2.5 / 255, "8 bits of the render, and of PNG"
        edge = (straight[..., 3] > 0) & (straight[..., 3] < 1)
        assert edge.sum() > 500 and np.abs((shown - wanted)[edge].mean()) < 0.7 / 255
