"""What artists do to a head and its strips: deleted, renamed, duplicated, muted, moved, driven, linked; and a new import after it."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from . import synthetic_workspace as synthetic


def jaw(kit) -> int:
    return kit.names.index("jawOpen")


def delete(*items) -> None:
    """As X in the viewport does: the objects go, their data lies about."""
    for item in items:
        bpy.data.objects.remove(item)


def edit(kit, rig) -> None:
    """An artist's edits on every part: a turn, a key of expression, a background image, a place of the camera."""
    rig.control.rotation_euler = 0, 0, np.radians(5)
    rig.control.keyframe_insert("rotation_euler", frame=1)
    kit.scene.frame_set(5)
    block = rig.face.data.shape_keys.key_blocks["jawOpen"]
    block.value += 0.25
    block.keyframe_insert("value", frame=5)
    rig.camera.data.background_images.new().alpha = 0.125


# -- parts that are deleted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["camera", "head", "control", "face", "points"])
def test_a_deleted_part_is_made_again_in_the_same_rig(kit, root, rig, part):
    edit(kit, rig)
    others = {role: getattr(rig, role).name for role in ("camera", "head", "control", "face", "points") if role != part}
    delete(getattr(rig, part))
    again = kit.import_tracking(root)
    assert len(kit.part("scene.rig").rigs_of(kit.scene)) == 1
    assert {role: getattr(again, role).name for role in others} == others
    assert (again.control.parent, again.face.parent, again.points.parent) == (again.head, again.control, again.control)
    assert kit.scene.camera == again.camera
    said = kit.read(again, 5)
    assert said.blendshapes[jaw(kit)] == pytest.approx(synthetic.blendshapes(4)[jaw(kit)] + 0.25, abs=1e-5)
    turned = synthetic.pose(4)[:3, :3].T @ said.head_to_camera[:3, :3]
    degrees = np.degrees(np.arccos((np.trace(turned) - 1) / 2))
    assert degrees == pytest.approx(0.0 if part == "control" else 5.0, abs=2e-2)
    assert [image.alpha for image in again.camera.data.background_images].count(0.125) == 1


def test_missing_parts_are_reported_and_those_restored_too(kit, root, rig, monkeypatch):
    monkeypatch.setattr(kit.part("facts"), "backend_state", lambda: "ready")
    kit.scene.synctalk.workspace = str(root)
    before = kit.part("scene.scene_setup").settings(kit.scene)
    delete(rig.face, rig.control)
    facts = kit.part("facts").facts
    assert facts(kit.scene).head_problem.startswith(
        "“SyncTalk anna” has lost its control and face: press Send to Scene"
    )
    with pytest.raises(kit.part("scene.errors").SceneError, match="has lost its control and face"):
        kit.part("scene.rig").require_rig(kit.scene)
    assert bpy.ops.synctalk.import_tracking("INVOKE_DEFAULT") == {"FINISHED"}, "there is nothing to ask"
    (note,) = kit.part("jobs").runtime.notes.values()
    assert "Restored: “anna head control”, “anna face”." in note
    assert not facts(kit.scene).head_problem
    assert kit.part("scene.scene_setup").settings(kit.scene) == before
    kit.part("jobs").forget_messages()


def test_a_collection_that_was_taken_away_comes_back_around_its_objects(kit, root, rig):
    edit(kit, rig)
    for item in list(rig.collection.objects):
        kit.scene.collection.objects.link(item)
    bpy.data.collections.remove(rig.collection)
    again = kit.import_tracking(root)
    assert again.control == rig.control
    assert len([item for item in kit.scene.objects if item.get("synctalk_role")]) == 5
    assert kit.read(again, 5).blendshapes[jaw(kit)] == pytest.approx(
        synthetic.blendshapes(4)[jaw(kit)] + 0.25, abs=1e-5
    )


def test_an_object_in_another_collection_is_still_of_the_rig(kit, root, rig):
    rig.collection.objects.unlink(rig.camera)
    kit.scene.collection.objects.link(rig.camera)
    assert kit.part("scene.rig").find_rig(kit.scene).camera == rig.camera
    assert kit.import_tracking(root).camera == rig.camera


def test_a_duplicated_control_does_not_take_the_original_s_place(kit, root, rig):
    copy = rig.control.copy()
    rig.collection.objects.link(copy)
    assert kit.part("scene.rig").find_rig(kit.scene).control == rig.control


# -- shapes -------------------------------------------------------------------------------------------------------------


def test_a_renamed_shape_key_still_speaks(kit, root, rig):
    rig.face.data.shape_keys.key_blocks["jawOpen"].name = 'Jaw "open"'
    assert kit.read(rig, 5).blendshapes[jaw(kit)] == pytest.approx(synthetic.blendshapes(4)[jaw(kit)], abs=1e-6)
    kit.import_speech(root)
    assert kit.read(rig, 5).blendshapes[jaw(kit)] == pytest.approx(synthetic.blendshapes(104)[jaw(kit)], abs=1e-6)
    kit.import_tracking(root)
    assert kit.read(rig, 5).blendshapes[jaw(kit)] == pytest.approx(synthetic.blendshapes(4)[jaw(kit)], abs=1e-6)
    assert len(rig.face.data.shape_keys.key_blocks) == 53


