"""A take out of the workspace: what OpenUSD and pygltflib read of it is what moves the head here, and is seen where it is here."""

from __future__ import annotations

import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.commands import export
from backend.delivery.export.gltf import write_glb
from backend.delivery.export.splats import Splats, upright_face
from backend.delivery.export.take import Take
from backend.delivery.export.usd import write_usd
from backend.errors import AudioError, ConsentError, UsageError
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES, SYNTHETIC_MARK
from backend.workspace.animation import Animation
from backend.workspace.audio_cut import cut_audio
from backend.workspace.camera import Camera
from backend.workspace.camera_path import CameraPath
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop, Subject
from tests.backend.delivery import exported, read_back
from tests.backend.made_up_gaussians import made_up_gaussians

FRAMES, RATE = 9, Fraction(30000, 1001)
FORMATS = {"glb": ".glb", "usd": ".usda"}
SOURCE = Camera(640, 361, 900.0, (300.0, 190.0))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A clip of odd height that the working frame is a part of, at half its size."""
    subject = Subject(
        name="Anna", consent={"given": True, "by": "a test"}, source_size=(640, 361), size=128, frames=20, rate=RATE,
        crop=Crop(100.0, 40.0, 256.0),
    )  # fmt: skip
    made = Workspace(tmp_path / "anna", subject)
    made.root.mkdir()
    made.save()
    exported.made_up_face().write(made.face_mesh_path)
    return made


@pytest.fixture
def animation(workspace: Workspace) -> Animation:
    """Weights from 0 to more than 1, a head that turns and moves, audio that runs 40 ms late."""
    times = np.arange(FRAMES)[:, None]
    weights = (0.6 + 0.6 * np.sin(0.7 * times + np.arange(52))).astype(np.float32)
    weights[:, BLENDSHAPE_NAMES.index("tongueOut")] = 0
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    angles = np.hstack([20 * np.sin(times), 30 * np.cos(0.5 * times), 5 * times])
    poses[:, :3, :3] = Rotation.from_euler("XYZ", angles, degrees=True).as_matrix()
    poses[:, :3, 3] = np.hstack([0.01 * times, 0.02 + 0 * times, 1 + 0.02 * times])
    audio = workspace.root / "speech.wav"
    write_ramp(audio)
    made = Animation(
        weights, poses, SOURCE.to_working(workspace.subject), np.arange(FRAMES), RATE, audio, audio_offset_ms=40.0
    )
    made.write(workspace.root / "animation.npz")
    return made


def write_ramp(path: Path, rate: int = 16000, seconds: float = 2.0) -> None:
    """Each sample is its own number."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.arange(round(rate * seconds)) + 1).astype("<i2").tobytes())


def samples_of(path: Path) -> np.ndarray:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def run(workspace: Workspace, kind: str, **options) -> export.Result:
    given = {"animation": workspace.root / "animation.npz", "part": "face"} | options
    return export.run(export.Options(workspace=workspace.root, format=kind, **given), Reporter())


