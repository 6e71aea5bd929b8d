"""Fixtures for the Blender side. Those that need `bpy` import it when they are asked for, so that the rest runs in any Python."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
_PACKAGE = "synctalk_checkout"


@pytest.fixture(scope="session")
def import_part():
    """Import a module of the checkout, such as `synctalk_blender.backend_process`, that needs no `bpy`.

    The add-on imports relatively (`from ..backend import protocol`), as an extension must; so the checkout is made a package,
    whose own `__init__` (which needs bpy) is left out.
    """
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(ROOT)]
    sys.modules[_PACKAGE] = package
    return lambda name: importlib.import_module(f"{_PACKAGE}.{name}")
