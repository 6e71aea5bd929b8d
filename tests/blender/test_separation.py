"""Blender's side never depends on torch, or on anything else of the backend's environment."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("synctalk_blender", "ops", "panels")
BACKENDS_PACKAGES = ("torch", "mediapipe", "numba", "cv2", "av", "scipy", "librosa")

_IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
from pathlib import Path

root = Path(sys.argv[1])
spec = importlib.util.spec_from_file_location("synctalk", root / "__init__.py", submodule_search_locations=[str(root)])
package = importlib.util.module_from_spec(spec)
sys.modules["synctalk"] = package
spec.loader.exec_module(package)
for room in ("synctalk_blender", "ops", "panels"):
    found = importlib.import_module(f"synctalk.{room}")
    for module in pkgutil.walk_packages(found.__path__, found.__name__ + "."):
        importlib.import_module(module.name)
        print(module.name)
import os
loaded = [name for name in sys.argv[2].split(",") if name in sys.modules]
print("LOADED", *loaded, flush=True)
os._exit(0)  # classes that are registered at exit crash Blender 4.2
"""


@pytest.mark.parametrize("package", BACKENDS_PACKAGES)
def test_the_backends_packages_are_not_in_blenders_environment(package):
    assert importlib.util.find_spec(package) is None


def test_importing_every_module_of_blenders_rooms_leaves_torch_out(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, str(ROOT), ",".join(BACKENDS_PACKAGES)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**__import__("os").environ, "BLENDER_USER_RESOURCES": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "LOADED"
    assert any(line.startswith("synctalk.ops.") for line in lines)


def test_no_file_of_blenders_rooms_imports_a_package_of_the_backend():
    for room in ROOMS:
        for path in sorted((ROOT / room).glob("**/*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [node.module]
                used = {name.partition(".")[0] for name in names} & set(BACKENDS_PACKAGES)
                assert not used, f"{path.relative_to(ROOT)} imports {sorted(used)}"


def test_of_the_backend_blenders_rooms_import_the_protocol_and_the_workspace():
    allowed = {"backend.protocol", "backend.workspace"}
    for room in ROOMS:
        for path in sorted((ROOT / room).glob("**/*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.ImportFrom) or not node.level:
                    continue
                package = path.relative_to(ROOT).parts[: -node.level]
                modules = [".".join([*package, *filter(None, [node.module])])]
                if modules == ["backend"]:
                    modules = [f"backend.{alias.name}" for alias in node.names]
                used = {".".join(name.split(".")[:2]) for name in modules if name.partition(".")[0] == "backend"}
                assert used <= allowed, f"{path.relative_to(ROOT)} imports {sorted(used - allowed)}"
