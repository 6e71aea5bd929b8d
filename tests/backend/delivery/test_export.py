"""The head out of Blender: files that readers of their formats take for what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from backend.commands import export
from backend.commands.verify import verify
from backend.delivery.export.splats import Splats
from backend.delivery.provenance.signing import sidecar_of
from backend.errors import ConsentError, UsageError, WorkspaceError
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES, SYNTHETIC_MARK
from backend.renderer.gaussians.kernels import get_rasteriser
from backend.renderer.gaussians.kernels.interface import COLOUR, LOG_SCALE, OPACITY, POSITION, ROTATION, View
from backend.workspace.camera import Camera
from backend.workspace.store import Workspace
from backend.workspace.subject import Subject
from tests.backend.delivery import exported
from tests.backend.delivery.exported import UPRIGHT
from tests.backend.delivery.plain_splatting import draw
from tests.backend.made_up_gaussians import HAIR, NOSE_M, made_up_gaussians

FILES = ("head.ply", "head.glb", "head.usda")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what `exported.write_all` writes."""
    folder = tmp_path_factory.mktemp("exported")
    exported.write_all(folder)
    return folder


def axes_of(name: str) -> np.ndarray:
    """(3, 3) from the head frame to a file's axes."""
    return np.eye(3) if name.endswith(".ply") else UPRIGHT


# -- Gaussians --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_file_holds_the_gaussians_to_float_precision(files, name):
    head = made_up_gaussians()
    neutral, read, axes = head.neutral().astype(np.float64), exported.read(files / name), axes_of(name)
    assert np.allclose(read.positions, neutral[POSITION].T @ axes.T, atol=1e-7)
    assert np.allclose(read.colours, neutral[COLOUR].T, atol=1e-6)
    assert np.allclose(np.linalg.norm(read.quaternions_wxyz, axis=1), 1, atol=1e-6)
    quaternions = (neutral[ROTATION] / np.linalg.norm(neutral[ROTATION], axis=0)).T
    widened = np.sqrt(np.exp(2 * neutral[LOG_SCALE].T) + head.config.filter_m**2)
    expected = axes @ exported.covariances(widened, quaternions) @ axes.T
    assert np.allclose(read.covariances, expected, atol=1e-9)


@pytest.mark.parametrize("name", FILES)
def test_the_exported_gaussians_draw_the_neutral_image(files, name):
    """Drawn as 3DGS has it, turned, from another program's axes: handedness, rotations, filter and opacity all count."""
    head, camera = made_up_gaussians(), Camera(160, 160, 400.0, (80.0, 80.0))
    angle = np.radians(20)
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    pose[:3, 3] = 0, 0.05, 1
    order = np.argsort(head.base[:3].T.numpy() @ pose[2, :3]).astype(np.int32)  # as other programs blend
    drawn = get_rasteriser("torch").draw(head.neutral(), order, View(camera, pose, head.config.filter_m)).rgba
    to_camera = pose.copy()
    to_camera[:3, :3] = pose[:3, :3] @ axes_of(name).T
    image = draw(exported.read(files / name), camera, to_camera)
    assert drawn[..., 3].max() > 0.9
    assert -10 * np.log10(np.mean((image - drawn) ** 2)) > 38


@pytest.mark.parametrize("name", FILES)
def test_the_crown_is_up_and_the_nose_is_in_front(files, name):
    read, axes = exported.read(files / name), axes_of(name)
    up, front = axes @ [0, -1, 0], axes @ [0, 0, -1]
    assert np.allclose(read.colours[np.argmax(read.positions @ up)], HAIR, atol=0.15)
    assert np.allclose(read.positions[np.argmax(read.positions @ front)], axes @ NOSE_M, atol=1e-6)
    if not name.endswith(".ply"):
        assert np.allclose(up, [0, 1, 0]) and np.allclose(front, [0, 0, 1])


def test_gaussians_that_draw_nothing_are_left_out():
    attributes = made_up_gaussians().neutral()
    attributes[OPACITY, 3] = -20
    attributes[POSITION, 5] = np.nan
    attributes[ROTATION, 7] = 0
    kept = Splats.of_attributes(attributes, 0.001)
    assert kept.count == 297 and all(np.isfinite(array).all() for array in vars(kept).values())
    attributes[OPACITY] = -20
    with pytest.raises(WorkspaceError, match="nothing to draw"):
        Splats.of_attributes(attributes, 0.001)


