"""What an import puts into the scene, what a second one replaces, and what it leaves to the artist."""

from __future__ import annotations

import json

import numpy as np
import pytest

from . import synthetic_workspace as synthetic


def test_every_frame_reads_back_as_it_was_tracked(kit, rig):
    for frame in range(12):
        said = kit.read(rig, frame + 1)
        np.testing.assert_allclose(said.head_to_camera, synthetic.pose(frame), atol=1e-5)
        np.testing.assert_allclose(said.blendshapes, synthetic.blendshapes(frame), atol=1e-6)


def test_the_face_has_52_named_shape_keys_that_deform_it(kit, rig):
    keys = rig.face.data.shape_keys.key_blocks
    assert [key.name for key in keys][1:] == list(kit.names)
    assert all(key.slider_min == 0.0 and key.slider_max == 1.5 for key in list(keys)[1:])
    outward = keys["jawOpen"].data[2 * kit.names.index("jawOpen")].co - keys[0].data[2 * kit.names.index("jawOpen")].co
    np.testing.assert_allclose(outward, [0, -0.01, 0], atol=1e-7)


def test_frame_range_rate_and_size_are_the_footage_s(kit, rig):
    scene = kit.scene
    assert (scene.frame_start, scene.frame_end) == (1, 12)
    assert scene.render.fps / scene.render.fps_base == pytest.approx(25.0)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (96, 96)
    assert scene.camera == rig.camera


def test_the_footage_stands_behind_the_camera(kit, rig):
    background = rig.camera.data.background_images[0]
    assert rig.camera.data.show_background_images
    assert background.image.source == "SEQUENCE"
    assert background.image.filepath.endswith("000000.jpg")
    user = background.image_user
    assert (user.frame_start, user.frame_duration, user.frame_offset) == (1, 12, -1)


def test_the_audio_lies_in_the_sequencer_and_is_corrected_for_its_delay(kit, rig):
    sound = kit.part("scene.audio_strip")
    if not sound.can_hold_audio():
        pytest.skip("this build of Blender has no sound")
    (strip,) = sound.strips_of(kit.scene.sequence_editor)
    assert strip.sound.filepath.endswith("audio.wav")
    assert strip.frame_start == pytest.approx(1 - 0.080 * 25)


def test_audio_whose_offset_varies_along_the_clip_is_the_corrected_one_in_its_place(kit, root):
    sound = kit.part("scene.audio_strip")
    if not sound.can_hold_audio():
        pytest.skip("this build of Blender has no sound")
    subject = json.loads((root / "subject.json").read_text())
    subject["audio_timeline"] = [
        {"start_s": 0.0, "offset_ms": 0.0, "drift_ms_per_s": 0.0},
        {"start_s": 0.2, "offset_ms": 160.0, "drift_ms_per_s": 0.0},
    ]
    (root / "subject.json").write_text(json.dumps(subject))
    (root / "audio_corrected.wav").write_bytes((root / "audio.wav").read_bytes())
    kit.import_tracking(root)
    (strip,) = sound.strips_of(kit.scene.sequence_editor)
    assert strip.sound.filepath.endswith("audio_corrected.wav")
    assert strip.frame_start == pytest.approx(1)


def test_audio_of_builds_without_audio_is_left_out(kit, root, monkeypatch):
    monkeypatch.setattr(kit.part("scene.audio_strip"), "can_hold_audio", lambda: False)
    kit.import_tracking(root)
    assert len(kit.part("scene.audio_strip").strips_of(kit.scene.sequence_editor)) == 0


def test_importing_twice_replaces_and_does_not_double(kit, root, rig):
    import bpy

    def counts():
        data = bpy.data
        return [len(items) for items in (data.objects, data.collections, data.actions, data.meshes, data.images)]

    before = counts()
    again = kit.import_tracking(root)
    assert counts() == before
    assert again.head == rig.head
    if kit.part("scene.audio_strip").can_hold_audio():
        assert len(kit.part("scene.audio_strip").strips_of(kit.scene.sequence_editor)) == 1
    assert len(again.camera.data.background_images) == 2


def test_the_clean_plate_is_a_background_that_waits_for_the_composite(kit):
    root = kit.workspace(source_size=(320, 180), crop=(100.0, 20.0, 144.0))
    rig = kit.import_tracking(root)
    footage, plate = rig.camera.data.background_images
    assert footage.show_background_image
    assert not plate.show_background_image
    assert plate.scale == pytest.approx(144 / 180)
    assert tuple(plate.offset) == pytest.approx(((172 - 160) / 320, (90 - 92) / 320))


def test_renamed_and_moved_objects_are_found(kit, root, rig):
    import bpy

    for item in (rig.camera, rig.head, rig.control, rig.face, rig.collection):
        item.name = "something else"
    shots = bpy.data.collections.new("shots")
    kit.scene.collection.children.unlink(rig.collection)
    shots.children.link(rig.collection)
    kit.scene.collection.children.link(shots)
    again = kit.import_tracking(root)
    assert again.head == rig.head
    assert again.head.name.startswith("something else")
    np.testing.assert_allclose(kit.read(again, 5).head_to_camera, synthetic.pose(4), atol=1e-5)


