"""The face with its motion leaves Blender: importers of Blender, pygltflib and OpenUSD read what the evaluated rig does."""

from __future__ import annotations

import re
import subprocess
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.backend.delivery.read_back import ReadTake

from . import synthetic_workspace as synthetic
from .test_scene_camera_motion import write_path

bpy = pytest.importorskip("bpy", reason="needs the Blender environment")

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST, LAST = 3, 14
FORMATS = (".glb", ".usda", ".fbx")
SIZE = 96


@pytest.fixture
def head(kit, root):
    """A head that speaks and that an artist has edited, in a scene at 29.97."""
    found = kit.import_tracking(root)
    kit.import_speech(root)
    kit.scene.render.fps, kit.scene.render.fps_base = 30, 1.001
    found.control.location = 0.01, 0.02, -0.01
    found.control.rotation_euler = 0.1, -0.2, 0.3
    found.control["jawOpen"] = 0.4
    return found


def export(kit, path: Path, **options) -> Path:
    return kit.part("api").export_face(path, frames=(FIRST, LAST), **options)


def truth(kit, found) -> dict[str, np.ndarray]:
    """Of each frame: weights, the face's vertices in Blender's world, and where the scene's camera sees them, pixels."""
    rig, coordinates, camera = (kit.part(f"scene.{name}") for name in ("rig", "coordinates", "camera"))
    face_mesh = kit.opened(rig.require_rig(kit.scene).workspace).face_mesh()
    pinhole = camera.camera_intrinsics(kit.scene, found.camera, SIZE, SIZE)
    weights, faces, pixels = [], [], []
    for frame in range(FIRST, LAST + 1):
        directions = kit.read(found, frame)
        points = face_mesh.deformed(directions.blendshapes)
        world = np.array(found.control.matrix_world)
        weights.append(directions.blendshapes)
        faces.append(coordinates.points_to_blender(points) @ world[:3, :3].T + world[:3, 3])
        pixels.append(pinhole.project(directions.head_to_camera, points)[0])
    return {"weights": np.array(weights), "face": np.array(faces), "pixels": np.array(pixels)}


def importers_of(suffix: str) -> list:
    """Blender's importers of a format; from 4.5 on it has a second one for FBX, which knows nothing of the first."""
    if suffix == ".glb":
        return [bpy.ops.import_scene.gltf]
    if suffix == ".usda":
        return [bpy.ops.wm.usd_import]
    found = [lambda filepath: bpy.ops.import_scene.fbx(filepath=filepath, anim_offset=0.0)]
    if bpy.app.version >= (4, 5, 0):
        found.append(lambda filepath: bpy.ops.wm.fbx_import(filepath=filepath, anim_offset=0.0))
    return found


def read_in_blender(kit, path: Path, importer) -> dict[str, np.ndarray]:
    """As `truth`, from the objects that a file becomes in an empty scene of 24 fps, at the keys of its weights."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert importer(filepath=str(path)) == {"FINISHED"}
    scene = bpy.context.scene
    objects = {item.type: item for item in bpy.data.objects}
    face, camera = objects["MESH"], objects["CAMERA"]
    keys = face.data.shape_keys
    for block in keys.key_blocks[1:]:  # importers leave them from 0 to 1, and Blender clamps to that
        block.slider_min, block.slider_max = -10.0, 10.0
    curves = kit.part("scene.keyframes").every_curve(keys.animation_data.action)
    frames = np.array([point.co[0] for point in curves[0].keyframe_points])
    crop = np.array(camera.get("crop_px", (0.0, 0.0, SIZE, SIZE)))
    scene.render.resolution_x, scene.render.resolution_y = camera.get("image_px", (SIZE, SIZE))
    weights, faces, pixels = [], [], []
    for frame in frames:
        scene.frame_set(int(frame // 1), subframe=float(frame % 1))
        depsgraph = bpy.context.evaluated_depsgraph_get()
        evaluated = face.evaluated_get(depsgraph)
        points = np.empty(3 * len(face.data.vertices), np.float32)
        evaluated.data.vertices.foreach_get("co", points)
        matrix = np.array(evaluated.matrix_world)
        faces.append(points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
        weights.append([block.value for block in keys.evaluated_get(depsgraph).key_blocks[1:]])
        pixels.append(seen_by(scene, camera.evaluated_get(depsgraph), faces[-1]) - crop[:2])
    assert (crop[2:] == SIZE).all()
    names = [block.name for block in keys.key_blocks[1:]]
    found = {"weights": weights, "face": faces, "pixels": pixels, "frames": frames, "names": names}
    return {name: np.array(value) for name, value in found.items()}


def seen_by(scene, camera, points: np.ndarray) -> np.ndarray:
    """Pixels, by Blender's own projection."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    shares = np.array([world_to_camera_view(scene, camera, Vector(point)) for point in points])
    return np.stack([shares[:, 0], 1 - shares[:, 1]], 1) * (scene.render.resolution_x, scene.render.resolution_y)


