"""The extension's zip: the rooms that ship, built and validated by Blender's own tool."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .errors import DiskError, InstallError, PackageError
from .process import call

SHIPPED: tuple[str, ...] = ("__init__.py", "blender_manifest.toml", "LICENSE", "README.md")
SHIPPED += ("backend", "install", "ops", "panels", "synctalk_blender")
"""What goes into the zip, of what git tracks. Tests, documents and examples stay out."""

_NOT_FOR_USERS = ("install/locks/blender", "install/locks/tools")


def version(root: Path) -> str:
    """The extension's version, as the manifest has it."""
    found = re.search(r'^version = "([^"]+)"$', (root / "blender_manifest.toml").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise PackageError(f"{root / 'blender_manifest.toml'} has no version: add one.")
    return found[1]


def build(root: Path, python: Path, out: Path) -> Path:
    """Build `<out>/synctalk-<version>.zip` and return its path; nothing is left there unless it validates.

    Args:
        root: the checkout.
        python: of an environment that holds `bpy`, for the tool is part of Blender.
        out: folder of the zip.

    Raises:
        PackageError: the tool rejects the manifest or the zip; its words are in the message.
        DiskError: `out` cannot be written to.
    """
    tool = _tool(python)
    target = out / f"synctalk-{version(root)}.zip"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as folder:
            source, built = Path(folder, "synctalk"), Path(folder, target.name)
            for file in shipped_files(root):
                (source / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / file, source / file)
            _run(python, tool, "build", "--source-dir", source, "--output-filepath", built)
            _run(python, tool, "validate", built)
            os.replace(built, target)
    except OSError as error:
        raise DiskError(
            f"{error.filename or out} cannot be written to ({error.strerror}): choose another folder with --out."
        ) from error
    return target


def shipped_files(root: Path) -> list[str]:
    """The files of the zip, relative to `root`, with `/`: those git tracks, or all of them where there is no git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--", *SHIPPED], cwd=root, capture_output=True, check=True
        ).stdout.decode("utf-8")
        files = [name for name in listed.split("\0") if name and (root / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for name in SHIPPED for path in (root / name, *(root / name).glob("**/*"))]
        files = [path.relative_to(root).as_posix() for path in paths if path.is_file() and path.suffix != ".pyc"]
    return sorted(name for name in files if not name.startswith(_NOT_FOR_USERS))


def _tool(python: Path) -> Path:
    found = sorted(python.parent.parent.glob("[Ll]ib/**/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    if not found:
        raise InstallError(
            f"Blender's extension tool is missing beside {python}: remove that environment and try again."
        )
    return found[0]


def _run(python: Path, tool: Path, *arguments: str | Path) -> None:
    done = call([python, "-I", tool, *arguments], capture_output=True)
    if done.returncode:
        printed = " ".join((done.stdout + done.stderr).split())
        raise PackageError(f"Blender's `extension {arguments[0]}` rejects the extension ({printed}): correct that.")