def test_two_subjects_live_in_one_scene(kit, root, rig):
    other = kit.import_tracking(kit.workspace("berta"))
    rigs = kit.part("scene.rig")
    assert len(rigs.rigs_of(kit.scene)) == 2
    assert rigs.find_rig(kit.scene).head == other.head, "the last one imported is rendered"
    assert rigs.find_rig(kit.scene, root).head == rig.head


def test_the_control_turns_the_head_about_its_neck_on_top_of_the_keyframes(kit, rig):
    tracked = kit.read(rig, 4)
    rig.control.rotation_euler = 0, 0, np.radians(5)
    turned = kit.read(rig, 4)
    np.testing.assert_allclose(turned.head_to_camera[:3, 3], tracked.head_to_camera[:3, 3], atol=1e-6)
    change = tracked.head_to_camera[:3, :3].T @ turned.head_to_camera[:3, :3]
    assert np.degrees(np.arccos((np.trace(change) - 1) / 2)) == pytest.approx(5.0, abs=1e-3)
    assert kit.read(rig, 9).head_to_camera[0, 0] != pytest.approx(synthetic.pose(8)[0, 0], abs=1e-3), "at every frame"


def test_the_head_s_own_empty_can_be_turned_by_delta_transforms(kit, rig):
    before = kit.read(rig, 4).head_to_camera
    rig.head.delta_rotation_euler = 0, 0, np.radians(5)
    assert not np.allclose(kit.read(rig, 4).head_to_camera, before, atol=1e-3)


def test_a_key_of_the_artist_s_adds_to_the_imported_curve_and_survives_new_speech(kit, root, rig):
    jaw, index = rig.face.data.shape_keys.key_blocks["jawOpen"], kit.names.index("jawOpen")
    kit.scene.frame_set(5)
    jaw.value += 0.25
    jaw.keyframe_insert("value", frame=5)
    assert kit.read(rig, 5).blendshapes[index] == pytest.approx(synthetic.blendshapes(4)[index] + 0.25, abs=1e-5)
    kit.import_speech(root)
    assert kit.read(rig, 5).blendshapes[index] == pytest.approx(synthetic.blendshapes(104)[index] + 0.25, abs=1e-5)
    kit.import_tracking(root)
    assert kit.read(rig, 5).blendshapes[index] == pytest.approx(synthetic.blendshapes(4)[index] + 0.25, abs=1e-5)


def test_the_artist_s_layer_survives_a_mesh_of_another_shape(kit, root, rig):
    jaw, index = rig.face.data.shape_keys.key_blocks["jawOpen"], kit.names.index("jawOpen")
    kit.scene.frame_set(5)
    jaw.value += 0.25
    jaw.keyframe_insert("value", frame=5)
    synthetic.write_face_mesh(root / "face_mesh.npz", kit.names, rings=15)
    again = kit.import_tracking(root)
    assert len(again.face.data.vertices) == 225
    assert kit.read(again, 5).blendshapes[index] == pytest.approx(synthetic.blendshapes(4)[index] + 0.25, abs=1e-5)


def test_new_speech_replaces_movement_audio_and_range(kit, root, rig):
    kit.import_speech(root)
    assert (kit.scene.frame_start, kit.scene.frame_end) == (1, 20)
    said = kit.read(rig, 18)
    np.testing.assert_allclose(said.blendshapes, synthetic.blendshapes(117), atol=1e-6)
    np.testing.assert_allclose(said.head_to_camera, synthetic.pose(synthetic.there_and_back(17, 12)), atol=1e-5)
    if kit.part("scene.audio_strip").can_hold_audio():
        (strip,) = kit.part("scene.audio_strip").strips_of(kit.scene.sequence_editor)
        assert strip.sound.filepath.endswith("speech.wav")
        assert strip.frame_start == 1


def test_footage_shorter_than_the_audio_runs_there_and_back_behind_the_camera(kit, root, rig):
    import bpy

    def shown() -> list[int]:
        files = []
        for frame in range(1, kit.scene.frame_end + 1):
            kit.scene.frame_set(frame)
            user = rig.camera.data.evaluated_get(bpy.context.evaluated_depsgraph_get()).background_images[0].image_user
            files.append(min(frame, user.frame_duration) + user.frame_offset)
        return files

    kit.import_speech(root)
    assert shown() == [synthetic.there_and_back(frame, 12) for frame in range(20)]
    kit.import_tracking(root)
    assert shown() == list(range(12))


