"""Blender's own importers read what `export` writes: shape keys by name, upright, in metres, facing the front view."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from backend.protocol import BLENDSHAPE_NAMES

bpy = pytest.importorskip("bpy", reason="needs the Blender environment")

ROOT = Path(__file__).resolve().parent.parent.parent
WRITE = """
import sys
from pathlib import Path
import numpy as np
from backend.delivery.export.splats import Splats
from tests.backend.delivery.exported import made_up_face, made_up_gaussians, write_all
folder, face = Path(sys.argv[1]), made_up_face()
write_all(folder)
gaussians = vars(Splats.of(made_up_gaussians()))
np.savez(folder / "truth.npz", **gaussians, vertices_m=face.vertices_m, shape_keys=face.shape_keys)
"""


@pytest.fixture(scope="module")
def files(python, tmp_path_factory) -> Path:
    """The folder with the files, which the backend writes; `truth.npz` has what is in them, in the head frame."""
    folder = tmp_path_factory.mktemp("exported")
    done = subprocess.run(
        [str(python), "-c", WRITE, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def truth(files):
    return np.load(files / "truth.npz")


def imported(path: Path) -> dict[str, bpy.types.Object]:
    """The objects that a file becomes in an empty scene, by name."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    read = {".glb": bpy.ops.import_scene.gltf, ".usda": bpy.ops.wm.usd_import, ".ply": bpy.ops.wm.ply_import}
    assert read[path.suffix](filepath=str(path)) == {"FINISHED"}
    bpy.context.view_layer.update()
    return {item.name: item for item in bpy.data.objects}


def in_blender(head_frame: np.ndarray) -> np.ndarray:
    """Points or displacements of the head frame (x right of the image, y down, z into the head) with z up, facing -y."""
    return np.stack([head_frame[..., 0], head_frame[..., 2], -head_frame[..., 1]], -1)


def in_world(item: bpy.types.Object, values: np.ndarray) -> np.ndarray:
    matrix = np.array(item.matrix_world)
    return values @ matrix[:3, :3].T + matrix[:3, 3]


def coordinates(data) -> np.ndarray:
    values = np.empty(len(data) * 3, np.float32)
    data.foreach_get("co", values)
    return values.reshape(-1, 3)


@pytest.mark.parametrize("name", ["head.glb", "face.glb", "head.usda", "face.usda"])
def test_the_face_arrives_with_its_52_shape_keys(files, truth, name):
    face = imported(files / name)["face"]
    basis, *shapes = face.data.shape_keys.key_blocks
    assert [shape.name for shape in shapes] == list(BLENDSHAPE_NAMES)
    assert all(shape.value == 0 for shape in shapes)
    assert np.allclose(in_world(face, coordinates(basis.data)), in_blender(truth["vertices_m"]), atol=1e-6)
    for shape, moved in zip(shapes, truth["shape_keys"], strict=True):
        found = in_world(face, coordinates(shape.data))
        assert np.allclose(found, in_blender(truth["vertices_m"] + moved), atol=1e-6), shape.name
    outwards = np.array([face.matrix_world.to_3x3() @ polygon.normal for polygon in face.data.polygons])
    assert (outwards[:, 1] < 0).all()  # towards who looks at the front view


def test_gaussians_of_gltf_arrive_as_coloured_points(files, truth):
    points = imported(files / "head.glb")["gaussians"]
    assert np.allclose(in_world(points, coordinates(points.data.vertices)), in_blender(truth["positions_m"]), atol=1e-6)
    assert [attribute.name for attribute in points.data.color_attributes]


def test_plys_attributes_arrive_by_their_names(files, truth):
    attributes = imported(files / "head.ply")["head"].data.attributes

    def values(*names: str) -> np.ndarray:
        return np.array([[item.value for item in attributes[name].data] for name in names]).T

    assert np.allclose(np.exp(values("scale_0", "scale_1", "scale_2")), truth["scales_m"], rtol=1e-5)
    assert np.allclose(values("rot_0", "rot_1", "rot_2", "rot_3"), truth["rotations"], atol=1e-6)
    assert np.allclose(1 / (1 + np.exp(-values("opacity")[:, 0])), truth["opacities"], atol=1e-6)
    colours = 0.5 + 0.28209479177387814 * values("f_dc_0", "f_dc_1", "f_dc_2")
    assert np.allclose(colours, truth["colours"], atol=1e-6)
    assert not values(*(f"f_rest_{index}" for index in range(45))).any()
