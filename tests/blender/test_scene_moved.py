"""A project that is moved, copied or renamed: paths in the .blend, and the head that is found again by its subject's id."""

from __future__ import annotations

import shutil

import bpy
import numpy as np
import pytest

from . import synthetic_workspace as synthetic


@pytest.fixture
def kit(kit):
    yield kit
    bpy.context.preferences.filepaths.use_relative_paths = True


@pytest.fixture
def project(kit, tmp_path):
    """A folder with a .blend that holds a head, and its workspace and sound beside it."""
    folder = tmp_path / "project"
    root = synthetic.make_workspace(folder / "work" / "anna.synctalk", kit.names, subject_id="0123")
    synthetic.write_tone(folder / "line.wav", 0.2)
    settings = kit.scene.synctalk
    settings.video, settings.workspace = str(folder / "anna.mp4"), str(root)
    settings.speech = str(folder / "line.wav")
    kit.import_tracking(root)
    return folder


def save(path, **options) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path), check_existing=False, **options)


def moved(project):
    """The project in another folder, its .blend opened there."""
    to = project.with_name("elsewhere") / "deeper"
    to.parent.mkdir()
    shutil.move(project, to)
    bpy.ops.wm.open_mainfile(filepath=str(to / "shot.blend"))
    return to


def test_paths_are_kept_relative_to_the_saved_file(kit, project):
    save(project / "shot.blend")
    settings, rig = kit.scene.synctalk, kit.part("scene.rig").find_rig(kit.scene)
    assert settings.video == "//anna.mp4"
    assert settings.workspace == "//work/anna.synctalk"
    assert settings.speech == "//line.wav"
    assert rig.collection["synctalk_workspace"] == "//work/anna.synctalk"
    assert {image.filepath[:7] for image in bpy.data.images if image.source == "SEQUENCE"} == {"//work/"}


def test_without_the_preference_paths_stay_as_they_were_chosen(kit, project):
    bpy.context.preferences.filepaths.use_relative_paths = False
    save(project / "shot.blend")
    assert kit.scene.synctalk.workspace == str(project / "work" / "anna.synctalk")
    kit.scene.synctalk.speech = "//line.wav"
    (project / "shots").mkdir()
    save(project / "shots" / "shot.blend")
    assert kit.scene.synctalk.speech == "//../line.wav", "what the artist made relative stays so"
    assert kit.scene.synctalk.workspace == str(project / "work" / "anna.synctalk")


def test_a_file_saved_elsewhere_and_a_copy_of_it_know_the_way(kit, project):
    save(project / "shot.blend")
    (project / "shots").mkdir()
    save(project / "shots" / "copy.blend", copy=True)
    assert kit.scene.synctalk.workspace == "//work/anna.synctalk", "this file is still where it was"
    bpy.ops.wm.open_mainfile(filepath=str(project / "shots" / "copy.blend"))
    assert kit.scene.synctalk.workspace == "//../work/anna.synctalk"
    assert kit.part("scene.rig").find_rig(kit.scene).workspace == project / "work" / "anna.synctalk"
    save(project / "other.blend")
    assert kit.scene.synctalk.workspace == "//work/anna.synctalk"


def test_a_moved_project_keeps_the_head(kit, project, monkeypatch):
    client = kit.use_backend(monkeypatch)
    monkeypatch.setattr(kit.part("facts"), "backend_state", lambda: "ready")
    rig = kit.part("scene.rig").find_rig(kit.scene)
    rig.control.location.x = 0.25
    save(project / "shot.blend")
    to = moved(project)
    root = to / "work" / "anna.synctalk"
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "step_0000600.safetensors").touch()
    assert kit.part("facts").facts(kit.scene).has_head
    kit.scene.render.engine = "SYNCTALK"
    assert kit.part("engine").wanted_frame(bpy.context.evaluated_depsgraph_get()).workspace == str(root)
    assert bpy.ops.synctalk.speak() == {"FINISHED"}
    assert kit.part("scene.rig").find_rig(kit.scene).animation == root / "renders" / "speech" / "animation.npz"
    assert bpy.ops.synctalk.composite() == {"FINISHED"}
    assert kit.render(5)[..., 3].max() > 0
    assert bpy.ops.synctalk.import_tracking() == {"FINISHED"}
    rigs = kit.part("scene.rig").rigs_of(kit.scene)
    assert len(rigs) == 1
    assert rigs[0].control.location.x == 0.25
    assert rigs[0].workspace == root
    images = [image for image in bpy.data.images if image.source == "SEQUENCE"]
    assert sorted(image.name for image in images) == ["anna footage", "anna plate"]
    client.close_shared_backend()


