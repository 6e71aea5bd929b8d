"""`python3 install remove`: delete what `python3 install` made, and nothing else.

What Blender's “Install” made for this user is named, and deleted only with `--user`: other checkouts and Blender use it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from . import backend_environment, environment
from .errors import DiskError


def _marked(folder: Path) -> list[Path]:
    return sorted(marker.parent for marker in folder.glob(f"*/{environment.MARKER}"))


def run(root: Path, environments: Path, yes: bool, user: bool = False) -> int:
    """Name what goes, ask unless `yes`, and delete it; with `user` also the environment that Blender's button made."""
    folders = [*_marked(environments), *filter(Path.is_dir, [root / "dist"])]
    users = _marked(backend_environment.user_root())
    if user:
        folders += users
    elif users:
        print(f"{users[0]}, which Blender's Install button made, is kept: --user deletes it as well.")
    if not folders:
        print("There is nothing to remove.")
        return 0
    print("To be deleted:", *folders, sep="\n  ")
    if not yes and not _agreed():
        print("Nothing was deleted.")
        return 1
    for folder in folders:
        if (folder / environment.MARKER).is_file():
            environment.remove(folder)
        else:
            _remove_zips(folder)
    return 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        print("Add --yes to delete them without a question.")
        return False
    return input("Delete them? [y/N] ").strip().lower() in ("y", "yes")


def _remove_zips(folder: Path) -> None:
    try:
        for built in folder.glob("synctalk-*.zip"):
            built.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise DiskError(f"{error.filename} cannot be deleted ({error.strerror}): change its permissions.") from error
