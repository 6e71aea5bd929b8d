"""Where the add-on looks for the backend and installs it."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest


@pytest.fixture
def preferences(addon, monkeypatch, tmp_path):
    """The preferences' module, with a user's folder and an extension's folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "user"))
    monkeypatch.delenv("SYNCTALK_BACKEND_PYTHON", raising=False)
    module = importlib.import_module(f"{addon.__name__}.synctalk_blender.preferences")
    monkeypatch.setattr(module, "former_root", lambda: tmp_path / "extension")
    yield module
    module.preferences().backend_folder = ""


def make(root: Path, **marker: object) -> Path:
    """An environment as far as its state's marker goes."""
    folder = root / "backend"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    python.parent.mkdir(parents=True)
    python.write_bytes(b"")
    (folder / "pyvenv.cfg").write_text(f"home = {root}\n")
    (folder / "synctalk-environment.json").write_text(json.dumps(marker))
    return folder


def part(addon, name: str):
    return importlib.import_module(f"{addon.__name__}.{name}")


def test_it_is_installed_into_the_users_folder_and_not_the_extensions(preferences, tmp_path):
    if sys.platform != "darwin":
        assert preferences.environment_root() == tmp_path / "user" / "SyncTalk"
    assert not preferences.environment_root().is_relative_to(preferences.former_root())


def test_one_of_an_earlier_version_is_found_and_used(preferences, addon, tmp_path):
    folder = make(tmp_path / "extension", complete=True, python="3.11")
    assert preferences.environment_root() == tmp_path / "extension"
    assert part(addon, "synctalk_blender.facts").backend_state() == "outdated"
    assert folder in part(addon, "synctalk_blender.client.shared").backend_python().parents


def test_the_chosen_folder_comes_first_and_stays_the_same_with_another_file(preferences, tmp_path):
    make(tmp_path / "extension", complete=True, python="3.11")
    preferences.preferences().backend_folder = str(tmp_path / "short")
    assert preferences.environment_root() == tmp_path / "short"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    preferences.preferences().backend_folder = "//beside"
    assert preferences.preferences().backend_folder == str(tmp_path / "beside")


def test_what_an_earlier_version_left_unfinished_is_deleted_once_the_backend_is_there(preferences, addon, tmp_path):
    unfinished = make(tmp_path / "extension", complete=False)
    other = make(tmp_path / "whole", complete=True)
    task_class = part(addon, "synctalk_blender.install_task").InstallTask
    for former, removed in ((tmp_path / "extension", unfinished), (tmp_path / "whole", None)):
        task = task_class(tmp_path / "user", "cpu", lambda root, device, **_: root, former=former)
        task.result()
        assert task.removed == removed
    assert not unfinished.exists() and other.exists()


def test_removing_deletes_the_environment_and_nothing_beside_it(preferences, tmp_path):
    preferences.preferences().backend_folder = str(tmp_path / "chosen")
    folder = make(tmp_path / "chosen", complete=True)
    (tmp_path / "chosen" / "models").mkdir()
    assert bpy.ops.synctalk.remove_backend() == {"FINISHED"}
    assert not folder.exists() and (tmp_path / "chosen" / "models").is_dir()


def test_the_panel_says_where_it_will_be_installed(preferences, addon, tmp_path, monkeypatch):
    shown = []
    panel, common = part(addon, "panels.backend"), part(addon, "panels.common")
    monkeypatch.setattr(common.StepUi, "text", lambda _ui, text, *_icon: shown.append(text))
    monkeypatch.setattr(common.StepUi, "action", lambda *_: None)
    preferences.preferences().backend_folder = str(tmp_path / "short")
    known = part(addon, "synctalk_blender.facts").facts(bpy.context.scene)

    class Layout:
        def __getattr__(self, _name):
            return lambda *_args, **_kwargs: self

    step = part(addon, "synctalk_blender.steps").Step.BACKEND
    panel._draw_install(common.StepUi(Layout(), bpy.context, step, replace(known, backend="absent"), None))
    assert any(str(tmp_path / "short" / "backend") in text and "to download" in text for text in shown)


def test_the_panel_shows_why_pytorch_does_not_work(addon, monkeypatch):
    shown = []
    panel, common = part(addon, "panels.backend"), part(addon, "panels.common")
    shared = part(addon, "synctalk_blender.client.shared")
    for name in ("text", "info"):
        monkeypatch.setattr(common.StepUi, name, lambda _ui, text, *_icon: shown.append(text))
    hello = {"backend": "0", "torch": ""}
    running = SimpleNamespace(
        alive=True,
        error=None,
        hello=hello,
        device="",
        kernel="",
        kernel_note="",
        device_error="PyTorch cannot be loaded.",
    )
    monkeypatch.setattr(shared, "running_backend", lambda: running)
    known = part(addon, "synctalk_blender.facts").facts(bpy.context.scene)
    layout = SimpleNamespace(operator=lambda *_args, **_options: None)
    step = part(addon, "synctalk_blender.steps").Step.BACKEND
    panel._draw_process(common.StepUi(layout, bpy.context, step, known, None))
    assert shown == ["SyncTalk 0, PyTorch missing", "PyTorch cannot be loaded."]
    shown.clear()
    running.device, running.kernel, running.kernel_note = "GPU X", "triton", "tinycudann is not installed."
    running.device_error, hello["torch"] = "", "2"
    known = part(addon, "synctalk_blender.facts").facts(bpy.context.scene)
    panel._draw_process(common.StepUi(layout, bpy.context, step, known, None))
    assert shown == ["SyncTalk 0, PyTorch 2, on GPU X (triton)", "tinycudann is not installed."]


def test_only_kernels_that_are_missing_are_compiled_without_going_online(preferences, addon, tmp_path):
    if bpy.app.online_access:
        pytest.skip("this Blender may go online")
    preferences.preferences().backend_folder = str(tmp_path / "chosen")
    assert not bpy.ops.synctalk.install_backend.poll()
    installed = part(addon, "install.environment")
    spec = part(addon, "install.backend_environment").spec(tmp_path / "chosen", "cpu")
    marker = {"packages": True, "python": "3.11", "device": "cpu", "fingerprint": installed.fingerprint(spec, (3, 11))}
    make(tmp_path / "chosen", complete=False, **marker)
    assert part(addon, "synctalk_blender.facts").backend_state() == "incomplete"
    assert bpy.ops.synctalk.install_backend.poll()


@pytest.mark.parametrize("installed", [False, True])
def test_the_preferences_say_where_the_backend_is_and_offer_to_remove_it(preferences, tmp_path, installed):
    drawn = []

    class Layout:
        def __getattr__(self, name):
            return lambda *given, **named: drawn.append((name, *given, named.get("text", ""))) or self

        def __setattr__(self, _name, _value):
            pass

    preferences.preferences().backend_folder = str(tmp_path / "chosen")
    if installed:
        make(tmp_path / "chosen", complete=True)
    shown = type("Drawn", (), {"layout": Layout()})()
    preferences.SyncTalkPreferences.draw(shown, bpy.context)
    assert any(str(tmp_path / "chosen" / "backend") in call[-1] for call in drawn if call[0] == "label")
    assert any(call[:2] == ("operator", "synctalk.remove_backend") for call in drawn) is installed
