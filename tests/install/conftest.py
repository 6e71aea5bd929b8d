"""Tiny wheels and lock files, so that real installations take seconds and no network."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from install import environment, locks, platforms, uv
from install.environment import EnvironmentSpec

Wheel = Callable[..., Path]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that packages are taken from, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


@pytest.fixture(scope="session")
def uv_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uv that made this environment, or another one."""
    root = Path(sys.prefix).parent
    if not uv.is_there(root):
        root = tmp_path_factory.mktemp("uv")
        list(uv.fetch(root, Path(sys.executable)))
    return root / uv.FOLDER


def put_uv(root: Path, uv_folder: Path) -> None:
    """Put uv where environments in `root` look for it, without a download."""
    root.mkdir(exist_ok=True)
    if sys.platform == "win32":
        shutil.copytree(uv_folder, root / uv.FOLDER)
    else:
        (root / uv.FOLDER).symlink_to(uv_folder)


@pytest.fixture
def spec(tmp_path: Path, wheels: Path, uv_folder: Path) -> EnvironmentSpec:
    """An environment "tiny" of this Python, whose lock `write_lock` writes."""
    (tmp_path / "locks").mkdir()
    put_uv(tmp_path / "environments", uv_folder)
    return EnvironmentSpec(
        folder=tmp_path / "environments" / "tiny",
        lock="tiny",
        versions=(sys.version_info[:2],),
        python=Path(sys.executable),
        locks_folder=tmp_path / "locks",
        purpose="the test",
    )


@pytest.fixture(scope="session")
def _made_once(tmp_path_factory: pytest.TempPathFactory, uv_folder: Path) -> Path:
    """An environment with the wheel "alpha" 1.0 in it, which tests copy: making one takes seconds."""
    place = tmp_path_factory.mktemp("made_once")
    with pytest.MonkeyPatch.context() as patch:
        folder = place / "wheels"
        folder.mkdir()
        patch.setenv("PIP_FIND_LINKS", str(folder))
        patch.setenv("PIP_NO_INDEX", "1")
        (place / "locks").mkdir()
        put_uv(place / "made", uv_folder)
        made = EnvironmentSpec(place / "made/tiny", "tiny", (sys.version_info[:2],), locks_folder=place / "locks")
        write_lock(made, make_wheel(folder, "alpha"))
        list(environment.install(made))
    return made.folder


@pytest.fixture
def ready(spec: EnvironmentSpec, wheels: Path, _made_once: Path) -> EnvironmentSpec:
    """`spec`, installed: it holds the wheel "alpha" 1.0."""
    write_lock(spec, make_wheel(wheels, "alpha"))
    shutil.copytree(_made_once, spec.folder, symlinks=True)
    assert environment.state(spec) == "ready"
    return spec


@pytest.fixture
def begun(ready: EnvironmentSpec) -> EnvironmentSpec:
    """`spec`, whose installation was interrupted right after the virtual environment was made."""
    shutil.rmtree(site_packages(ready) / "alpha")
    shutil.rmtree(site_packages(ready) / "alpha-1.0.dist-info")
    (ready.folder / environment.MARKER).write_text('{"complete": false}', "utf-8")
    return ready


def make_wheel(folder: Path, name: str, version: str = "1.0", files: int = 1, payload: int = 0) -> Path:
    """A wheel of one package with `files` modules, the first holding `VERSION` and a text of `payload` bytes."""
    info = f"{name}-{version}.dist-info"
    contents = {f"{name}/__init__.py": f'VERSION = "{version}"\n# {"x" * payload}\n'.encode()}
    contents |= {f"{name}/module_{i}.py": b"pass\n" for i in range(1, files)}
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in contents.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    with zipfile.ZipFile(path, "w") as archive:
        for inside, data in contents.items():
            archive.writestr(zipfile.ZipInfo(inside), data)  # without the time of day: the same wheel each time
    return path


def write_lock(spec: EnvironmentSpec, *made: Path, size: int | None = None, longest: int = 0) -> Path:
    """Lock `spec` to these wheels; `size` is what the lock says of all, else the truth."""
    path = locks.path_of(spec.lock, spec.locks_folder)
    total = sum(wheel.stat().st_size for wheel in made) if size is None else size
    python = ".".join(map(str, spec.versions[0]))
    lines = [f"# tiny {platforms.name()} {python}: {len(made)} packages, {total} bytes, longest path {longest}"]
    for wheel in made:
        name, version = wheel.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def site_packages(spec: EnvironmentSpec) -> Path:
    """Where the environment's packages are."""
    return next(environment.python_of(spec.folder).parent.parent.glob("[Ll]ib/**/site-packages"))


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