def test_the_artist_s_lens_animation_survives_an_import(kit, root, rig):
    rig.camera.data.lens = 70
    rig.camera.data.keyframe_insert("lens", frame=1)
    kit.import_speech(root)
    kit.import_tracking(root)
    kit.scene.frame_set(3)
    assert rig.camera.data.lens == pytest.approx(70)


def test_values_beyond_the_sliders_are_kept(kit, root):
    data = dict(np.load(root / "tracking.npz"))
    data["blendshapes"] = data["blendshapes"] * 2.4 - 0.3
    np.savez(root / "tracking.npz", **data)
    rig = kit.import_tracking(root)
    np.testing.assert_allclose(kit.read(rig, 7).blendshapes, synthetic.blendshapes(6) * 2.4 - 0.3, atol=1e-5)


def test_a_frame_without_a_pose_lies_between_its_neighbours(kit, root):
    data = dict(np.load(root / "tracking.npz"))
    data["head_to_camera"][5] = np.nan
    np.savez(root / "tracking.npz", **data)
    rig = kit.import_tracking(root)
    middle = (synthetic.pose(4)[:3, 3] + synthetic.pose(6)[:3, 3]) / 2
    np.testing.assert_allclose(kit.read(rig, 6).head_to_camera[:3, 3], middle, atol=1e-5)


def test_constraints_and_drivers_count(kit, rig):
    import bpy

    target = bpy.data.objects.new("target", None)
    kit.scene.collection.objects.link(target)
    target.location = 0.2, 1.0, 1.6
    copy = rig.control.constraints.new("COPY_LOCATION")
    copy.target = target
    driver = rig.face.data.shape_keys.key_blocks["tongueOut"].driver_add("value").driver
    driver.expression = "0.75"
    said = kit.read(rig, 3)
    np.testing.assert_allclose(said.head_to_camera[:3, 3], [0.2, 0.0, 1.0], atol=1e-5)
    assert said.blendshapes[kit.names.index("tongueOut")] == pytest.approx(0.75)


def test_a_hidden_face_still_speaks(kit, rig):
    rig.face.hide_set(True)
    kit.scene.frame_set(1)
    np.testing.assert_allclose(kit.read(rig, 8).blendshapes, synthetic.blendshapes(7), atol=1e-6)


def test_a_head_out_of_the_graph_is_named_in_the_message(kit, rig):
    import bpy

    bpy.context.view_layer.layer_collection.children[rig.collection.name].exclude = True
    with pytest.raises(kit.part("scene.errors").SceneError, match=r"“anna head control” is disabled.*Outliner"):
        kit.read(rig, 3)


def test_the_output_says_that_it_is_synthetic(kit, rig):
    scene = kit.scene
    scene.render.stamp_note_text = "take 7"
    kit.part("scene.marking").mark_synthetic(scene, "anna")
    kit.part("scene.marking").mark_synthetic(scene, "anna")
    assert scene.render.use_stamp_note
    assert scene.render.stamp_note_text == "take 7 Synthetic likeness of anna made with SyncTalk for Blender"
    assert not scene.render.use_stamp


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "subject.json").unlink(), "is not a workspace"),
        (lambda root: (root / "subject.json").write_text("{"), "cannot be read"),
        (lambda root: (root / "tracking.npz").unlink(), "tracking.npz is missing"),
        (lambda root: (root / "tracking.npz").write_bytes(b"PK nonsense"), "tracking.npz is damaged"),
        (lambda root: (root / "face_mesh.npz").write_bytes(b""), "face_mesh.npz is damaged"),
        (lambda root: spoil_json(root, format=9), "made by a newer SyncTalk"),
        (lambda root: spoil_json(root, crop=None), "not processed yet"),
    ],
)
def test_a_spoilt_workspace_is_reported_in_a_sentence(kit, root, spoil, words):
    spoil(root)
    with pytest.raises(kit.part("scene.errors").SyncTalkError, match=words) as caught:
        kit.import_tracking(root)
    assert str(caught.value).endswith(".")


def spoil_json(root, **changes) -> None:
    path = root / "subject.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_lens_and_poses_are_of_the_newest_track_after_every_import(kit, root, rig):
    """Training refines both in its checkpoint; the file of the tracker stays as it is."""
    refined = np.stack([synthetic.pose(frame) for frame in range(12)])
    refined[:, 2, 3] *= 1.1
    synthetic.write_checkpoint(root, refined, 1.1 * 192.0)
    importer = kit.part("scene.importer")
    for again in (lambda: kit.import_tracking(root), lambda: kit.import_speech(root)):
        again()
        found, workspace, animation = kit.part("work.composite").subject_in(kit.scene)
        assert animation.camera.focal_px == pytest.approx(1.1 * 192.0)
        importer.import_animation(kit.scene, found, workspace, animation)
        assert found.camera.data.lens / 36.0 * 96 == pytest.approx(1.1 * 192.0, rel=1e-5)
        np.testing.assert_allclose(kit.read(found, 4).head_to_camera, refined[3], atol=1e-5)
