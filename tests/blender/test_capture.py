"""Face data moves the head: files as other programs write them, the real backend, the keyframes and the audio that come of it."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
import numpy as np
import pytest

from backend.commands.capture.fitting import Fitting
from backend.commands.option import from_params
from backend.protocol import BLENDSHAPE_NAMES, CAPTURE_PARTS
from tests.backend.capture_samples import COUNT, codes, live_link_rows, make_take, write_rows

from . import synthetic_workspace as synthetic

JAW, BROW, BLINK = (BLENDSHAPE_NAMES.index(name) for name in ("jawOpen", "browInnerUp", "eyeBlinkLeft"))
FRAMES = int((COUNT - 1) / 60 * synthetic.FPS) + 1
OWN = 5
"""Frames for which the footage beneath runs as it was filmed: then it turns, being shorter than the take."""


@pytest.fixture
def root(kit, root, real_backend):
    """A workspace whose head is in the scene, and the real backend."""
    kit.scene.synctalk.workspace = str(root)
    kit.import_tracking(root)
    yield root
    kit.part("jobs").forget_messages()


@pytest.fixture
def rig(kit, root):
    return kit.part("scene.rig").require_rig(kit.scene)


@pytest.fixture
def take(tmp_path) -> Path:
    """Two seconds of Live Link Face at 60 a second with audio beside it: every shape moves, and the head."""
    synthetic.write_tone(tmp_path / "line.wav", COUNT / 60)
    return write_rows(tmp_path / "line.csv", live_link_rows(make_take(), codes(COUNT, 60, first=3600)))


def keyed(kit, rig) -> tuple[np.ndarray, np.ndarray]:
    """Shapes (frames, 52) and head poses (frames, 4, 4) of the take's frames, as the engine reads them."""
    read = [kit.read(rig, frame + 1) for frame in range(FRAMES)]
    return np.stack([item.blendshapes for item in read]), np.stack([item.head_to_camera for item in read])


def note(kit) -> str:
    return kit.part("jobs").runtime.notes[kit.part("steps").Step.SPEAK]


# -- options, without a backend -------------------------------------------------------------------------------------


def test_untouched_the_options_are_the_backend_s_own(kit):
    assert from_params(Fitting, kit.scene.synctalk.capture.fitting(), "capture.import") == Fitting()


def test_what_is_set_is_what_the_backend_reads(kit):
    capture = kit.scene.synctalk.capture
    capture.set_fitting(take=["head", "brows"], strength=0.7, gains={"head": 0.5, "mouth": 1.2}, as_is=True)
    asked = from_params(Fitting, capture.fitting(), "capture.import")
    assert (asked.take, asked.strength, asked.as_is) == (("brows", "head"), 0.7, True)
    assert asked.fit().gains == {"head": 0.5, "mouth": 1.2}
    capture.set_fitting()
    assert from_params(Fitting, capture.fitting(), "capture.import") == Fitting()
    with pytest.raises(ValueError, match="no part 'lips', but mouth, brows, eyes, head"):
        capture.set_fitting(take=["lips"])
    with pytest.raises(TypeError):
        capture.set_fitting(volume=1)


def test_without_a_head_nothing_is_imported(kit, tmp_path):
    with pytest.raises(RuntimeError, match=r"Track the video first \(panel Track\)"):
        bpy.ops.synctalk.import_capture(filepath=str(tmp_path / "a.csv"))


def test_paths_of_the_capture_follow_the_file_that_is_saved(kit, tmp_path):
    (tmp_path / "there").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    capture = kit.scene.synctalk.capture
    capture.file, capture.audio = "//line.csv", "//line.wav"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "there" / "scene.blend"))
    assert Path(capture.path).resolve() == tmp_path / "line.csv"
    assert capture.audio.startswith("//..")


# -- with the backend -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_take_is_keyed_with_its_audio_and_the_scene_has_its_length(kit, root, rig, take):
    before, poses = keyed(kit, rig)
    assert bpy.ops.synctalk.import_capture(filepath=str(take)) == {"FINISHED"}
    shapes, heads = keyed(kit, rig)
    animation = kit.opened(root).animation(root / "renders" / "line" / "animation.npz")
    np.testing.assert_allclose(shapes, animation.blendshapes, atol=1e-5)
    assert np.abs(shapes - before)[:OWN, [JAW, BROW, BLINK]].max(0).min() > 0.02
    np.testing.assert_allclose(heads[:OWN], poses[:OWN], atol=1e-5)  # the head was not taken
    assert (kit.scene.frame_start, kit.scene.frame_end) == (1, FRAMES)
    assert rig.animation == animation.audio.with_name("animation.npz") and rig.is_captured
    if kit.has_sound:
        (strip,) = kit.strips()
        assert Path(bpy.path.abspath(strip.sound.filepath)) == animation.audio
    assert note(kit) == f"2.0 s of line.csv move mouth, brows and eyes: {FRAMES} frames are keyed."
    again = kit.part("facts").facts(kit.scene)
    assert again.has_capture and again.has_speech


@pytest.mark.long
def test_only_what_is_taken_moves_and_the_head_does_when_asked(kit, rig, take):
    api, (before, poses) = kit.part("api"), keyed(kit, rig)
    api.import_capture(take, take=["head"])
    shapes, heads = keyed(kit, rig)
    np.testing.assert_allclose(shapes[:OWN], before[:OWN], atol=1e-5)
    assert np.abs(heads[:OWN] - poses[:OWN]).max() > 0.02
    api.import_capture(take, take=["brows"])
    shapes, heads = keyed(kit, rig)
    np.testing.assert_allclose(shapes[:OWN, JAW], before[:OWN, JAW], atol=1e-5)
    assert np.abs(shapes - before)[:OWN, BROW].max() > 0.02
    np.testing.assert_allclose(heads[:OWN], poses[:OWN], atol=1e-5)


