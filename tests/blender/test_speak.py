"""Speaking: what the artist chose reaches the backend, from the button and from a script, and its answer the scene."""

from __future__ import annotations

import importlib
import json
import re

import bpy
import numpy as np
import pytest

NEUTRAL = {
    "head": "auto",
    "strength": 1.0,
    "smoothing_ms": 0.0,
    "offset_ms": 0.0,
    "close_in_silence": False,
    "idle_s": [0.0, 0.0],
}
CHOSEN = {"strength": 1.5, "smoothing_ms": 80.0, "offset_ms": -40.0, "close_in_silence": True, "idle_s": [0.1, 4.6]}


@pytest.fixture
def root(kit, client, root, monkeypatch):
    """A tracked workspace whose head is in the scene, and a backend that writes down what `speak` asks for."""
    monkeypatch.setattr(kit.part("facts"), "backend_state", lambda: "ready")
    kit.scene.synctalk.workspace = str(root)
    kit.import_tracking(root)
    yield root
    kit.part("jobs").forget_messages()


@pytest.fixture
def audio(tmp_path):
    path = tmp_path / "line.wav"
    path.write_bytes(b"")
    return path


def asked(root) -> dict:
    """The params of the last `speak`."""
    return json.loads((root / "renders" / "speech" / "params.json").read_text())


def test_untouched_controls_ask_for_the_person_s_own_way(kit, root, audio):
    kit.scene.synctalk.speech = str(audio)
    assert bpy.ops.synctalk.speak() == {"FINISHED"}
    assert asked(root) == {"workspace": str(root), "audio": str(audio), **NEUTRAL}


def test_what_is_set_in_the_panel_is_asked_for_and_the_answer_is_keyed(kit, root, audio):
    kit.scene.synctalk.speech = str(audio)
    for name, value in CHOSEN.items():
        setattr(kit.scene.synctalk, name, value)
    assert bpy.ops.synctalk.speak() == {"FINISHED"}
    assert asked(root) == {"workspace": str(root), "audio": str(audio), **NEUTRAL, **CHOSEN}
    assert kit.scene.frame_end == 20


def test_a_script_asks_for_the_same_and_its_next_call_starts_from_the_defaults(kit, root, audio):
    kit.part("api").speak(audio, **CHOSEN)
    assert asked(root) == {"workspace": str(root), "audio": str(audio), **NEUTRAL, **CHOSEN}
    kit.part("api").speak(audio)
    assert asked(root) == {"workspace": str(root), "audio": str(audio), **NEUTRAL}


def test_a_calm_part_is_found_or_the_reason_said(kit, root, monkeypatch):
    work = importlib.import_module(f"{kit.package}.synctalk_blender.work.speak")
    with pytest.raises(RuntimeError, match="there is no calm part"):  # the clip has twelve frames
        bpy.ops.synctalk.find_calm_part()
    monkeypatch.setattr(work, "calm_part", lambda track, rate: (1.4, 7.4))
    assert bpy.ops.synctalk.find_calm_part() == {"FINISHED"}
    assert kit.scene.synctalk.delivery()["idle_s"] == [1.4, 7.4]


MISSING = r"speech\.wav, the audio of animation\.npz, is missing: speak again\."


def test_speech_whose_audio_is_missing_is_not_keyed(kit, root, audio):
    (root / "renders" / "speech" / "speech.wav").unlink()
    with pytest.raises(kit.part("client.errors").BackendError, match=MISSING):
        kit.part("api").speak(audio)
    with pytest.raises(kit.part("scene.errors").SceneError, match=MISSING):
        kit.part("work.speak").import_animation(kit.scene, root / "renders" / "speech" / "animation.npz")
    assert kit.part("scene.rig").require_rig(kit.scene).animation is None


def test_audio_that_has_gone_missing_is_reported_by_composite_bake_and_training(kit, root, audio):
    api, runtime = kit.part("api"), kit.part("jobs").runtime
    api.speak(audio)
    (root / "renders" / "speech" / "speech.wav").unlink()
    for step in (api.composite, api.bake):
        with pytest.raises(kit.part("client.errors").BackendError, match=MISSING):
            step()
    api.train()
    (warning,) = runtime.warnings[kit.part("steps").Step.TRAIN]
    assert re.search(MISSING, warning)


def test_speech_that_reaches_beyond_a_clip_that_is_shorter_now_lies_over_its_last_frame(kit, root):
    """The video was processed again, cut, after the speech was made."""
    speech = root / "renders" / "speech" / "animation.npz"
    arrays = dict(np.load(speech))
    beyond = arrays["plate_frame"] + 5
    np.savez(speech, **arrays | {"plate_frame": beyond})
    assert beyond.max() == 16
    kit.part("work.speak").import_animation(kit.scene, speech)
    found, workspace, animation = kit.part("work.common").subject_in(kit.scene)
    np.testing.assert_array_equal(animation.plate_frame, np.minimum(beyond, workspace.subject.frames - 1))
    kit.part("work.composite").compose(kit.scene, found, workspace, animation)
    with pytest.raises(kit.record("store").WorkspaceError, match="uses footage frame 12"):
        workspace.animation(speech)


def test_the_panel_offers_every_control(kit):
    shown = []

    class Layout:
        """Notes the properties drawn in it and in its parts."""

        def prop(self, _settings, name, **_options):
            shown.append(name)

        def column(self, **_options):
            return self

        def operator(self, name, **_options):
            assert name == "synctalk.find_calm_part"

    speak = importlib.import_module(f"{kit.package}.panels.speak")
    speak.SYNCTALK_PT_speak_options.draw_options(None, Layout(), kit.scene.synctalk)
    assert sorted(shown) == sorted(CHOSEN)


def test_the_expression_panel_has_a_slider_for_each_shape_by_its_whole_name(kit, root):
    shown = {}

    class Layout:
        """Notes the sliders drawn in it and in its parts, all of them open."""

        def prop(self, owner, path, text, slider):
            assert owner.path_resolve(path) == 0.0
            assert slider
            shown[path] = text

        def label(self, **_options):
            pass

        def column(self, **_options):
            return self

        def panel(self, _name, default_closed):
            assert default_closed
            return self, self

    expression = importlib.import_module(f"{kit.package}.panels.expression")
    panel = type("Drawn", (), {"draw": expression.SYNCTALK_PT_expression.draw, "layout": Layout()})()
    panel.draw(bpy.context)
    assert set(shown) == {f'["{name}"]' for name in kit.names}
    assert shown['["jawOpen"]'] == "Jaw Open"
    assert shown['["mouthUpperUpLeft"]'] == "Mouth Upper Up Left"