@pytest.mark.parametrize("suffix", FORMATS)
def test_blender_reads_back_what_the_rig_does(kit, head, tmp_path, suffix):
    expected, path = truth(kit, head), export(kit, tmp_path / f"anna{suffix}")
    assert expected["weights"].max() > 1.1
    for importer in importers_of(suffix):
        found = read_in_blender(kit, path, importer)
        assert found["names"].tolist() == list(kit.names)
        assert len(found["frames"]) == LAST - FIRST + 1 and found["frames"][0] == 0
        np.testing.assert_allclose(found["weights"], expected["weights"], atol=1e-6)
        np.testing.assert_allclose(found["face"], expected["face"], atol=2e-6)
        np.testing.assert_allclose(found["pixels"], expected["pixels"], atol=0.01)


def read_elsewhere(python: Path, folder: Path, *paths: Path) -> list[ReadTake]:
    """What pygltflib and OpenUSD read, in the backend's environment."""
    pairs = [(str(path), str(folder / f"read_{index}.npz")) for index, path in enumerate(paths)]
    command = [str(python), "-m", "tests.backend.delivery.read_back", *(text for pair in pairs for text in pair)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [ReadTake(**dict(np.load(out).items())) for _, out in pairs]


def test_other_programs_read_what_the_rig_does(kit, head, tmp_path, python):
    expected = truth(kit, head)
    paths = [export(kit, tmp_path / f"anna{suffix}") for suffix in (".glb", ".usda")]
    for found in read_elsewhere(python, tmp_path, *paths):
        assert found.names.tolist() == list(kit.names)
        assert (str(found.rate), str(found.note)) == ("30000/1001", "Synthetic likeness made with SyncTalk")
        np.testing.assert_allclose(found.times_s, np.arange(LAST - FIRST + 1) * 1001 / 30000, atol=1e-6)
        np.testing.assert_allclose(found.weights, expected["weights"], atol=1e-6)
        for frame in range(LAST - FIRST + 1):
            x, y, z = expected["face"][frame].T
            np.testing.assert_allclose(found.face(frame), np.stack([x, z, -y], 1), atol=2e-6)
            np.testing.assert_allclose(found.pixels(frame, (SIZE, SIZE)), expected["pixels"][frame], atol=0.01)


@pytest.mark.parametrize("moves", [False, True], ids=["still camera", "moving camera"])
def test_blender_and_the_command_line_write_the_same_take(kit, root, tmp_path, python, moves):
    if moves:
        write_path(root)
    kit.import_tracking(root)
    kit.import_speech(root)
    frames, paths = (2, 11), []
    for kind, suffix in (("glb", ".glb"), ("usd", ".usda")):
        paths += [tmp_path / f"blender{suffix}", tmp_path / f"backend{suffix}"]
        kit.part("api").export_face(paths[-2], frames=(frames[0] + 1, frames[1] + 1))
        command = [str(python), "-m", "backend", "export", str(root), "--format", kind, "--part", "face"]
        command += ["--animation", str(root / "renders" / "speech" / "animation.npz"), "--out", str(paths[-1])]
        command += ["--frames", *map(str, frames)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    first, *others = read_elsewhere(python, tmp_path, *paths)
    assert len(first.times_s) == 10 and (np.ptp(first.cameras, axis=0).max() > 0.01) == moves
    for other in others:
        assert other.names.tolist() == first.names.tolist()
        for name in ("times_s", "weights", "cameras"):
            np.testing.assert_allclose(getattr(other, name), getattr(first, name), atol=1e-4, err_msg=name)
        for frame in range(10):
            np.testing.assert_allclose(other.face(frame), first.face(frame), atol=1e-4)
            np.testing.assert_allclose(other.pixels(frame, (SIZE, SIZE)), first.pixels(frame, (SIZE, SIZE)), atol=0.05)
    audio = [read_wav(path.with_suffix(".wav")) for path in paths[:2]]  # one of them is signed
    np.testing.assert_array_equal(*audio)
    assert len(audio[0]) > 16000 * 0.39
    for path in paths[1::2]:
        found = read_in_blender(kit, path, *importers_of(path.suffix))
        np.testing.assert_allclose(found["weights"], first.weights, atol=1e-4)
        for frame in range(10):
            x, y, z = first.face(frame).T
            np.testing.assert_allclose(found["face"][frame], np.stack([x, -z, y], 1), atol=1e-4)
            np.testing.assert_allclose(found["pixels"][frame], first.pixels(frame, (SIZE, SIZE)), atol=0.05)


def test_audio_follows_a_strip_that_was_moved(kit, head, tmp_path):
    if not kit.has_sound:
        pytest.skip("this build of Blender has no audio")
    (strip,) = (item for item in kit.strips() if item.type == "SOUND")
    strip.frame_start += 5
    cut = export(kit, tmp_path / "anna.glb").with_suffix(".wav")
    begin = (FIRST - strip.frame_start) * 1001 / 30000
    assert begin < 0  # silence first
    samples, speech = (read_wav(path) for path in (cut, head.workspace / "renders" / "speech" / "speech.wav"))
    silent = round(-begin * 16000)
    assert not samples[:silent].any()
    assert samples[silent:].tolist() == speech[: len(samples) - silent].tolist()
    (tmp_path / "anna.wav").unlink()
    export(kit, tmp_path / "anna.glb", audio=False)
    assert not (tmp_path / "anna.wav").exists()


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as audio:
        return np.frombuffer(audio.readframes(audio.getnframes()), "<i2")


def all_names() -> list[str]:
    kinds = ("scenes", "objects", "meshes", "cameras", "actions", "shape_keys", "collections", "materials")
    return [f"{kind} {item.name}" for kind in kinds for item in getattr(bpy.data, kind)]


def views() -> list:
    """What the 3D Views on screen look at; there are windows in background mode too, which nobody sees."""
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    return [area.spaces.active.region_3d for area in areas if area.type == "VIEW_3D"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_exporting_changes_nothing_in_the_file(kit, head, tmp_path, suffix):
    """Also where an artist's own objects have the names that the file's get."""
    for name in ("head", "face", "camera", "anna"):
        item = bpy.data.objects.new(name, None)
        kit.scene.collection.objects.link(item)
    kit.scene.frame_set(7)
    for view in views():
        view.view_perspective = "CAMERA"
    shown = [window.scene.name for window in bpy.context.window_manager.windows]
    before = all_names(), kit.scene.frame_current, np.array(head.control.matrix_world)
    path = export(kit, tmp_path / f"anna{suffix}")
    np.testing.assert_array_equal(np.array(head.control.matrix_world), before[2])
    assert (all_names(), kit.scene.frame_current) == before[:2]
    assert [window.scene.name for window in bpy.context.window_manager.windows] == shown
    assert views() and all(view.view_perspective == "CAMERA" for view in views())
    content, names = path.read_bytes(), (b"head", b"face", b"camera", b"anna")
    assert all(name in content for name in names)
    assert not re.search(rb"(head|face|camera|anna)(.001| \(kept)", content)
    assert sorted(item.name for item in tmp_path.iterdir() if item.is_file()) == [path.name, "anna.wav"]


def test_what_an_export_has_made_goes_also_where_it_fails(kit, head):
    """The head is keyed when the shapes turn out to be 51."""
    stage, take = kit.part("interchange.stage"), kit.part("interchange.take")
    pinhole = kit.part("scene.camera").camera_intrinsics(kit.scene, head.camera, SIZE, SIZE)
    poses, before = np.repeat(np.eye(4)[None], 3, 0), all_names()
    poses[:, 0, 3] = range(3)
    moving = take.Take(np.zeros((3, 51)), poses, poses, pinhole, Fraction(25))
    face_mesh = kit.opened(head.workspace).face_mesh()
    with (
        pytest.raises(ValueError, match="shorter"),
        stage.staged("A", moving, face_mesh, pinhole=pinhole, with_root=True),
    ):
        pass
    assert all_names() == before


def test_a_scaled_head_keeps_its_scale(kit, head, tmp_path):
    head.control.scale = 1.5, 1.5, 1.5
    expected, path = truth(kit, head), export(kit, tmp_path / "anna.glb")
    found = read_in_blender(kit, path, *importers_of(".glb"))
    np.testing.assert_allclose(found["face"], expected["face"], atol=5e-6)
    np.testing.assert_allclose(found["pixels"], expected["pixels"], atol=0.01)


def test_what_cannot_be_exported_is_one_sentence(kit, head, tmp_path):
    api = kit.part("api")
    with pytest.raises(api.BackendError, match="must end in .glb, .usda, .fbx"):
        export(kit, tmp_path / "anna.obj")
    with pytest.raises(api.BackendError, match="comes before the first"):
        api.export_face(tmp_path / "anna.glb", frames=(5, 4))
    head.camera.data.lens = 40
    head.camera.data.keyframe_insert("lens", frame=3)
    head.camera.data.lens = 60
    head.camera.data.keyframe_insert("lens", frame=14)
    with pytest.raises(api.BackendError, match="The lens of “anna camera” changes at frame 4"):
        export(kit, tmp_path / "anna.glb")
    assert not list(tmp_path.glob("anna.*"))


def test_a_likeness_is_not_exported_without_consent(kit, head, root, tmp_path):
    subject = root / "subject.json"
    subject.write_text(subject.read_text(encoding="utf-8").replace('"given": true', '"given": false'), encoding="utf-8")
    with pytest.raises(kit.part("api").BackendError, match="consent is not recorded") as caught:
        export(kit, tmp_path / "anna.usda")
    assert caught.value.kind == "consent" and not list(tmp_path.glob("anna.*"))


def test_a_format_whose_add_on_is_off_is_one_sentence(kit, head, tmp_path):
    bpy.ops.preferences.addon_disable(module="io_scene_fbx")
    try:
        with pytest.raises(kit.part("api").BackendError, match="add-on “FBX format” is off"):
            export(kit, tmp_path / "anna.fbx")
    finally:
        bpy.ops.preferences.addon_enable(module="io_scene_fbx")
    assert not (tmp_path / "anna.fbx").exists()


def test_the_button_exports_the_scenes_frames(kit, head, root, tmp_path):
    kit.part("properties").settings_of(kit.scene).workspace = str(root)
    assert bpy.ops.synctalk.export.poll()
    assert bpy.ops.synctalk.export(filepath=str(tmp_path / "anna.usda")) == {"FINISHED"}
    text = (tmp_path / "anna.usda").read_text(encoding="utf-8")
    assert f"endTimeCode = {kit.scene.frame_end - kit.scene.frame_start}" in text and "startTimeCode = 0" in text
    menu = [function.__module__ for function in bpy.types.TOPBAR_MT_file_export._dyn_ui_initialize()]
    assert f"{kit.package}.panels.export" in menu


def test_frames_of_a_footage_without_speech_are_exported_too(kit, root, tmp_path):
    """And the audio that runs 80 ms late belongs to earlier frames."""
    kit.import_tracking(root)
    path = kit.part("api").export_face(tmp_path / "anna.glb", frames=(5, 8))
    found = read_in_blender(kit, path, *importers_of(".glb"))
    np.testing.assert_allclose(found["weights"][0], synthetic.blendshapes(4), atol=1e-5)
    start = round((4 / 25 + 0.08) * 16000)
    samples, audio = read_wav(tmp_path / "anna.wav"), read_wav(root / "audio.wav")
    assert samples.tolist() == audio[start : start + len(samples)].tolist() and len(samples) == 4 * 640
