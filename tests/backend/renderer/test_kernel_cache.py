"""Compiled kernels are found again by their sources alone, and never taken for those of other sources."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from backend.compilation import kernel_cache

pytestmark = pytest.mark.long

SMALL = """
import numpy as np
from backend.compilation import kernel_cache
from backend.renderer.field.kernels import marching
occupied = np.ones((4, 4, 4), np.uint8)
print(float(marching.fade_at(occupied, 1, 1, 0, np.float32(1.5), np.float32(1.5), np.float32(0.125))))
print(kernel_cache.compiled_now)
"""
"""Calls one small kernel; prints its answer and how many functions had to be compiled."""


def unpacked(root: Path, place: Path) -> Path:
    """The renderer's sources at another place, as a reinstalled extension has them."""
    for name in (
        "__init__.py",
        "errors.py",
        "protocol.py",
        "compilation",
        "delivery",
        "head_sync",
        "portrait_sync",
        "renderer",
        "workspace",
    ):
        source, target = root / "backend" / name, place / "backend" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    return place


def start(place: Path, kernels: Path, home: Path | None = None) -> subprocess.Popen:
    environment = {**os.environ, "SYNCTALK_KERNELS": str(kernels), "HOME": str(home or place)}
    return subprocess.Popen(
        [sys.executable, "-c", SMALL], cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> tuple[float, int]:
    """The kernel's answer, and the functions that were compiled."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    answer, compiled = out.split()
    return float(answer), int(compiled)


@pytest.fixture(scope="module")
def kept(root, tmp_path_factory) -> Path:
    """A folder of kernels that one place has filled."""
    kernels = tmp_path_factory.mktemp("kernels")
    assert finish(start(unpacked(root, tmp_path_factory.mktemp("first")), kernels)) == (0.25, 1)
    return kernels


@pytest.fixture
def kernels(kept, tmp_path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "kernels"))


def test_another_place_and_another_home_find_the_same_kernels(root, kernels, tmp_path):
    place = unpacked(root, tmp_path / "reinstalled")
    assert finish(start(place, kernels, home=tmp_path / "other")) == (0.25, 0)
    assert not list(place.glob("**/*.nb[ci]"))


def test_a_change_in_a_file_that_is_inlined_elsewhere_compiles_again(root, kernels, tmp_path):
    place = unpacked(root, tmp_path / "changed")
    interface = place / "backend/renderer/field/kernels/interface.py"
    text = interface.read_text("utf-8")
    assert "FADE_CELLS = 0.5\n" in text
    interface.write_text(text.replace("FADE_CELLS = 0.5\n", "FADE_CELLS = 0.25\n"), "utf-8")
    assert finish(start(place, kernels)) == (0.5, 1)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-100], lambda data: data[:99] + b"x" + data[100:], lambda _: b""]
)
def test_a_damaged_file_is_compiled_again_and_replaced(root, kernels, tmp_path, damage):
    (file,) = kernels.glob("*/*.nbc")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    place = unpacked(root, tmp_path / "place")
    assert finish(start(place, kernels)) == (0.25, 1)
    assert finish(start(place, kernels)) == (0.25, 0)


def test_where_nothing_can_be_written_it_is_compiled_in_memory(root, tmp_path):
    no_folder = tmp_path / "a file"
    no_folder.write_bytes(b"")
    assert finish(start(unpacked(root, tmp_path / "place"), no_folder)) == (0.25, 1)


def test_where_the_environment_is_read_only_the_users_folder_gets_new_kernels(tmp_path, monkeypatch):
    read_only, users = tmp_path / "environment", tmp_path / "user"
    read_only.write_bytes(b"")  # no folder can be made in it
    monkeypatch.setattr(kernel_cache, "folders", lambda: [read_only, users])

    def twice(number):
        return 2 * number

    before = kernel_cache.compiled_now
    assert kernel_cache.njit()(twice)(4) == 8 and kernel_cache.njit()(twice)(4) == 8
    assert kernel_cache.compiled_now == before + 1
    assert len(list(users.glob("*/*twice-*.nbc"))) == 1


def test_processes_at_the_same_time_leave_whole_files(root, tmp_path):
    place, kernels = unpacked(root, tmp_path / "place"), tmp_path / "kernels"
    assert [finish(process)[0] for process in [start(place, kernels) for _ in range(3)]] == [0.25] * 3
    assert [path.suffix for path in kernels.glob("*/*")] == [".nbc"]
    assert finish(start(place, kernels)) == (0.25, 0)


def test_kernels_lie_beside_the_environment_and_else_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("SYNCTALK_KERNELS", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert kernel_cache.folders() == [tmp_path / "cache/SyncTalk/kernels"]
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment/synctalk-environment.json").write_text("{}")
    assert kernel_cache.folders() == [tmp_path / "environment/kernels", tmp_path / "cache/SyncTalk/kernels"]


def test_kernels_of_sources_that_nobody_ran_for_long_are_removed_when_others_come(tmp_path):
    old, recent = tmp_path / "old", tmp_path / "recent"
    for folder in (old, recent):
        folder.mkdir()
        (folder / "a.nbc").write_bytes(b"x")
    os.utime(old, (0, 0))
    kernel_cache._write(tmp_path / "new" / "b.nbc", b"content")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "recent"]


def test_the_key_covers_every_source_that_compiled_code_reads():
    names = {path.resolve() for path in kernel_cache.SOURCES}
    for path in names:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = path.parents[node.level - 1]
                modules = [node.module] if node.module else [alias.name for alias in node.names]
                for module in modules:
                    file = folder.joinpath(*module.split("."))
                    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
                    assert not file.is_file() or file.resolve() in names, f"{path.name} reads {file}"


def test_every_file_with_kernels_is_among_the_sources():
    folder = Path(kernel_cache.__file__).parents[1]
    compiled = {path for path in folder.rglob("*.py") if "kernel_cache import njit" in path.read_text("utf-8")}
    assert compiled and not compiled - set(kernel_cache.SOURCES)


SIGNATURES = """
import json
from backend.compilation import kernel_cache
from backend.renderer.field.kernels import compositing, drawing, marching, shading, tile, tile_gradients
from backend.renderer.gaussians.kernels import numba_bins, numba_blend, numba_driven, numba_unblend, numba_unproject
found = {}
gaussians = numba_bins, numba_blend, numba_driven, numba_unblend, numba_unproject
for module in (compositing, drawing, marching, shading, tile, tile_gradients, *gaussians):
    for name, value in vars(module).items():
        if hasattr(value, "signatures") and value.py_func.__module__ == module.__name__:
            found[f"{module.__name__}.{name}"] = sorted(map(str, value.signatures))
print(json.dumps(found))
"""

TRAIN_AND_DRAW = """
import sys
import numpy as np
from pathlib import Path
from backend.commands import train
from backend.progress import Reporter
from backend.training.checkpoints import load_for_rendering
from backend.workspace.store import Workspace
root = Path(sys.argv[1])
train.run(train.Options(workspace=root, steps=352), Reporter())
workspace = Workspace.open(root)
tracking = workspace.head_track()
for kind in ("field", "gaussians"):
    renderer = load_for_rendering(workspace, Reporter(), kind).renderer()
    renderer.render(tracking.camera.scaled(48, 48), tracking.head_to_camera[5], tracking.blendshapes[5])
"""


DRAW_GAUSSIANS = """
import numpy as np
from backend.renderer.gaussians.kernels import View, get_rasteriser
from backend.workspace.camera import Camera
random = np.random.default_rng(0)
attributes, order, mattes = random.standard_normal((14, 50)), random.permutation(50), random.random((3, 50), np.float32)
mattes.flags.writeable = False
pose = np.eye(4)
pose[2, 3] = 5
view = View(Camera(20, 30, 30.0, (10.0, 15.0)), pose, 0.1)
for threads in (1, 2):
    rasteriser = get_rasteriser("numba", threads=threads)
    rasteriser.draw(attributes[:, ::-1], order, view, depth=True, mattes=mattes, before=(attributes, view))
    rasteriser.draw(attributes, order, view)
    rasteriser.backward(random.random((30, 20, 4)))
    bases = random.random((7, 3, 20)), random.random((7, 2, 30))
    head = rasteriser.prepare(attributes, *bases, random.random((3, 2, 50)), order)
    rasteriser.draw_head(head, random.random((2, 3)), random.random((2, 2)), random.random(2), view, depth=True, mattes=mattes)
"""


def _signatures(root: Path, code: str, *arguments: object) -> dict[str, list[str]]:
    """What a process that ran `code` has compiled or read, by function."""
    command = [sys.executable, "-c", code + SIGNATURES, *map(str, arguments)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def compiled(root) -> dict[str, list[str]]:
    """What the installation compiles."""
    return _signatures(root, "from backend.renderer.precompile import precompile\nprecompile()\n")


def test_what_gaussians_call_is_compiled_by_the_installation(root, compiled):
    called = _signatures(root, DRAW_GAUSSIANS)
    entries = "project_and_count", "place_lists", "fill_lists", "pack_passes", "blend_part", "blend_passes_part"
    entries += "unblend_part", "unproject_part", "fill_axes", "drive_and_count"
    for entry in entries:
        (given,) = (found for name, found in called.items() if name.endswith(f".{entry}"))
        assert len(given) == 1
    for name, given in called.items():
        assert set(given) <= set(compiled[name]), name


def test_what_training_and_rendering_call_is_compiled_by_the_installation(root, trained, compiled):
    called = {name: given for name, given in _signatures(root, TRAIN_AND_DRAW, trained).items() if ".field." in name}
    assert sum(map(len, called.values())) == 8
    for name, given in called.items():
        assert set(given) <= set(compiled[name]), name