@pytest.mark.long
def test_strength_and_a_part_s_gain_scale_the_motion_of_the_same_file(kit, rig, take):
    api, jobs, capture = kit.part("api"), kit.part("jobs"), kit.scene.synctalk.capture
    api.import_capture(take)
    spans = np.ptp(keyed(kit, rig)[0], axis=0)
    capture.strength = 0.5
    capture.gains[CAPTURE_PARTS.index("brows")] = 0.0
    assert bpy.ops.synctalk.import_capture() == {"FINISHED"}
    fitted = np.ptp(keyed(kit, rig)[0], axis=0)
    assert fitted[BROW] < 1e-5
    assert 0.4 * spans[JAW] < fitted[JAW] < 0.65 * spans[JAW]
    assert capture.file == str(take) and jobs.runtime.job is None


@pytest.mark.long
def test_a_setting_that_changes_fits_the_take_again_by_itself_but_not_speech(kit, root, rig, take, monkeypatch):
    work, jobs, capture = kit.part("work.capture"), kit.part("jobs"), kit.scene.synctalk.capture
    monkeypatch.setattr(work, "_TIMERS_FIRE", True)

    def waits() -> bool:
        return bpy.app.timers.is_registered(work._fit)

    capture.strength = 0.9
    assert not waits(), "nothing was imported yet"
    kit.part("api").import_capture(take)
    assert not waits(), "it was imported with these settings"
    first, said = keyed(kit, rig)[0], note(kit)
    capture.strength = 0.4
    capture.take[CAPTURE_PARTS.index("eyes")] = False
    assert waits()
    assert work._fit() is None
    assert note(kit) == said, "the panel stays as it is while a slider is dragged"
    while jobs.runtime.job is not None:
        jobs._tick()
        time.sleep(0.02)
    second = keyed(kit, rig)[0]
    assert np.ptp(second[:, JAW]) < 0.6 * np.ptp(first[:, JAW])
    assert "move mouth and brows:" in note(kit)
    work.unregister()
    kit.part("work.speak").import_animation(kit.scene, root / "renders" / "speech" / "animation.npz")
    capture.strength = 1.0
    assert not waits(), "the head speaks now"
    assert not kit.part("facts").facts(kit.scene).has_capture


@pytest.mark.long
def test_what_cannot_be_read_is_reported_as_its_sentence_and_nothing_is_keyed(kit, rig, tmp_path):
    path = tmp_path / "broken.csv"
    path.write_text("Timecode,Smile\n00:00:00:00,1\n00:00:00:01,1\n")
    sentence = rf"{path}.*none of ARKit's blendshapes"
    with pytest.raises(RuntimeError, match=sentence) as raised:
        bpy.ops.synctalk.import_capture(filepath=str(path))
    error = kit.part("jobs").runtime.errors[kit.part("steps").Step.SPEAK]
    assert error in str(raised.value) and "\n" not in error
    with pytest.raises(kit.part("client.errors").BackendError, match="take must name at least one of"):
        kit.part("api").import_capture(path, take=[])
    assert rig.animation is None and not kit.strips()[1:]


@pytest.mark.long
def test_what_a_file_lacks_is_named(kit, rig, tmp_path):
    rows = [["time", "jawOpen"], *([str(k / 30), str(k % 7 / 10)] for k in range(60))]
    kit.part("api").import_capture(write_rows(tmp_path / "jaw.csv", rows))
    assert "It does not move brows and eyes: that is the footage's." in note(kit)
    assert "At rest, as it lacks them: cheekPuff, jawForward, jawLeft, jawRight and" in note(kit)
    assert "It has no audio" in note(kit)
    assert kit.strips() == []


@pytest.mark.long
def test_another_person_s_workspace_is_followed_with_its_audio(kit, root, rig):
    driver = kit.workspace("bob", frames=20)
    kit.part("api").import_capture(driver, take=["mouth", "head"], strength=0.8)
    assert note(kit).startswith("0.8 s of bob move mouth and head: 20 frames are keyed.")
    assert rig.animation == root / "renders" / "bob" / "animation.npz" and rig.is_captured
    assert not kit.has_sound or len(kit.strips()) == 1


@pytest.mark.long
def test_a_take_s_folder_is_imported(kit, rig, tmp_path, take):
    folder = tmp_path / "MySlate_1_iPhone"
    folder.mkdir()
    take.rename(folder / "MySlate_1_iPhone.csv")
    assert bpy.ops.synctalk.import_capture(filepath=f"{folder}/") == {"FINISHED"}
    assert "move mouth, brows and eyes" in note(kit) and rig.animation.parent.name == "MySlate_1_iPhone"


def drop(path: Path) -> set[str]:
    """Let go of a file over the 3D View."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        return bpy.ops.wm.drop_import_file("INVOKE_DEFAULT", directory=str(path.parent), files=[{"name": path.name}])


@pytest.mark.long
def test_a_file_that_is_dropped_on_the_3d_view_is_imported_where_there_is_a_head(kit, take, tmp_path, request):
    assert drop(take) == {"CANCELLED"}, "there is no head yet"
    rig = request.getfixturevalue("rig")
    assert drop(take) == {"FINISHED"}
    assert rig.is_captured and kit.scene.synctalk.capture.file == str(take)
