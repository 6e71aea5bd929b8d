"""EXR frames of `render` are read by Blender as they are meant: linear, premultiplied, passes as sockets of one layer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

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
