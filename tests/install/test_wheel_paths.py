"""Every path of an installation fits Windows' limit where it is made by default, and the user hears of it where not."""

from __future__ import annotations

import http.server
import re
import sys
import threading
import zipfile
from dataclasses import replace
from functools import partial
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
    wheel_paths,
)

from .conftest import make_wheel, write_lock

pytestmark = pytest.mark.long

WINDOWS_LOCKS = sorted(locks.FOLDER.glob("*-windows-*.txt"))
BACKENDS = [path for path in WINDOWS_LOCKS if path.name.startswith("backend-")]


def inside(lock: Path, device: str) -> list[int]:
    return [*(package.longest_path for package in locks.read(lock).packages), torch_wheel.longest_path(device)]


@pytest.mark.parametrize("path", WINDOWS_LOCKS, ids=lambda path: path.name)
def test_each_windows_lock_knows_its_longest_paths(path):
    assert all(20 < package.longest_path < 200 for package in locks.read(path).packages)


@pytest.mark.parametrize("device", backend_environment.DEVICES)
@pytest.mark.parametrize("path", BACKENDS, ids=lambda path: path.name)
def test_the_default_folder_fits_every_user_name_of_windows(path, device):
    for length in range(1, 21):  # Windows takes user names of 20 characters at most
        folder = PureWindowsPath(f"C:/Users/{'n' * length}/AppData/Local/SyncTalk/backend")
        wheel_paths.check(folder, inside(path, device))


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


def lock_with_a_long_path(spec, wheels) -> None:
    path = write_lock(spec, make_wheel(wheels, "alpha"))
    path.write_text(re.sub(r"(# \d+)$", r"\1 240", path.read_text().rstrip()) + "\n")


@pytest.mark.parametrize("long_paths", [False, True])
def test_nothing_is_made_where_the_paths_do_not_fit_unless_long_ones_are_on(spec, wheels, monkeypatch, long_paths):
    windows(monkeypatch, long_paths)
    lock_with_a_long_path(spec, wheels)
    if long_paths:
        list(environment.install(spec))
        assert environment.state(spec) == "ready"
        return
    with pytest.raises(errors.PathError, match="too long: Windows takes paths of 259"):
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


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves parts of files, as package indexes do."""

    served = 0

    def do_GET(self):
        data = Path(self.translate_path(self.path)).read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = data[int(asked[1]) : int(asked[2]) + 1] if asked and self.ranges else data
        type(self).served += len(part)
        self.send_response(206 if asked and self.ranges else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("ranges", [True, False])
def test_a_wheels_names_are_read_from_its_end(tmp_path, ranges):
    with zipfile.ZipFile(tmp_path / "big.whl", "w") as wheel:
        wheel.writestr("big/data.bin", bytes(3_000_000))
        wheel.writestr("big/__init__.py", "")
    handler = type("Handler", (_Ranges,), {"ranges": ranges, "served": 0})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/big.whl"
        assert wheel_paths.members(url) == ["big/data.bin", "big/__init__.py"]
        wheels = [{"url": url, "hashes": {"sha256": "a" * 64}}]
        line = relock._line({"name": "Big", "version": "1.0", "wheels": wheels}, with_paths=True)
    finally:
        server.shutdown()
    longest = len("big/__pycache__/__init__.cpython-311.pyc.140234567890123")
    assert line == f"big==1.0 --hash=sha256:{'a' * 64}  # {(tmp_path / 'big.whl').stat().st_size} {longest}"
    assert not ranges or handler.served < 600_000
