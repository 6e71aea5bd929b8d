"""The disks that an installation writes to: their room, and what goes wrong with them."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from .errors import DiskError
from .progress import megabytes


def size_of(folder: Path) -> int:
    """Bytes of the files in `folder`, which others may add to and take from meanwhile."""
    total = 0
    for inside, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):
                total += Path(inside, file).lstat().st_size
    return total


def check_space(folder: Path, needed: int, otherwise: str) -> None:
    """Raise `DiskError` where `folder` cannot come to hold `needed` bytes; what it holds already counts.

    Args:
        otherwise: what to do instead of freeing space.
    """
    present, free = size_of(folder), shutil.disk_usage(_nearest(folder)).free
    if free + present < needed:
        raise DiskError(
            f"The disk of {folder} has {megabytes(free)} free and the installation needs {megabytes(needed - present)}: "
            f"free some space or {otherwise}."
        )


def is_same(a: Path, b: Path) -> bool:
    """Whether two folders, there or not, are on one file system."""
    return _nearest(a).stat().st_dev == _nearest(b).stat().st_dev


def _nearest(folder: Path) -> Path:
    """`folder`, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())


def full(folder: Path) -> str:
    """The sentence for a disk that became full."""
    return f"The disk became full in {folder}: free some space and run the same command again."


def from_system(error: OSError, folder: Path) -> DiskError:
    """What the system reports of a file in `folder`, as a sentence."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return DiskError(full(folder))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DiskError(f"{folder} cannot be written to: choose another folder or change its permissions.")
    return DiskError(
        f"{error.filename or folder}: {error.strerror or error}; check the disk and run the same command again."
    )