@pytest.mark.parametrize("subject_id", ["0123", ""])
def test_a_workspace_moved_alone_is_known_again(kit, tmp_path, subject_id):
    """The settings name its new place; the scene's head, of the new and the old kind of workspace, is found by its id."""
    root = kit.workspace("anna.synctalk", subject_id=subject_id)
    rig = kit.import_tracking(root)
    other = tmp_path / "else" / "renamed"
    other.parent.mkdir()
    shutil.move(root, other)
    kit.scene.synctalk.workspace = str(other)
    assert kit.part("facts").facts(kit.scene).has_head
    assert kit.part("scene.rig").find_rig(kit.scene).workspace == other, "the engine renders from there at once"
    assert kit.import_tracking(other).head == rig.head
    assert len(kit.part("scene.rig").rigs_of(kit.scene)) == 1


def test_speech_of_a_workspace_moved_alone_goes_along(kit, tmp_path):
    root = kit.workspace("anna.synctalk", subject_id="0123")
    kit.import_tracking(root)
    kit.part("work.speak").import_animation(kit.scene, root / "renders" / "speech" / "animation.npz")
    other = shutil.move(root, tmp_path / "renamed")
    kit.scene.synctalk.workspace = str(other)
    assert kit.part("scene.rig").find_rig(kit.scene).animation == other / "renders" / "speech" / "animation.npz"
    _, _, animation = kit.part("work.composite").subject_in(kit.scene)
    assert animation.frames == 20


@pytest.mark.parametrize("how", ["append", "link", "override"])
def test_a_head_from_another_folder_s_file_finds_its_workspace(kit, project, tmp_path, how):
    """Its path is relative to the file that it comes from; and the file that it comes to has another subject there."""
    kit.part("work.speak").import_animation(kit.scene, project / "work/anna.synctalk/renders/speech/animation.npz")
    save(project / "shot.blend")
    to = tmp_path / "other"
    synthetic.make_workspace(to / "work" / "anna.synctalk", kit.names, subject_id="4567")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    save(to / "film.blend")
    with bpy.data.libraries.load(str(project / "shot.blend"), link=how != "append") as (source, target):
        target.collections = [name for name in source.collections if name == "SyncTalk anna"]
    (collection,) = target.collections
    if how == "override":
        collection = collection.override_hierarchy_create(kit.scene, bpy.context.view_layer)
    elif collection.name not in kit.scene.collection.children:
        kit.scene.collection.children.link(collection)
    root = project / "work" / "anna.synctalk"
    for _ in range(2):
        found = kit.part("scene.rig").find_rig(kit.scene)
        assert found.workspace == root
        assert found.animation == root / "renders" / "speech" / "animation.npz"
        save(to / "film.blend")
        bpy.ops.wm.open_mainfile(filepath=str(to / "film.blend"))


def test_a_head_of_an_earlier_version_is_found_in_a_moved_project(kit, tmp_path):
    root = kit.workspace("anna.synctalk")
    rig = kit.import_tracking(root)
    for item in (rig.collection, rig.camera, rig.head, rig.control, rig.face, rig.points):
        del item["synctalk_subject"]
    kit.scene["synctalk_active"] = str(root)
    (tmp_path / "else").mkdir()
    other = shutil.move(root, tmp_path / "else" / "anna.synctalk")
    assert kit.import_tracking(other).head == rig.head


def test_a_copy_of_a_workspace_is_a_subject_of_its_own(kit, tmp_path):
    root = kit.workspace("anna.synctalk", subject_id="0123")
    rig = kit.import_tracking(root)
    copy = shutil.copytree(root, tmp_path / "variant.synctalk")
    assert kit.import_tracking(copy).head != rig.head


def test_no_path_warns_that_it_is_relative(kit):
    if bpy.app.version < (4, 5, 0):
        pytest.skip("there is nothing to tell Blender before 4.5")
    properties = kit.scene.synctalk.bl_rna.properties
    for name in ("video", "workspace", "speech", "bake_folder"):
        setattr(kit.scene.synctalk, name, "//somewhere")
        assert properties[name].is_path_supports_blend_relative


def test_names_are_the_subject_s_own(kit):
    rig = kit.import_tracking(kit.workspace("anchor.synctalk", source_size=(320, 180), crop=(100.0, 20.0, 144.0)))
    other = kit.import_tracking(kit.workspace("berta.synctalk"))
    assert (rig.collection.name, rig.camera.name) == ("SyncTalk anchor", "anchor camera")
    names = sorted(image.name for image in bpy.data.images if image.source == "SEQUENCE")
    assert names == ["anchor footage", "anchor plate", "berta footage", "berta plate"]
    assert other.collection.name == "SyncTalk berta"
    if kit.has_sound:
        assert sorted(sound.name for sound in bpy.data.sounds) == ["anchor audio", "berta audio"]


def test_an_id_is_lasting_and_its_own(kit, tmp_path):
    protocol = __import__(f"{kit.package}.backend.workspace.subject", fromlist=["subject_id"])
    old = {"source_sha256": "ab", "name": "anna"}
    assert protocol.subject_id({"id": "0123"}) == "0123"
    assert protocol.subject_id(old) == protocol.subject_id(dict(old))
    assert protocol.subject_id(old) != protocol.subject_id(old | {"name": "berta"})
    assert np.unique([protocol.subject_id(old | {"source_sha256": text}) for text in ("a", "b", "c")]).size == 3
