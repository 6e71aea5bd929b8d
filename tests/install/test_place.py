"""Where the environment is: short, the same for each Blender, and never made twice because it used to be elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from backend import models
from install import backend_environment, environment, platforms


def make(root: Path, **marker: object) -> Path:
    """An environment as far as its state's marker goes."""
    folder = root / backend_environment.NAME
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).parent}\n")
    (folder / environment.MARKER).write_text(json.dumps(marker))
    return root


@pytest.fixture
def places(tmp_path) -> tuple[Path, Path]:
    return tmp_path / "new", tmp_path / "former"


@pytest.mark.parametrize(
    ("platform", "variable"), [("win32", "LOCALAPPDATA"), ("linux", "XDG_DATA_HOME"), ("darwin", "")]
)
def test_the_environment_lies_beside_the_users_models(monkeypatch, tmp_path, platform, variable):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("SYNCTALK_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "place"))
    assert backend_environment.user_root() == models.user_folder().parent
    assert backend_environment.user_root().is_relative_to(tmp_path)


@pytest.mark.parametrize("name", ["Käthe", "太郎", "Ольга Петровна"])
def test_a_windows_user_of_any_alphabet_gets_a_short_folder_of_plain_letters(monkeypatch, name):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PROGRAMDATA", r"C:\ProgramData")
    monkeypatch.setenv("LOCALAPPDATA", rf"C:\Users\{name}\AppData\Local")
    root = backend_environment.user_root()
    assert str(root).isascii() and len(str(root)) < 40
    monkeypatch.setenv("LOCALAPPDATA", rf"C:\Users\{name}2\AppData\Local")
    assert backend_environment.user_root() != root  # each user's own


def test_a_first_installation_goes_to_the_users_folder(places):
    new, former = places
    assert backend_environment.place(new, former) == new


@pytest.mark.parametrize("system", ["linux", "windows", "macos"])
@pytest.mark.parametrize("marker", [{"complete": True}, {"complete": False, "updating": True}])
def test_an_environment_at_the_former_place_is_used_there(monkeypatch, places, system, marker):
    monkeypatch.setattr(platforms, "name", lambda: system)
    new, former = places
    make(former, **marker)
    assert backend_environment.place(new, former) == former


@pytest.mark.parametrize("system", ["linux", "windows"])
def test_one_that_was_never_whole_is_finished_there_unless_its_path_was_too_long(monkeypatch, places, system):
    monkeypatch.setattr(platforms, "name", lambda: system)
    new, former = places
    make(former, complete=False)
    assert backend_environment.place(new, former) == (new if system == "windows" else former)


def test_the_new_place_wins_as_soon_as_anything_is_there(places):
    new, former = places
    make(former, complete=True)
    make(new, complete=False)
    assert backend_environment.place(new, former) == new
