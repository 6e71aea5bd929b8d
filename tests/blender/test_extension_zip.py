"""The extension's zip holds what ships and nothing else, and Blender's own tool takes it."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from install import errors, extension

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The zip, built and validated by the tool inside this environment's bpy."""
    return extension.build(ROOT, Path(sys.executable), tmp_path_factory.mktemp("dist"))


def test_the_zip_is_named_after_the_version(built):
    assert built.name == f"synctalk-{extension.version(ROOT)}.zip"
    assert [path.name for path in built.parent.iterdir()] == [built.name]


def test_the_zip_holds_the_rooms_that_ship_and_nothing_else(built):
    names = zipfile.ZipFile(built).namelist()
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "backend/protocol.py"} <= set(names)
    assert {"install/backend_environment.py", "install/locks/backend.txt", "install/locks/uv.txt"} <= set(names)
    assert {name.partition("/")[0] for name in names} <= set(extension.SHIPPED)
    unwanted = ("tests/", "docs/", ".venvs", "__pycache__", "install/locks/blender", "install/locks/tools")
    assert not [name for name in names if any(part in name for part in unwanted)]


def test_a_manifest_that_blender_rejects_is_reported_in_its_words_and_leaves_no_zip(tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "__init__.py").write_text("")
    manifest = (ROOT / "blender_manifest.toml").read_text("utf-8")
    (checkout / "blender_manifest.toml").write_text(manifest.replace('schema_version = "1.0.0"', ""))
    with pytest.raises(errors.PackageError, match=r"Blender's `extension build` rejects .*schema_version"):
        extension.build(checkout, Path(sys.executable), tmp_path / "dist")
    assert not any((tmp_path / "dist").iterdir())
