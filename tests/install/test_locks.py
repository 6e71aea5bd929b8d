"""The lock files cover what is promised, and carry nothing of the machine that made them."""

from __future__ import annotations

import re

import pytest

from install import backend_environment, blender_environment, locks, torch_wheel
from install.errors import PackageError

FILES = sorted(locks.FOLDER.glob("*-*.txt"))
PLATFORMS = ("linux", "windows", "macos")


def test_every_platform_and_python_has_a_lock():
    backend = {
        f"backend-{p}-{major}.{minor}.txt" for p in PLATFORMS for major, minor in backend_environment.PYTHON_VERSIONS
    }
    blender = {f"blender-{version}-{p}-3.11.txt" for p in PLATFORMS for version in blender_environment.VERSIONS}
    assert backend | blender <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_lock_pins_every_wheel_by_checksum_and_size(path):
    lock = locks.read(path)
    assert all(package.size > 1000 for package in lock.packages)
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all("--hash=sha256:" in line for line in lines)
    names = [package.name for package in lock.packages]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_lock_names_no_host_and_no_path(path):
    assert not re.search(r"://|/tmp|/home|/root|index-url|find-links", path.read_text("utf-8"))


@pytest.mark.parametrize("path", [p for p in FILES if p.name.startswith("backend-")], ids=lambda path: path.name)
def test_the_backend_lock_holds_torchs_needs_but_not_torch(path):
    names = {package.name for package in locks.read(path).packages}
    needed = {"filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions", "mpmath", "setuptools"}
    assert needed <= names
    assert "torch" not in names and not any(name.startswith("nvidia") for name in names)
    assert "bpy" not in names


def test_a_line_that_is_no_package_is_named(tmp_path):
    path = tmp_path / "lock.txt"
    path.write_text("# fine\nnumpy>=1\n")
    with pytest.raises(PackageError, match="line 2 is not a locked package"):
        locks.read(path)


def test_line_ends_do_not_change_the_lock(tmp_path):
    text = FILES[0].read_bytes()
    other = tmp_path / "windows.txt"
    other.write_bytes(text.replace(b"\n", b"\r\n"))
    assert locks.read(other).sha256 == locks.read(FILES[0]).sha256


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_cpu_installation_never_asks_the_package_index_for_cuda(monkeypatch, platform):
    monkeypatch.setattr(torch_wheel.platforms, "name", lambda: platform)
    for source in torch_wheel.sources("cpu"):
        assert "--no-deps" in source.arguments
        if platform != "macos" and not source.local:
            assert source.requirement.endswith("+cpu")
            assert source.arguments[-1].endswith("/whl/cpu")


def test_the_sizes_told_beforehand_are_the_locks_and_torchs():
    cpu, cuda = backend_environment.size_estimate("cpu"), backend_environment.size_estimate("cuda")
    assert 300e6 < cpu.download < 800e6 < cuda.download
    assert cpu.installed > 2 * cpu.download
    assert re.fullmatch(r"\d+ MB to download, \d+\.\d GB on disk", str(cpu))
