"""Scenes of any frame rate and start: keys, lens, sound and footage lie at the same moments as in the clip."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from . import head_backend
from . import synthetic_workspace as synthetic
from .scene_kit import as_png, premultiplied

RATES = [(30, 1.0), (24, 1.0), (30, 1.001), (60, 1.0), (25, 1.0), (24, 1.001)]


@pytest.fixture
def root(kit):
    return kit.workspace(frames=50, speech_frames=60)


def at_rate(kit, root, fps: int, base: float, start: int = 1):
    """The head in a scene of that rate, which it is kept at."""
    kit.scene.render.fps, kit.scene.render.fps_base = fps, base
    return kit.import_tracking(root, setup=False, start_frame=start)


def at(kit, rig, seconds: float, start: int = 1):
    """What the rig says that long after the start, between frames where it falls there."""
    frame = start + seconds * kit.scene.render.fps / kit.scene.render.fps_base
    whole = int(np.floor(frame + 1e-9))
    kit.scene.frame_set(whole, subframe=max(0.0, float(frame - whole)))
    return kit.part("scene.rig").read_rig(rig, bpy.context.evaluated_depsgraph_get())


@pytest.mark.parametrize(("fps", "base"), RATES)
def test_every_tracked_frame_lies_at_its_own_time(kit, root, fps, base):
    rig = at_rate(kit, root, fps, base)
    for frame in (0, 7, 31, 49):
        said = at(kit, rig, frame / 25)
        np.testing.assert_allclose(said.head_to_camera, synthetic.pose(frame), atol=2e-4)
        np.testing.assert_allclose(said.blendshapes, synthetic.blendshapes(frame), atol=2e-3)


@pytest.mark.parametrize(("fps", "base"), RATES)
def test_new_speech_is_as_long_as_its_audio_at_the_scene_s_rate(kit, root, fps, base):
    kit.import_tracking(root)
    kit.scene.render.fps, kit.scene.render.fps_base = fps, base
    kit.import_speech(root)
    rig = kit.part("scene.rig").find_rig(kit.scene)
    said = at(kit, rig, 50 / 25)
    np.testing.assert_allclose(said.blendshapes, synthetic.blendshapes(150), atol=2e-3)
    length = kit.scene.frame_end - kit.scene.frame_start + 1
    assert length == int(np.ceil(60 / 25 * fps / base - 1e-6))
    if kit.has_sound:
        (strip,) = kit.strips()
        assert strip.frame_final_duration == pytest.approx(length, abs=1.01)


@pytest.mark.parametrize(("fps", "base"), RATES)
def test_the_footage_nearest_in_time_lies_behind_the_camera(kit, root, fps, base):
    rig = at_rate(kit, root, fps, base, start=11)
    step = 25 / (fps / base)
    for index in range(int(50 / step)):
        kit.scene.frame_set(11 + index)
        camera = rig.camera.data.evaluated_get(bpy.context.evaluated_depsgraph_get())
        user = camera.background_images[0].image_user
        assert user.frame_start == 11
        file = min(index + 1, user.frame_duration) + user.frame_offset
        assert abs(file - index * step) <= 0.5 + 1e-3 or file == 49


def test_the_composite_shows_head_and_plate_of_one_moment(kit, root, monkeypatch):
    """Flat plates tell by their red which of them lies beneath."""
    client = kit.use_backend(monkeypatch)
    at_rate(kit, root, 30, 1.0, start=101)
    render = kit.scene.render
    render.resolution_x = render.resolution_y = 96
    render.engine, kit.scene.render.dither_intensity = "SYNCTALK", 0.0
    kit.scene.view_settings.view_transform = "Standard"
    work = kit.part("work.composite")
    found, subject, animation = work.subject_in(kit.scene)
    work.compose(kit.scene, found, subject, animation)
    for index in (0, 1, 7, 29):
        red = kit.render(101 + index)[2, 2, 0]
        assert red == pytest.approx(synthetic.level(int(index * 25 / 30 + 0.5)), abs=3 / 255), index
    client.close_shared_backend()


def test_baked_frames_are_those_of_the_scene(kit, root, tmp_path):
    at_rate(kit, root, 30, 1.0, start=101)
    bake = kit.part("scene.bake")
    found, workspace, animation = kit.part("work.composite").subject_in(kit.scene)
    timing = kit.part("scene.importer").timing_of(kit.scene, found, animation.fps)
    shown = timing.shown(animation.plate_frame)
    assert (len(shown), timing.last_frame(animation.frames)) == (60, 160)
    walk = bake.RigWalk(kit.scene, found, workspace.subject.frame_size, len(shown), timing.first_frame)
    while not walk.poll():
        pass
    path = bake.write(tmp_path / "directions.npz", *walk.result()[:2], workspace.subject, shown, timing.scene_fps)
    with np.load(path) as data:
        assert (data["rate"].tolist(), len(data["plate_frame"])) == ([30, 1], 60)
        np.testing.assert_allclose(data["head_to_camera"][6], synthetic.pose(5), atol=1e-4)
        np.testing.assert_allclose(data["frame_time_s"][6], 5 / 25)


def test_a_rate_that_was_changed_since_is_said_and_the_composite_keys_again(kit, root, monkeypatch):
    rig = kit.import_tracking(root)
    assert not kit.part("facts").head_problem(kit.scene, rig)
    kit.scene.render.fps = 30
    kit.scene.render.fps_base = 1.0
    assert "keyed at 25 frames a second, but the scene runs at 30" in kit.part("facts").head_problem(kit.scene, rig)
    work = kit.part("work.composite")
    work.compose(kit.scene, *work.subject_in(kit.scene))
    assert not kit.part("facts").head_problem(kit.scene, rig)
    np.testing.assert_allclose(at(kit, rig, 20 / 25).blendshapes, synthetic.blendshapes(20), atol=2e-3)


def test_a_start_that_is_set_later_moves_all_of_it(kit, root):
    rig = kit.import_tracking(root)
    kit.import_tracking(root, start_frame=1001)
    assert (kit.scene.frame_start, kit.scene.frame_end) == (1001, 1050)
    np.testing.assert_allclose(at(kit, rig, 3 / 25, 1001).head_to_camera, synthetic.pose(3), atol=1e-5)
    assert rig.camera.data.background_images[0].image_user.frame_start == 1001
    kit.import_speech(root)
    assert (kit.scene.frame_start, kit.scene.frame_end) == (1001, 1060)
    if kit.has_sound:
        assert kit.strips()[0].frame_start == 1001


def test_training_changes_lens_and_poses_together(kit, monkeypatch):
    """The focal length that training finds, and depths that follow it: the head keeps its place in the picture."""
    client = kit.use_backend(monkeypatch)
    monkeypatch.setattr(kit.part("facts"), "backend_state", lambda: "ready")
    root = kit.workspace()
    kit.scene.synctalk.workspace = str(root)
    rig = kit.import_tracking(root)
    kit.import_speech(root)
    lens = rig.camera.data.lens
    assert bpy.ops.synctalk.train() == {"FINISHED"}
    assert rig.camera.data.lens == pytest.approx(1.25 * lens)
    said = kit.read(rig, 3)
    assert said.head_to_camera[2, 3] == pytest.approx(1.25 * synthetic.pose(2)[2, 3], rel=1e-5)
    np.testing.assert_allclose(said.blendshapes, synthetic.blendshapes(102), atol=1e-5, err_msg="it still speaks")
    client.close_shared_backend()


def test_speech_brings_its_own_lens_and_keeps_a_zoom_of_the_artist_s_otherwise(kit, root):
    rig = kit.import_tracking(root)
    path = root / "renders" / "speech" / "animation.npz"
    lens = rig.camera.data.lens
    rig.camera.data.lens = 2 * lens
    kit.import_speech(root)
    assert rig.camera.data.lens == pytest.approx(2 * lens)
    arrays = dict(np.load(path))
    arrays["focal_px"] = arrays["focal_px"] * 1.1
    np.savez(path, **arrays)
    kit.import_speech(root)
    assert rig.camera.data.lens == pytest.approx(1.1 * lens)


def test_the_engine_draws_the_moment_between_two_tracked_frames(kit, root, monkeypatch):
    client = kit.use_backend(monkeypatch)
    rig = at_rate(kit, root, 30, 1.0)
    render = kit.scene.render
    render.resolution_x = render.resolution_y = 96
    render.engine, render.dither_intensity = "SYNCTALK", 0.0
    kit.scene.view_settings.view_transform, render.film_transparent = "Standard", True
    picture = premultiplied(kit.render(7))  # 0.2 s: frame 5 of the clip
    wanted = as_png(
        head_backend.draw(
            {
                "width": 96,
                "height": 96,
                "focal_px": 192.0,
                "principal_px": (96 * 0.52, 96 * 0.49),
                "head_to_camera": synthetic.pose(5).ravel(),
                "blendshapes": synthetic.blendshapes(5),
            }
        )
    )
    assert (np.abs(picture - wanted).max(-1) > 2 / 255).sum() == 0
    assert rig.camera == kit.scene.camera
    client.close_shared_backend()