def test_opacity_and_colour_stay_within_what_the_formats_allow():
    attributes = made_up_gaussians().neutral()
    attributes[OPACITY, :100], attributes[COLOUR, 0] = 80, (-0.2, 1.3, 0.5)
    splats = Splats.of_attributes(attributes, 0.001)
    assert splats.opacities.min() > 0 and splats.opacities.max() < 1
    assert np.allclose(splats.colours[0], (0, 1, 0.5))


def test_ply_has_the_62_floats_of_the_reference_in_its_order(files):
    header = exported.ply_header(files / "head.ply")
    rest = [f"f_rest_{index}" for index in range(45)]
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *rest]
    names += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert header[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 300"]
    assert [line for line in header if line.startswith("property")] == [f"property float {name}" for name in names]
    body = (files / "head.ply").read_bytes().split(b"end_header\n", 1)[1]
    assert len(body) == 300 * 62 * 4


def test_glb_names_the_extension_and_colours_the_points_of_readers_without_it(files):
    tree = exported.glb_tree(files / "gaussians.glb")
    assert tree["extensionsUsed"] == ["KHR_gaussian_splatting"] and "extensionsRequired" not in tree
    primitive = tree["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0
    assert primitive["extensions"]["KHR_gaussian_splatting"] == {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
    }
    fallback = exported.glb_accessor(files / "gaussians.glb", primitive["attributes"]["COLOR_0"])
    encoded = exported.read(files / "gaussians.glb").colours
    assert np.allclose(fallback[:, :3] ** (1 / 2.2), encoded, atol=0.04)  # linear light
    assert np.allclose(fallback[:, 3], exported.read(files / "gaussians.glb").opacities)


# -- the face ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["head.glb", "face.glb"])
def test_glb_has_the_52_shape_keys_of_arkit_as_morph_targets(files, name):
    face = exported.made_up_face()
    mesh = next(mesh for mesh in exported.glb_tree(files / name)["meshes"] if mesh["name"] == "face")
    primitive = mesh["primitives"][0]
    assert mesh["extras"]["targetNames"] == list(BLENDSHAPE_NAMES) and len(mesh["weights"]) == 52
    vertices = exported.glb_accessor(files / name, primitive["attributes"]["POSITION"])
    triangles = exported.glb_accessor(files / name, primitive["indices"]).reshape(-1, 3).astype(int)
    assert np.allclose(vertices, face.vertices_m @ UPRIGHT.T, atol=1e-7)
    for shape, target in zip(face.shape_keys, primitive["targets"], strict=True):
        assert np.allclose(exported.glb_accessor(files / name, target["POSITION"]), shape @ UPRIGHT.T, atol=1e-8)
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()  # counterclockwise from the front, where +z is


def test_the_face_is_invisible_among_gaussians_and_visible_alone(files):
    material = exported.glb_tree(files / "head.glb")["materials"][0]
    assert material["pbrMetallicRoughness"]["baseColorFactor"][3] == 0 and material["alphaMode"] == "BLEND"
    assert "materials" not in exported.glb_tree(files / "face.glb")
    assert "inputs:opacity = 0" in (files / "head.usda").read_text()
    assert "Material" not in (files / "face.usda").read_text()


def test_openusd_reads_gaussians_and_blend_shapes(files, tmp_path):
    from pxr import Usd, UsdGeom, UsdSkel, UsdVol

    stage = Usd.Stage.Open(str(files / "head.usda"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    prims = {prim.GetName(): prim for prim in stage.Traverse()}
    gaussians, read = UsdVol.ParticleField3DGaussianSplat(prims["gaussians"]), exported.read(files / "head.glb")
    assert gaussians and gaussians.GetRadianceSphericalHarmonicsDegreeAttr().Get() == 0
    assert np.allclose(gaussians.GetPositionsAttr().Get(), read.positions, atol=1e-7)
    assert np.allclose(gaussians.GetScalesAttr().Get(), read.scales, rtol=1e-6)
    assert np.allclose(gaussians.GetOpacitiesAttr().Get(), read.opacities, rtol=1e-6)
    turns = [[turn.GetReal(), *turn.GetImaginary()] for turn in gaussians.GetOrientationsAttr().Get()]
    assert np.allclose(turns, read.quaternions_wxyz, atol=1e-6)
    box = UsdGeom.BBoxCache(Usd.TimeCode.Default(), ["default"]).ComputeWorldBound(prims["gaussians"])
    low, high = (np.array(corner) for corner in (box.GetRange().GetMin(), box.GetRange().GetMax()))
    assert (low < read.positions.min(0)).all() and (high > read.positions.max(0)).all() and (high - low < 1).all()
    weights = np.zeros(52)
    weights[BLENDSHAPE_NAMES.index("jawOpen")] = 1
    UsdSkel.Animation(prims["weights"]).GetBlendShapeWeightsAttr().Set(weights.tolist())
    mesh = UsdGeom.Mesh(prims["face"])
    before = np.array(mesh.GetPointsAttr().Get())
    assert UsdSkel.BakeSkinning(UsdSkel.Root(prims["rig"]))
    moved = np.array(mesh.GetPointsAttr().Get(Usd.TimeCode.EarliestTime())) - before
    face = exported.made_up_face()
    assert np.allclose(moved, face.shape_keys[BLENDSHAPE_NAMES.index("jawOpen")] @ UPRIGHT.T, atol=1e-6)


def test_pygltflib_reads_gaussians_with_linear_scales_and_the_morph_targets(files):
    """A library that knows glTF and not this project: what it keeps when it writes the file again is the same."""
    import pygltflib

    file = pygltflib.GLTF2().load(str(files / "head.glb"))
    file.save(str(files / "again.glb"))
    again, truth = exported.read(files / "again.glb"), Splats.of(made_up_gaussians()).upright()
    assert np.allclose(again.scales, truth.scales_m, rtol=1e-6) and (again.scales > 0).all()
    assert np.allclose(again.opacities, truth.opacities, rtol=1e-6)
    assert np.allclose(again.quaternions_wxyz, truth.rotations, atol=1e-6)
    assert np.allclose(again.positions, truth.positions_m, atol=1e-7)
    (face,) = (mesh for mesh in file.meshes if mesh.name == "face")
    assert face.extras["targetNames"] == list(BLENDSHAPE_NAMES) and len(face.primitives[0].targets) == 52
    assert file.extensionsUsed == ["KHR_gaussian_splatting"]


# -- marks and the command ---------------------------------------------------------------------------------------------


def test_every_file_says_that_it_is_synthetic(files):
    assert f"comment {SYNTHETIC_MARK}" in exported.ply_header(files / "head.ply")
    for name in ("head.glb", "gaussians.glb", "face.glb"):
        asset = exported.glb_tree(files / name)["asset"]
        assert asset["copyright"] == SYNTHETIC_MARK and asset["extras"] == {"note": SYNTHETIC_MARK}
    for name in ("head.usda", "gaussians.usda", "face.usda"):
        assert f'string note = "{SYNTHETIC_MARK}"' in (files / name).read_text().split(")")[0]


def write_twin(workspace: Workspace) -> None:
    """A checkpoint with the made-up Gaussians."""
    head = made_up_gaussians()
    state = {"step": 7, "config": head.config.to_json(), "focal_px": 500.0}
    tensors = head.tensors() | {"poses": torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)}
    workspace.checkpoints.mkdir(exist_ok=True)
    (workspace.checkpoints / "gaussians_0000007.safetensors").write_bytes(save(tensors, {"state": json.dumps(state)}))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One of a subject who consents, with a face mesh and nothing trained."""
    made = Workspace(tmp_path / "anna", Subject(name="Anna & Bo", consent={"given": True, "by": "a test"}))
    made.root.mkdir()
    made.save()
    exported.made_up_face().write(made.face_mesh_path)
    return made


def run(workspace: Workspace, kind: str, **options) -> export.Result:
    return export.run(export.Options(workspace=workspace.root, format=kind, **options), Reporter())


@pytest.mark.parametrize("kind", ["ply", "glb", "usd"])
def test_a_head_is_exported_into_its_workspace(workspace, kind):
    write_twin(workspace)
    result = run(workspace, kind)
    assert result.out.parent == workspace.root / "exports" and (result.gaussians, result.shape_keys) == (300, 52)
    assert len(exported.read(result.out).positions) == 300
    assert result.face == (workspace.root / "exports" / "head_face.glb" if kind == "ply" else result.out)
    manifests = {sidecar_of(path) for path in (result.out, result.face)}
    assert sorted(workspace.root.glob("exports/*")) == sorted(
        {result.out, result.face} | manifests
    )  # nothing temporary
    words = export.in_words(result)
    assert "300 Gaussians" in words and "52 shape keys" in words and str(result.out) in words


@pytest.mark.parametrize("kind", ["ply", "glb", "usd"])
def test_an_exported_file_is_signed_beside_it_and_a_changed_one_is_recognised(workspace, kind):
    write_twin(workspace)
    result = run(workspace, kind)
    assert "on no trust list" in result.signed_by
    for path in {result.out, result.face}:
        found = verify(path)
        assert (found.status, found.manifest, found.made["content"]) == (0, "untrusted", "head as a model")
        assert found.made["head"]["checkpoint"] == "gaussians_0000007.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        assert (verify(path).status, verify(path).manifest) == (3, "invalid")


def test_an_unsigned_export_has_no_manifest(workspace):
    result = run(workspace, "glb", part="face", unsigned=True)
    assert result.signed_by == "" and not sidecar_of(result.out).exists()


def test_one_part_can_be_exported_alone(workspace, tmp_path):
    face = run(workspace, "glb", part="face", out=tmp_path / "face.glb")  # nothing was trained
    assert face.face == face.out and face.gaussians == 0
    assert [mesh["name"] for mesh in exported.glb_tree(face.out)["meshes"]] == ["face"]
    write_twin(workspace)
    workspace.face_mesh_path.unlink()
    gaussians = run(workspace, "glb", part="gaussians", out=tmp_path / "gaussians.glb")
    assert gaussians.face is None and gaussians.shape_keys == 0
    assert [mesh["name"] for mesh in exported.glb_tree(gaussians.out)["meshes"]] == ["gaussians"]


def test_a_workspace_without_a_gaussian_head_is_one_sentence(workspace):
    with pytest.raises(WorkspaceError, match="run train"):
        run(workspace, "ply")
    (workspace.checkpoints).mkdir()
    (workspace.checkpoints / "step_0000005.safetensors").touch()
    with pytest.raises(WorkspaceError, match="has no Gaussian head yet: run train"):
        run(workspace, "ply")
    assert not (workspace.root / "exports").exists()


def test_a_likeness_is_not_exported_without_consent(workspace):
    write_twin(workspace)
    workspace.subject.consent = {}
    workspace.save()
    with pytest.raises(ConsentError, match="consent is not recorded"):
        run(workspace, "glb")


def test_options_that_do_not_go_together_are_refused(workspace, tmp_path):
    with pytest.raises(UsageError, match=r"must end in \.glb"):
        run(workspace, "glb", out=tmp_path / "head.ply")
    with pytest.raises(UsageError, match="no shape keys"):
        run(workspace, "ply", part="face")


def test_a_name_that_usd_does_not_allow_is_replaced(workspace):
    write_twin(workspace)
    assert 'defaultPrim = "Anna___Bo"' in run(workspace, "usd").out.read_text()


def test_the_clips_own_face_mesh_is_exported(processed_once, tmp_path):
    """The real one: it looks along +z, its triangles outwards, and `jawOpen` lowers the chin."""
    out = run(Workspace.open(processed_once), "glb", part="face", out=tmp_path / "face.glb").out
    primitive = exported.glb_tree(out)["meshes"][0]["primitives"][0]
    vertices = exported.glb_accessor(out, primitive["attributes"]["POSITION"])
    jaw = exported.glb_accessor(out, primitive["targets"][BLENDSHAPE_NAMES.index("jawOpen")]["POSITION"])
    assert 0.1 < np.ptp(vertices[:, 1]) < 0.25 and 0.1 < vertices[:, 2].max() < 0.2
    chin = 152  # MediaPipe's landmark
    assert vertices[chin, 1] < vertices[1, 1] - 0.03  # below the tip of the nose
    assert jaw[chin, 1] < -0.005
    triangles = exported.glb_accessor(out, primitive["indices"]).reshape(-1, 3).astype(int)
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).mean() > 0.9
