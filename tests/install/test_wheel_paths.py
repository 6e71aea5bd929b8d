"""Every path of an installation fits Windows' limit where it is made by default, and the user hears of it where not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest

from install import (
    backend_environment,
    environment,
    errors,
    interpreters,
    locks,
    platforms,
    relock,
    torch_wheel,
    uv,
    wheel_paths,
)

from .conftest import make_wheel, write_lock

pytestmark = pytest.mark.long

BACKENDS = backend_environment.PYTHON_VERSIONS
WINDOWS_LOCKS = [
    *(("backend", python) for python in BACKENDS),
    *((name, (3, 11)) for name in ("blender-4.2", "blender-4.5", "blender-5.0", "tools", "uv")),
]


def inside(python: tuple[int, int], device: str) -> list[int]:
    lock = locks.read("backend", python, platform="windows")
    return [lock.longest_path, uv.lock().longest_path, torch_wheel.longest_path(device)]


@pytest.mark.parametrize(("name", "python"), WINDOWS_LOCKS)
def test_each_windows_lock_knows_its_longest_path(name, python):
    assert 20 < locks.read(name, python, platform="windows").longest_path < 200


@pytest.mark.parametrize("device", backend_environment.DEVICES)
@pytest.mark.parametrize("python", BACKENDS)
def test_the_default_folder_fits_every_user_name_of_windows(python, device):
    for length in range(1, 21):  # Windows takes user names of 20 characters at most
        folder = PureWindowsPath(f"C:/Users/{'n' * length}/AppData/Local/SyncTalk/backend")
        wheel_paths.check(folder, inside(python, device))


def test_the_extensions_own_folder_never_did():
    folder = PureWindowsPath(
        "C:/Users/n/AppData/Roaming/Blender Foundation/Blender/5.0/extensions/.user/user_default/synctalk/backend"
    )
    with pytest.raises(errors.PathError):
        wheel_paths.check(folder, inside(BACKENDS[0], "cpu"))


def test_torchs_figure_holds_for_the_torch_that_is_installed():
    info = [path for entry in sys.path for path in Path(entry).glob("torch-*.dist-info/RECORD")]
    if not info:
        pytest.skip("torch is not installed here")
    names = [line.rpartition(",sha256=")[0] or line.rstrip(",\n") for line in info[0].read_text("utf-8").splitlines()]
    names = [name.strip('"') for name in names if "__pycache__" not in name and not name.startswith("..")]
    version = info[0].parent.name.removeprefix("torch-").removesuffix(".dist-info")
    longest = max(len(name) for name in names) - len(f"torch-{version}")
    assert wheel_paths.longest_installed(names) - len(f"torch-{version}") == longest
    assert longest <= torch_wheel.longest_path("cpu") - len(f"torch-{torch_wheel.VERSION}+cpu")


def test_the_longest_path_counts_compiled_modules_and_not_the_wheels_own_folders():
    assert wheel_paths.longest_installed(["a/b.txt", "a-1.data/purelib/a/longer.txt"]) == len("a/longer.txt")
    module = wheel_paths.longest_installed(["a/b/module.py", "a/b/module_of_text.txt"])
    assert module == len("a/b/__pycache__/module.cpython-311.pyc.140234567890123")


def test_the_sentence_says_which_folder_how_much_and_what_to_do():
    folder = PureWindowsPath("C:/") / ("x" * 97)
    with pytest.raises(errors.PathError) as caught:
        wheel_paths.check(folder, [30, 160])
    sentence = str(caught.value)
    assert str(folder) in sentence and "20 characters too long" in sentence and "at most 80 characters" in sentence
    assert "preferences" in sentence and "--root" in sentence and "long paths" in sentence
    wheel_paths.check(PureWindowsPath("C:/") / ("x" * 77), [30, 160])


def windows(monkeypatch, long_paths: bool) -> None:
    """This machine, taken for Windows where the length of paths is asked for."""
    probe = interpreters.probe
    monkeypatch.setattr(interpreters, "probe", lambda path: replace(probe(path), long_paths=long_paths))
    monkeypatch.setattr(platforms, "name", lambda: "windows")
    monkeypatch.setattr(platforms, "check_machine", lambda: None)


@pytest.mark.parametrize("long_paths", [False, True])
def test_nothing_is_made_where_the_paths_do_not_fit_unless_long_ones_are_on(spec, wheels, monkeypatch, long_paths):
    windows(monkeypatch, long_paths)
    write_lock(spec, make_wheel(wheels, "alpha"), longest=240)
    if long_paths:
        list(environment.install(spec))
        assert environment.state(spec) == "ready"
        return
    with pytest.raises(errors.PathError, match="too long: Windows allows paths of 259"):
        list(environment.install(spec))
    assert environment.state(spec) == "absent" and not spec.folder.exists()


@pytest.mark.parametrize("all_letters", [False, True])
def test_letters_that_mediapipe_cannot_open_are_refused_before_a_download(spec, wheels, monkeypatch, all_letters):
    probe = interpreters.probe
    monkeypatch.setattr(interpreters, "probe", lambda path: replace(probe(path), all_letters=all_letters))
    monkeypatch.setattr(platforms, "name", lambda: "windows")
    monkeypatch.setattr(platforms, "check_machine", lambda: None)
    write_lock(spec, make_wheel(wheels, "alpha"))
    # No torch to be had here: where the letters are taken, the installation gets as far as asking for it.
    elsewhere = replace(spec, folder=spec.folder.parent / "Käthe", torch=True)
    with pytest.raises(errors.InstallError) as caught:
        list(environment.install(elsewhere))
    assert isinstance(caught.value, errors.PathError) is not all_letters
    assert all_letters or "Käthe has letters that MediaPipe cannot open" in str(caught.value)
    assert elsewhere.folder.exists() is all_letters


def test_a_python_says_whether_it_takes_long_paths():
    assert interpreters.probe(sys.executable).long_paths or sys.platform == "win32"
    assert interpreters.probe(sys.executable).all_letters or sys.platform == "win32"


def test_the_longest_path_of_a_lock_is_measured_on_an_installation(tmp_path, wheels, uv_folder, monkeypatch):
    make_wheel(wheels, "big")
    variables = {**uv.variables({}), "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_NO_CACHE": "1"}
    monkeypatch.setattr(uv, "variables", lambda settings: variables)
    longest = relock._longest(uv.executable(uv_folder.parent), "big==1.0\n", ["--python-version", "3.11"])
    assert longest == len("big/__pycache__/__init__.cpython-311.pyc.140234567890123")