@pytest.mark.parametrize("kind", FORMATS)
def test_another_program_reads_the_weights_times_and_poses(workspace, animation, kind):
    result = run(workspace, kind)
    assert result.out == workspace.root / "exports" / f"take{FORMATS[kind]}" and result.frames == FRAMES
    found = read_back.read(result.out)
    assert found.names == list(BLENDSHAPE_NAMES)
    np.testing.assert_allclose(found.times_s, np.arange(FRAMES) * 1001 / 30000, atol=1e-7)
    np.testing.assert_allclose(found.weights, animation.blendshapes, atol=1e-6)
    assert found.weights.max() > 1.1
    assert (found.note, found.rate) == (SYNTHETIC_MARK, "30000/1001")
    face, upright = exported.made_up_face(), np.diag([1.0, -1.0, -1.0])
    for frame in range(FRAMES):
        pose = animation.head_to_camera[frame]
        seen = face.deformed(animation.blendshapes[frame]) @ pose[:3, :3].T + pose[:3, 3]
        world = seen @ upright + [0, 1.6, 0]  # the camera stands at eye height, level, and looks along -z
        np.testing.assert_allclose(found.face(frame), world, atol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_camera_of_another_program_sees_the_head_where_this_one_does(workspace, animation, kind):
    """In the image of Blender's scene, without the odd last row; glTF has no principal point and so a larger image."""
    found = read_back.read(run(workspace, kind).out)
    for frame in range(FRAMES):
        points = exported.made_up_face().deformed(animation.blendshapes[frame])
        expected, _ = SOURCE.project(animation.head_to_camera[frame], points)
        np.testing.assert_allclose(found.pixels(frame, (640, 360)), expected, atol=0.01)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_camera_that_moves_in_the_clip_moves_in_the_file(workspace, animation, kind):
    lens = np.array([[900 / 256, 0, (300 - 100) / 256], [0, 900 / 256, (190 - 40) / 256], [0, 0, 1]])
    turns = Rotation.from_euler("YX", [[0.4 * k, 0.2 * k] for k in range(20)], degrees=True).as_matrix()
    path = CameraPath(lens @ turns @ np.linalg.inv(lens), np.full(20, 0.1), np.zeros(2), 128.0)
    path.write(workspace.camera_path_file)
    found = read_back.read(run(workspace, kind).out)
    turned = np.diag([1, -1, -1]) @ turns[:FRAMES] @ np.diag([1, -1, -1])
    np.testing.assert_allclose(found.cameras[:, :3, :3], turned, atol=1e-4)
    np.testing.assert_allclose(found.cameras[:, :3, 3], np.tile([0, 1.6, 0], (FRAMES, 1)), atol=1e-6)
    expected, _ = SOURCE.project(
        animation.head_to_camera[6], exported.made_up_face().deformed(animation.blendshapes[6])
    )
    np.testing.assert_allclose(found.pixels(6, (640, 360)), expected, atol=0.01)


@pytest.mark.parametrize("kind", FORMATS)
def test_chosen_frames_begin_at_time_0_with_their_audio(workspace, animation, kind, tmp_path):
    result = run(workspace, kind, frames=(3, 6), out=tmp_path / f"part{FORMATS[kind]}")
    found = read_back.read(result.out)
    assert (result.frames, found.times_s[0]) == (4, 0.0)
    np.testing.assert_allclose(found.weights, animation.blendshapes[3:7], atol=1e-6)
    assert result.audio == tmp_path / "part.wav"
    first = round((3 / float(RATE) + 0.04) * 16000)
    assert samples_of(result.audio).tolist() == list(range(first + 1, first + 1 + round(4 / float(RATE) * 16000)))


@pytest.mark.parametrize("frames", [(3, 9), (5, 4), (-1, 2)])
def test_frames_that_are_not_there_are_one_sentence(workspace, animation, frames):
    with pytest.raises(UsageError, match="frames 0 to 8"):
        run(workspace, "glb", frames=frames)
    assert not (workspace.root / "exports").exists()


def test_what_does_not_go_together_is_one_sentence(workspace, animation):
    with pytest.raises(UsageError, match="PLY has no motion"):
        run(workspace, "ply", part=None)
    with pytest.raises(UsageError, match="give --animation"):
        run(workspace, "glb", animation=None, frames=(0, 1))


def test_a_take_needs_consent_too(workspace, animation):
    workspace.subject.consent = {}
    workspace.save()
    with pytest.raises(ConsentError, match="consent is not recorded"):
        run(workspace, "usd")


def test_audio_is_cut_sample_for_sample_with_silence_where_it_has_none(tmp_path):
    source, out = tmp_path / "ramp.wav", tmp_path / "cut.wav"
    write_ramp(source, seconds=1.0)
    cut_audio(source, out, -0.25, 1.5)
    expected = np.concatenate([np.zeros(4000), np.arange(16000) + 1, np.zeros(4000)]).astype(np.int16)
    assert samples_of(out).tolist() == expected.tolist()
    (tmp_path / "none.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match="cannot be cut"):
        cut_audio(tmp_path / "none.wav", out, 0.0, 1.0)
    assert len(samples_of(out)) == 24000


def test_openusd_evaluates_the_take_itself_and_finds_it_within_its_bounds(workspace, animation):
    """UsdSkel deforms the mesh at each time; bounds, which nothing computes for such a rig, hold it."""
    from pxr import Usd, UsdGeom, UsdSkel

    path = run(workspace, "usd").out
    found, stage = read_back.read(path), Usd.Stage.Open(str(path))
    assert stage.GetFramesPerSecond() == stage.GetTimeCodesPerSecond() == 30000 / 1001
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, FRAMES - 1)
    root = stage.GetDefaultPrim()
    bounds = []
    for frame in range(FRAMES):
        cache = UsdGeom.BBoxCache(frame, [UsdGeom.Tokens.default_])
        box = cache.ComputeWorldBound(root).ComputeAlignedRange()
        bounds.append((np.array(box.GetMin()), np.array(box.GetMax())))
    rig = next(prim for prim in stage.Traverse() if prim.IsA(UsdSkel.Root))
    assert UsdSkel.BakeSkinning(UsdSkel.Root(rig))
    mesh = next(prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh))
    for frame in range(FRAMES):
        placed = np.array(UsdGeom.Xformable(mesh).ComputeLocalToWorldTransform(frame))
        points = np.array(UsdGeom.Mesh(mesh).GetPointsAttr().Get(frame)) @ placed[:3, :3] + placed[3, :3]
        np.testing.assert_allclose(points, found.face(frame), atol=1e-5)
        low, high = bounds[frame]
        assert (points >= low - 1e-5).all() and (points <= high + 1e-5).all()
        assert (high - low < 0.6).all()


