"""Fixtures for the Blender side. Those that need `bpy` import it when asked for: the rest runs in any Python."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
EXTENSION = "bl_ext.user_default.synctalk"
_PACKAGE = "synctalk_checkout"

# Before anybody imports bpy, which reads it then: tests stay off the user's own settings.
_resources = Path(tempfile.mkdtemp(prefix="synctalk-blender-"))
os.environ["BLENDER_USER_RESOURCES"] = str(_resources)
for _name in ("XDG_DATA_HOME", "LOCALAPPDATA"):  # and off a backend that this user has installed
    os.environ[_name] = str(_resources / "data")
_in_blender = importlib.util.find_spec("bpy") is not None


@pytest.fixture(scope="session")
def import_part():
    """Import a module of the checkout, such as `synctalk_blender.client.shared`, that needs no `bpy`.

    The add-on imports relatively (`from ..backend import protocol`), as an extension must; so the checkout is made a
    package, whose own `__init__` (which needs bpy) is left out.
    """
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(ROOT)]
    sys.modules[_PACKAGE] = package
    return lambda name: importlib.import_module(f"{_PACKAGE}.{name}")


@pytest.fixture(scope="session")
def _enabled_addon():
    bpy = pytest.importorskip("bpy", reason="needs the Blender environment")
    repository = _resources / "extensions" / "user_default"
    repository.mkdir(parents=True, exist_ok=True)
    (repository / "synctalk").symlink_to(ROOT, target_is_directory=True)
    bpy.ops.preferences.addon_enable(module=EXTENSION)
    assert EXTENSION in bpy.context.preferences.addons, "the add-on could not be enabled: see the output above"
    yield sys.modules[EXTENSION]
    bpy.ops.preferences.addon_disable(module=EXTENSION)


@pytest.fixture
def addon(_enabled_addon):
    """The enabled add-on's package, from the checkout as it is, in an empty scene."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    return _enabled_addon


@pytest.fixture
def kit(addon, tmp_path):
    """The add-on in an empty scene, with what its tests share."""
    from .scene_kit import Kit

    return Kit(addon.__name__, tmp_path)


@pytest.fixture
def client(kit, monkeypatch):
    """The backend's client, with `head_backend.py` for a backend."""
    module = kit.use_backend(monkeypatch)
    yield module
    module.close_shared_backend()


@pytest.fixture
def real_backend(addon, python, monkeypatch):
    """The backend itself, in its own environment."""
    monkeypatch.setenv("SYNCTALK_BACKEND_PYTHON", str(python))
    yield
    importlib.import_module(f"{addon.__name__}.synctalk_blender.client.shared").close_shared_backend()


@pytest.fixture
def root(kit):
    """A tracked workspace."""
    return kit.workspace()


@pytest.fixture
def rig(kit, root):
    """The head of `root` in the scene."""
    return kit.import_tracking(root)


@pytest.fixture
def rendered_rig(kit, client):
    """A head in the scene, drawn by the engine without dither."""
    found = kit.import_tracking(kit.workspace())
    kit.scene.render.engine = "SYNCTALK"
    kit.scene.render.dither_intensity = 0.0
    return found


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """End at once: with anything of Blender left, some versions crash (4.2) or hang (4.5) when the interpreter ends."""
    shutil.rmtree(_resources, ignore_errors=True)
    if _in_blender:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config._synctalk_status)


def pytest_sessionfinish(session, exitstatus):
    session.config._synctalk_status = int(exitstatus)


def pytest_configure(config):
    config._synctalk_status = 4  # pytest's own: the command line was wrong and no session began


@pytest.fixture(scope="session")
def python() -> Path:
    """The backend's Python."""
    named = os.environ.get("SYNCTALK_BACKEND_PYTHON")
    places = (
        [Path(named)] if named else [ROOT / ".venvs/backend/bin/python", ROOT / ".venvs/backend/Scripts/python.exe"]
    )
    found = next((place for place in places if place.exists()), None)
    if found is None:
        pytest.skip("needs the backend's environment: python3 install backend")
    return found
