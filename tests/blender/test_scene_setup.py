"""A head that comes into a shot: the scene is asked for, kept or set up, and told what was changed."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from . import synthetic_workspace as synthetic


@pytest.fixture
def kit(kit, monkeypatch):
    monkeypatch.setattr(kit.part("facts"), "backend_state", lambda: "ready")
    yield kit
    kit.part("jobs").forget_messages()


@pytest.fixture
def root(kit):
    made = kit.workspace(frames=50)
    kit.scene.synctalk.workspace = str(made)
    return made


@pytest.fixture
def shot(kit):
    """A scene as a shot has it: an object, a camera, a range, a rate."""
    scene = kit.scene
    lens = bpy.data.objects.new("shot camera", bpy.data.cameras.new("shot camera"))
    for item in (lens, bpy.data.objects.new("set", None)):
        scene.collection.objects.link(item)
    scene.camera = lens
    scene.render.fps, scene.render.fps_base = 24, 1.0
    scene.frame_start, scene.frame_end, scene.frame_current = 1001, 1200, 1050
    scene.view_settings.view_transform = "Filmic"
    return scene


def settings(kit) -> dict:
    return kit.part("scene.scene_setup").settings(kit.scene)


def test_a_shot_is_kept_as_it_is(kit, root, shot):
    before = settings(kit)
    assert bpy.ops.synctalk.import_tracking() == {"FINISHED"}
    assert settings(kit) == before
    assert kit.scene.frame_current == 1050
    rig = kit.part("scene.rig").find_rig(kit.scene)
    kit.scene.frame_set(1001 + 24)
    said = kit.part("scene.rig").read_rig(rig, bpy.context.evaluated_depsgraph_get())
    np.testing.assert_allclose(said.head_to_camera, synthetic.pose(25), atol=1e-4)
    if kit.has_sound:
        assert kit.strips()[0].frame_start == round(1001 - 0.08 * 24)
    kit.import_speech(root)
    assert settings(kit) == before, "new speech leaves it alone, too"


def test_a_shot_that_is_kept_is_reported_where_the_head_is(kit, root, shot):
    bpy.ops.synctalk.import_tracking()
    (note,) = kit.part("jobs").runtime.notes.values()
    assert "keeps its size (1920 × 1080), rate (24 fps) and range; the head begins at frame 1001." in note
    assert "The scene's camera is “shot camera”: “anna camera” is the one that matches the footage." in note
    assert kit.part("facts").facts(kit.scene).other_camera
    assert bpy.ops.synctalk.use_camera() == {"FINISHED"}
    assert kit.scene.camera.name == "anna camera"
    assert not kit.part("facts").facts(kit.scene).other_camera


def test_a_shot_that_is_set_up_is_reported_what_was_changed(kit, root, shot):
    assert bpy.ops.synctalk.import_tracking(scene_setup="SETUP", start_frame=1001) == {"FINISHED"}
    assert (kit.scene.frame_start, kit.scene.frame_end) == (1001, 1050)
    (note,) = kit.part("jobs").runtime.notes.values()
    for change in (
        "frame size 1920 × 1080 → 96 × 96",
        "frame rate 24 fps → 25 fps",
        "frame range 1001 to 1200 → 1001 to 1050",
        "view transform Filmic → Standard",
        "active camera “shot camera” → “anna camera”",
    ):
        assert change in note, note


def test_one_undo_takes_all_of_it_back(kit, root, shot):
    before = settings(kit)
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.synctalk.import_tracking(scene_setup="SETUP")
    bpy.ops.ed.undo_push(message="as the operator's own UNDO does in a window")
    assert settings(kit) != before
    assert kit.part("jobs").runtime.notes
    bpy.ops.ed.undo()
    assert settings(kit) == before
    assert not kit.part("jobs").runtime.notes, "what it said is no longer so"
    assert not kit.part("scene.rig").rigs_of(kit.scene)


def test_a_fresh_scene_is_set_up_without_a_question(kit, root):
    assert not kit.part("scene.scene_setup").content(kit.scene)
    assert bpy.ops.synctalk.import_tracking("INVOKE_DEFAULT") == {"FINISHED"}
    assert settings(kit)["frame rate"] == "25 fps"


def test_blender_s_own_startup_file_is_a_fresh_scene(kit):
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    content = kit.part("scene.scene_setup").content
    assert not content(bpy.context.scene)
    bpy.data.objects["Cube"].keyframe_insert("location", frame=1)
    assert content(bpy.context.scene) == ["1 object"]


def test_what_makes_a_scene_no_fresh_one_is_named(kit, root, shot):
    content = kit.part("scene.scene_setup").content
    assert content(kit.scene) == ["2 objects", "settings of its own"]
    bpy.ops.synctalk.import_tracking()
    assert content(kit.scene) == ["2 objects", "another head", "settings of its own"]


def test_a_script_says_it_by_arguments_and_reads_what_was_changed(kit, root, shot, capsys):
    api = kit.part("api")
    rig = api.import_tracking(root, setup=False, start_frame=1010)
    assert kit.scene.render.fps == 24
    assert "begins at frame 1010" in capsys.readouterr().out
    api.import_tracking(root, setup=True)
    assert (kit.scene.frame_start, kit.scene.frame_end) == (1010, 1059)
    assert "frame rate 24 fps → 25 fps" in capsys.readouterr().out
    assert len(kit.part("scene.rig").rigs_of(kit.scene)) == 1
    assert kit.scene.camera == rig.camera


@pytest.mark.parametrize("fault", ["missing", "not processed", "a damaged subject", "a damaged track"])
def test_a_script_catches_what_is_wrong_with_a_workspace_by_the_api_s_own_errors(kit, root, fault):
    api = kit.part("api")
    if fault == "missing":
        root = root / "elsewhere"
    elif fault == "not processed":
        (root / "subject.json").write_text('{"format": 1}')
    else:
        (root / ("subject.json" if fault == "a damaged subject" else "tracking.npz")).write_text("no")
    with pytest.raises((api.BackendError, api.SceneError)) as caught:
        api.import_tracking(root)
    assert caught.value.kind == "workspace"
    with pytest.raises((api.BackendError, api.SceneError)):
        api.composite()


def test_importing_again_leaves_the_artist_s_settings(kit, root):
    kit.import_tracking(root)
    kit.scene.render.resolution_x, kit.scene.render.resolution_percentage = 1920, 50
    kit.scene.view_settings.view_transform = "Filmic"
    kit.import_tracking(root)
    assert settings(kit)["frame size"] == "1920 × 96 at 50 %"
    assert settings(kit)["view transform"] == "Filmic"


def test_a_kept_scene_renders_through_its_own_camera(kit, root, shot, monkeypatch):
    client = kit.use_backend(monkeypatch)
    bpy.ops.synctalk.import_tracking()
    shot.camera.location, shot.camera.rotation_euler = (0.0, -0.5, 1.6), (np.pi / 2, 0.0, 0.0)
    shot.render.engine, shot.render.resolution_percentage = "SYNCTALK", 10
    shot.render.film_transparent = True
    assert kit.render(1010)[..., 3].mean() > 0.01
    client.close_shared_backend()


def test_the_composite_says_what_a_kept_shot_does_to_the_footage(kit, root, shot, monkeypatch):
    client = kit.use_backend(monkeypatch)
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "step_0000600.safetensors").touch()
    api, jobs, steps = kit.part("api"), kit.part("jobs"), kit.part("steps")
    api.import_tracking(root)
    api.composite()
    told = jobs.runtime.notes[steps.Step.COMPOSITE]
    assert "The scene's camera is “shot camera”" in told
    assert "Filmic changes the footage's colours" in told
    api.import_tracking(root, setup=True)
    api.composite()
    assert jobs.runtime.notes[steps.Step.COMPOSITE].endswith("the animation.")
    client.close_shared_backend()


class TestDialog:
    """What the question shows, drawn without a window."""

    def test_it_names_the_scene_s_own_settings_and_offers_both(self, kit, root, shot):
        shown = []

        class Layout:
            def label(self, text, **_options):
                shown.append(text)

            def prop_enum(self, _owner, _name, value):
                shown.append(value)

            def prop(self, _owner, name, **_options):
                shown.append(name)

            def column(self, **_options):
                return self

        track = __import__(f"{kit.package}.ops.track", fromlist=["SceneChoice"])
        asked = type("Asked", (), {"draw": track.SceneChoice.draw, "layout": Layout(), "scene_setup": "KEEP"})()
        asked.draw(bpy.context)
        assert shown == [
            "This scene has 2 objects and settings of its own.",
            "1920 × 1080, 24 fps, frames 1001 to 1200",
            "KEEP",
            "SETUP",
            "Resolution, frame rate, frame range, camera and colours are not changed",
            "start_frame",
        ]
        bpy.ops.synctalk.import_tracking()
        shown.clear()
        asked.draw(bpy.context)
        assert shown[:2] == ["KEEP", "SETUP"], "adjusted afterwards, there is no question any more"


def test_a_kept_shot_of_another_size_and_rate_composites_head_over_plate(kit, shot, monkeypatch):
    """The tracked camera sees the clip's width in the shot's; the plate follows at the nearest moment."""
    client = kit.use_backend(monkeypatch)
    root = kit.workspace(frames=50, source_size=(320, 180), crop=(112.0, 42.0, 96.0))
    kit.scene.synctalk.workspace = str(root)
    shot.render.resolution_x, shot.render.resolution_y = 320, 240
    shot.view_settings.view_transform, shot.render.dither_intensity = "Standard", 0.0
    bpy.ops.synctalk.import_tracking()
    bpy.ops.synctalk.use_camera()
    shot.render.engine = "SYNCTALK"
    work = kit.part("work.composite")
    work.compose(kit.scene, *work.subject_in(kit.scene))
    picture = kit.render(1013)  # 0.5 s, between frames 12 and 13 of the clip
    assert picture.shape[:2] == (240, 320)
    assert picture[120, 20, 0] == pytest.approx(synthetic.level(13), abs=3 / 255)
    found = kit.part("scene.rig").find_rig(kit.scene)
    seen = kit.part("engine").wanted_frame(bpy.context.evaluated_depsgraph_get())
    assert seen.pinhole.focal_px == pytest.approx(192.0, rel=1e-5)
    assert seen.pinhole.principal_px == pytest.approx((112 + 96 * 0.52, 30 + 42 + 96 * 0.49), abs=1e-2)
    middle = (synthetic.pose(12)[:3, 3] + synthetic.pose(13)[:3, 3]) / 2
    np.testing.assert_allclose(seen.directions.head_to_camera[:3, 3], middle, atol=1e-4)
    assert found.camera == shot.camera
    client.close_shared_backend()


def test_the_composite_of_one_head_is_none_of_another(kit, root):
    first = kit.import_tracking(root)
    work = kit.part("work.composite")
    work.compose(kit.scene, *work.subject_in(kit.scene))
    composed = kit.part("scene.compositor").is_composed
    assert composed(kit.scene, first)
    other = kit.import_tracking(kit.workspace("berta"))
    assert not composed(kit.scene, other)
    work.compose(kit.scene, *work.subject_in(kit.scene))
    assert composed(kit.scene, other)
    assert not composed(kit.scene, first)