def test_a_deleted_shape_key_is_named_and_made_again(kit, root, rig):
    facts = kit.part("facts")
    assert not facts.head_problem(kit.scene, rig)
    rig.face.shape_key_remove(rig.face.data.shape_keys.key_blocks["jawOpen"])
    assert "“anna face” lacks the shape key jawOpen" in facts.head_problem(kit.scene, rig)
    animation = root / "renders" / "speech" / "animation.npz"
    assert "lacks the shape key jawOpen" in kit.part("work.speak").import_animation(kit.scene, animation)
    assert kit.read(rig, 5).blendshapes[jaw(kit)] == 0.0
    other = jaw(kit) + 1
    assert kit.read(rig, 5).blendshapes[other] == pytest.approx(synthetic.blendshapes(104)[other], abs=1e-6)
    kit.import_tracking(root)
    assert not facts.head_problem(kit.scene, rig)
    assert kit.read(rig, 5).blendshapes[jaw(kit)] == pytest.approx(synthetic.blendshapes(4)[jaw(kit)], abs=1e-6)


def speech_strip(rig):
    """The NLA strip with the imported expression."""
    tracks = rig.face.data.shape_keys.animation_data.nla_tracks
    return next(
        (track, strip)
        for track in tracks
        for strip in track.strips
        if strip.action.get("synctalk_role") == "expression"
    )


def test_a_muted_or_faded_speech_strip_leaves_a_face_at_rest(kit, rig):
    track, strip = speech_strip(rig)
    strip.blend_in = 8.0
    np.testing.assert_allclose(kit.read(rig, 5).blendshapes, synthetic.blendshapes(4) / 2, atol=1e-5)
    strip.blend_in, strip.mute = 0.0, True
    np.testing.assert_allclose(kit.read(rig, 5).blendshapes, 0.0, atol=1e-6)
    strip.mute, track.mute = False, True
    np.testing.assert_allclose(kit.read(rig, 5).blendshapes, 0.0, atol=1e-6)


def test_a_head_of_an_earlier_version_gets_its_rest_below_the_speech(kit, root, rig):
    """There it had one track alone, with what the artist has set on its strip."""
    keys = rig.face.data.shape_keys
    tracks = keys.animation_data.nla_tracks
    tracks.remove(tracks[0])
    track, strip = speech_strip(rig)
    strip.use_animated_influence = True
    strip.influence = 0.5
    strip.keyframe_insert("influence", frame=1)
    own = tracks.new()
    own.name = "the artist's own"
    kit.import_speech(root)
    roles = [track.strips[0].action["synctalk_role"] if track.strips else track.name for track in tracks]
    assert roles == ["rest", "expression", "the artist's own"]
    np.testing.assert_allclose(kit.read(rig, 5).blendshapes, synthetic.blendshapes(104) / 2, atol=1e-5)


def test_an_offset_adds_to_the_speech_and_can_be_driven(kit, root, rig):
    rig.control["jawOpen"] = 0.25
    driver = rig.control.driver_add('["tongueOut"]').driver
    driver.expression = "frame * 0.01"
    index = kit.names.index("tongueOut")
    said = kit.read(rig, 5).blendshapes
    assert said[jaw(kit)] == pytest.approx(synthetic.blendshapes(4)[jaw(kit)] + 0.25, abs=1e-5)
    assert said[index] == pytest.approx(synthetic.blendshapes(4)[index] + 0.05, abs=1e-5)
    kit.import_speech(root)
    assert kit.read(rig, 5).blendshapes[index] == pytest.approx(synthetic.blendshapes(104)[index] + 0.05, abs=1e-5)
    rig.control.keyframe_insert('["jawOpen"]', frame=5)
    kit.import_tracking(root)
    assert rig.control["jawOpen"] == 0.25


# -- strips -------------------------------------------------------------------------------------------------------------


def test_a_strip_keeps_the_place_the_artist_has_moved_it_to(kit, root, rig):
    _, strip = speech_strip(rig)
    strip.frame_end, strip.frame_start = strip.frame_end + 30, strip.frame_start + 30
    for importing in (kit.import_speech, kit.import_tracking, kit.import_speech):
        importing(root)
        _, strip = speech_strip(rig)
        assert strip.frame_start == 31
    assert strip.frame_end == 50, "as long as the new speech"
    np.testing.assert_allclose(kit.read(rig, 31).blendshapes, synthetic.blendshapes(100), atol=1e-5)
    assert kit.scene.frame_end == 50
    if kit.has_sound:
        assert kit.strips()[0].frame_start == 31, "sound that was left where it was goes along"


