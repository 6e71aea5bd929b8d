"""The backend never depends on Blender."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


def imports_of(path: Path) -> set[str]:
    """The top-level packages that a file imports absolutely, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


BLENDERS_MODULES = {"bpy", "bpy_extras", "bmesh", "mathutils", "gpu", "blf", "aud", "bl_ui"}
BLENDERS_ROOMS = {"ops", "panels", "synctalk_blender"}


def test_bpy_is_not_in_the_backends_environment():
    assert importlib.util.find_spec("bpy") is None


def test_only_the_actors_scripts_for_blender_import_bpy(root):
    for path in sorted((root / "backend").glob("**/*.py")):
        used = imports_of(path) & (BLENDERS_MODULES | BLENDERS_ROOMS)
        runs_inside_blender = path.is_relative_to(root / "backend/actor")
        assert not used or runs_inside_blender, f"{path.relative_to(root)} imports {sorted(used)}"


def test_importing_the_actor_needs_no_bpy(root):
    importlib.import_module("backend.actor")


@pytest.mark.parametrize(
    "name", ["protocol", "errors", "progress", "models", "commands/__init__", "commands/option", "cli"]
)
def test_what_blender_imports_of_the_backend_needs_the_standard_library_alone(root, name):
    path = root / "backend" / f"{name}.py"
    at_import = {
        alias.name.partition(".")[0] if isinstance(node, ast.Import) else (node.module or "").partition(".")[0]
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level == 0)
        for alias in node.names
    }
    assert at_import <= sys.stdlib_module_names


_IMPORT_WORKSPACE = """
import importlib, pkgutil, sys
import backend.workspace
for module in pkgutil.iter_modules(backend.workspace.__path__):
    importlib.import_module(f"backend.workspace.{module.name}")
print(*sys.modules)
"""


def test_the_workspace_imports_numpy_and_the_standard_library_alone(root):
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_WORKSPACE], cwd=root, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "backend.workspace.store" in loaded
    assert not loaded & {"scipy", "cv2", "torch"}
    others = {name for name in loaded if name.startswith("backend.") and not name.startswith("backend.workspace")}
    assert others <= {"backend.errors", "backend.protocol"}


def test_the_installer_needs_the_standard_library_alone(root):
    for path in sorted((root / "install").glob("*.py")):
        assert imports_of(path) <= sys.stdlib_module_names | {"backend", "install"}, path.name


def relative_imports_of(path: Path, package: list[str]) -> set[str]:
    """The modules of the backend that a file imports, wherever in it: `backend.room.module`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = [*base, *(node.module or "").split(".")] if node.module else base
            found |= {".".join([*module, alias.name]) for alias in node.names}
    return found


def test_face_sync_knows_no_other_stage_nor_its_own_research(root):
    shared = {"media", "workspace", "protocol", "errors", "progress", "models"}
    for path in sorted((root / "backend/face_sync").glob("**/*.py")):
        package = list(path.relative_to(root).parent.parts)
        for name in relative_imports_of(path, package):
            _, room, *rest = name.split(".")
            if "research" in package:
                assert room not in {"actor", "portrait_sync", "renderer", "training"}, f"{path.name} imports {name}"
            else:
                assert room in shared or (room == "face_sync" and rest[0] != "research"), f"{path.name} imports {name}"
