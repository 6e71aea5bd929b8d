"""The lock files cover what is promised, and carry nothing of the machine that made them."""

from __future__ import annotations

import ast
import re

import pytest

from install import backend_environment, blender_environment, checkout, locks, relock, torch_wheel
from install.errors import PackageError

FILES = sorted(locks.FOLDER.glob("*.txt"))
PLATFORMS = ("linux", "windows", "macos")
ENVIRONMENTS = [
    *(("backend", python) for python in backend_environment.PYTHON_VERSIONS),
    *((f"blender-{version}", blender_environment.PYTHON_VERSION) for version in blender_environment.VERSIONS),
    ("tools", blender_environment.PYTHON_VERSION),
    ("uv", (3, 11)),
]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("environment", "python"), ENVIRONMENTS)
def test_every_platform_and_python_has_a_lock(environment, python, platform):
    lock = locks.read(environment, python, platform=platform)
    assert 0 < lock.packages <= len(lock.text.splitlines())
    assert lock.download_size > 1000 * lock.packages


def test_no_environment_has_a_lock_file_to_itself_for_each_platform():
    assert [path.name for path in FILES] == ["backend.txt", "blender.txt", "tools.txt", "uv.txt"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_lock_pins_every_wheel_by_checksum(path):
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all("--hash=sha256:" in line for line in lines)
    pins = [locks.PIN.fullmatch(line).group(1, 3) for line in lines if not line.startswith("bpy==")]
    assert len(pins) == len(set(pins))


@pytest.mark.parametrize("version", blender_environment.VERSIONS)
def test_each_blender_has_its_own_bpy_and_no_other(version):
    text = locks.read(f"blender-{version}", blender_environment.PYTHON_VERSION).text
    assert [line.split(" ")[0][: len(f"bpy=={version}.")] for line in text.splitlines() if "bpy" in line] == [
        f"bpy=={version}."
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_lock_names_no_host_and_no_path(path):
    assert not re.search(r"://|/tmp|/home|/root|index-url|find-links", path.read_text("utf-8"))


def test_the_backend_lock_holds_torchs_needs_but_not_torch():
    names = {line.partition("==")[0] for line in locks.read("backend", (3, 11)).text.splitlines()}
    needed = {"filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions", "mpmath", "setuptools"}
    assert needed <= names
    assert "pip" in names  # for what a user adds
    assert "torch" not in names and not any(name.startswith("nvidia") for name in names)
    assert "bpy" not in names


@pytest.mark.parametrize("package", locks.EXTRAS)
def test_the_environment_of_an_extra_is_tried_with_the_module_that_the_backend_imports(
    root, tmp_path, monkeypatch, package
):
    monkeypatch.setattr(checkout, "_make", lambda spec: spec)
    spec = checkout.make_with_extra(tmp_path, package)
    assert f"\n{package}==" in f"\n{spec.locked((3, 11)).text}"
    trees = [ast.parse(path.read_text("utf-8")) for path in (root / "backend").rglob("*.py")]
    imports = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert spec.imports[-1] in {alias.name for node in imports for alias in node.names}


def test_a_line_that_is_no_package_is_named(tmp_path):
    (tmp_path / "lock.txt").write_text("# fine\nnumpy>=1\n")
    with pytest.raises(PackageError, match="is damaged at line 2"):
        locks.read("lock", (3, 11), tmp_path)


def test_a_python_that_has_no_lock_is_named():
    with pytest.raises(PackageError, match=r"Python 3\.9 is not supported"):
        locks.read("backend", (3, 9))


def test_line_ends_do_not_change_the_lock(tmp_path):
    (tmp_path / "tools.txt").write_bytes((locks.FOLDER / "tools.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert locks.read("tools", (3, 11), tmp_path).sha256 == locks.read("tools", (3, 11)).sha256


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_cpu_installation_never_asks_the_package_index_for_cuda(monkeypatch, platform):
    monkeypatch.setattr(torch_wheel.platforms, "name", lambda: platform)
    for source in torch_wheel.sources("cpu"):
        assert "--no-deps" in source.arguments
        if platform != "macos" and not source.local:
            assert source.requirement.endswith("+cpu")
            assert source.arguments[-1].endswith("/whl/cpu")


def test_the_sizes_shown_beforehand_are_the_locks_and_torchs():
    cpu, cuda = backend_environment.size_estimate("cpu"), backend_environment.size_estimate("cuda")
    assert 300e6 < cpu.download < 800e6 < cuda.download
    assert cpu.installed > 2 * cpu.download
    assert re.fullmatch(r"\d+ MB to download, \d+\.\d GB on disk", str(cpu))


def test_a_wheel_of_no_size_is_not_locked():
    wheel = {"url": "https://index/alpha-1.0.whl", "size": 1001}
    assert relock._size(wheel) == 1001
    with pytest.raises(PackageError, match=r"alpha-1\.0\.whl is listed with 10 bytes"):
        relock._size({**wheel, "size": 10})
