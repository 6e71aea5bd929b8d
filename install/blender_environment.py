"""The environments that hold `bpy`, Blender as a Python module: for the demo and the tests, never for the add-on."""

from __future__ import annotations

from pathlib import Path

from .environment import EnvironmentSpec

VERSIONS = ("5.0", "4.5", "4.2")
"""The Blender versions that have a lock file; the first is the one that `.venvs/blender` holds."""

PYTHON_VERSION = (3, 11)
"""What these versions of Blender are built for; a wheel of `bpy` fits exactly one."""


def folder_name(version: str = VERSIONS[0]) -> str:
    """ "blender" for the default version, "blender-4.5" for another one."""
    return "blender" if version == VERSIONS[0] else f"blender-{version}"


def spec(root: Path, version: str = VERSIONS[0]) -> EnvironmentSpec:
    """What `<root>/blender…` is to hold."""
    return EnvironmentSpec(
        folder=root / folder_name(version),
        lock=f"blender-{version}",
        versions=(PYTHON_VERSION,),
        imports=("bpy",),
        system_libraries="bpy",
        purpose=f"the bpy package of Blender {version}",
    )