def test_audio_and_mouth_that_were_moved_together_stay_together(kit, root, rig):
    if not kit.has_sound:
        pytest.skip("this build of Blender has no sound")
    kit.import_speech(root)
    _, strip = speech_strip(rig)
    strip.frame_end, strip.frame_start = strip.frame_end + 30, strip.frame_start + 30
    kit.strips()[0].frame_start += 30
    for _ in range(2):
        kit.import_speech(root)
        assert (speech_strip(rig)[1].frame_start, kit.strips()[0].frame_start) == (31, 31)


def test_a_nudge_of_the_audio_is_kept_and_so_are_level_and_fades(kit, root, rig):
    if not kit.has_sound:
        pytest.skip("this build of Blender has no sound")
    kit.import_speech(root)
    (strip,) = kit.strips()
    strip.frame_start -= 2
    strip["level"] = 0.25
    strip.keyframe_insert('["level"]', frame=3)
    strip.channel = 4
    synthetic.write_tone(root / "renders" / "speech" / "speech.wav", 2.0)
    for _ in range(2):
        kit.import_speech(root)
        (strip,) = kit.strips()
        assert (strip.frame_start, strip.channel, strip["level"]) == (-1, 4, 0.25)
    assert strip.frame_final_duration == 50, "two seconds"
    assert kit.scene.animation_data.action is not None
    assert len(kit.scene.animation_data.drivers) == 1
    assert len(bpy.data.sounds) == 1


def test_renamed_duplicated_or_in_a_copied_scene_there_is_one_strip(kit, root, rig):
    if not kit.has_sound:
        pytest.skip("this build of Blender has no sound")
    rig.collection.name = "shot 12 talent"
    kit.import_speech(root)
    assert [strip.sound.name for strip in kit.strips()] == ["anna speech"]
    scene = kit.scene.copy()
    strips = kit.part("scene.audio_strip").strips_of(scene.sequence_editor)
    workspace = kit.opened(root)
    found = kit.part("scene.rig").find_rig(scene)
    kit.part("scene.importer").import_animation(scene, found, workspace, workspace.footage_animation())
    assert [strip.sound.name for strip in strips] == ["anna audio"]


def test_a_strip_of_an_earlier_version_is_taken_over(kit, root, rig):
    if not kit.has_sound:
        pytest.skip("this build of Blender has no sound")
    (strip,) = kit.strips()
    strip["synctalk_role"] = "sound of SyncTalk anna"
    del strip["synctalk_subject"], strip["synctalk_laid"]
    kit.import_speech(root)
    assert len(kit.strips()) == 1


# -- several heads, linked heads ----------------------------------------------------------------------------------------


def test_the_head_that_renders_is_chosen_and_said(kit, root, rig, monkeypatch):
    monkeypatch.setattr(kit.part("facts"), "backend_state", lambda: "ready")
    rigs, settings = kit.part("scene.rig"), kit.scene.synctalk
    settings.workspace = str(kit.workspace("berta"))
    bpy.ops.synctalk.import_tracking()
    (note,) = kit.part("jobs").runtime.notes.values()
    assert "“berta” is rendered now instead of “anna”." in note
    berta = rigs.find_rig(kit.scene)
    assert (berta.name, kit.scene.camera) == ("berta", berta.camera)
    assert settings.active_head == "SyncTalk berta"
    settings.active_head = "SyncTalk anna"
    assert rigs.find_rig(kit.scene).head == rig.head
    assert (kit.scene.camera, settings.workspace) == (rig.camera, str(root))
    settings.workspace = str(berta.workspace)
    assert (settings.active_head, kit.scene.camera) == ("SyncTalk berta", berta.camera)
    kit.part("jobs").forget_messages()


def test_speech_goes_to_the_head_of_the_workspace_and_not_to_the_one_that_renders(kit, root, rig):
    berta = kit.import_tracking(kit.workspace("berta"))
    kit.part("work.speak").import_animation(kit.scene, root / "renders" / "speech" / "animation.npz", workspace=root)
    np.testing.assert_allclose(kit.read(rig, 5).blendshapes, synthetic.blendshapes(104), atol=1e-6)
    np.testing.assert_allclose(kit.read(berta, 5).blendshapes, synthetic.blendshapes(4), atol=1e-6)


@pytest.mark.parametrize("override", [False, True])
def test_an_import_into_a_linked_head_is_refused_in_a_sentence(kit, root, rig, tmp_path, override):
    library = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(library), check_existing=False)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(library), link=True) as (source, target):
        target.collections = [name for name in source.collections if name == "SyncTalk anna"]
    (linked,) = target.collections
    kit.scene.collection.children.link(linked)
    if override:
        linked.override_hierarchy_create(kit.scene, bpy.context.view_layer)
    found = kit.part("scene.rig").find_rig(kit.scene)
    assert found.workspace == root
    error = kit.part("scene.errors").SceneError
    with pytest.raises(error, match=r"linked from library.blend.*Make Local"):
        kit.import_tracking(root)
    with pytest.raises(error, match=r"linked from library.blend.*Make Local"):
        kit.import_speech(root)