@pytest.mark.parametrize("suffix", [".glb", ".usda"])
def test_gaussians_move_with_the_head(workspace, animation, suffix, tmp_path):
    splats, face = Splats.of(made_up_gaussians()).upright(), upright_face(exported.made_up_face())
    path, take = tmp_path / f"head{suffix}", Take.of(animation, workspace)
    (write_glb if suffix == ".glb" else write_usd)(path, "Anna", splats, face, take)
    found = read_back.read(path)
    np.testing.assert_allclose(found.heads, take.head_to_world, atol=1e-6)
    if suffix == ".glb":
        nodes = exported.glb_tree(path)["nodes"]
        head = next(node for node in nodes if node["name"] == "head")
        assert [nodes[child]["name"] for child in head["children"]] == ["gaussians", "face"]
    else:
        from pxr import Usd, UsdGeom

        stage = Usd.Stage.Open(str(path))
        gaussians = UsdGeom.Xformable(stage.GetPrimAtPath("/Anna/head/gaussians"))
        world = gaussians.ComputeLocalToWorldTransform(5)
        np.testing.assert_allclose(np.array(world).T, take.head_to_world[5], atol=1e-9)


def test_a_turn_is_written_on_the_short_way(workspace, animation, tmp_path):
    """Quaternions of one rotation come with two signs; between two of different sign a reader would turn all the way round."""
    poses = animation.head_to_camera.copy()
    angles = np.stack([np.zeros(FRAMES), np.linspace(150, 210, FRAMES), np.zeros(FRAMES)], 1)
    poses[:, :3, :3] = Rotation.from_euler("XYZ", angles, degrees=True).as_matrix()
    path, face = tmp_path / "turn.glb", upright_face(exported.made_up_face())
    write_glb(path, "Anna", None, face, Take.of(replace(animation, head_to_camera=poses), workspace))
    animated = exported.glb_tree(path)["animations"][0]
    (rotation,) = (channel for channel in animated["channels"] if channel["target"]["path"] == "rotation")
    turns = exported.glb_accessor(path, animated["samplers"][rotation["sampler"]]["output"])
    assert ((turns[1:] * turns[:-1]).sum(1) > 0.9).all()
