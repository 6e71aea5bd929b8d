"""Complete files: written to a temporary name and renamed, so a kill leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import WorkspaceError, storage_error


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix; renamed to `path` when the block ends well, else removed.

    Raises:
        StorageError: the disk is full or the place is read-only.
    """
    temporary = path.with_name(f".{path.stem}.tmp-{os.getpid()}{path.suffix}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        raise storage_error(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file is missing, damaged, or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_arrays(path: Path, **arrays: Any) -> None:
    """Write an `.npz` of plain arrays (no objects), atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: np.asarray(value) for name, value in arrays.items()})


PROCESS_AGAIN = "run process (Track in Blender) on this workspace"


def read_arrays(path: Path, remedy: str = PROCESS_AGAIN) -> dict[str, np.ndarray]:
    """Read an `.npz`; never unpickles.

    Args:
        remedy: what makes the file.

    Raises:
        WorkspaceError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except FileNotFoundError as error:
        raise WorkspaceError(f"{path} is missing: {remedy}.") from error
    except Exception as error:
        raise WorkspaceError(f"{path} is damaged ({error}): delete it and {remedy}.") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file's contents, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file) -> str:  # Python 3.10 has no hashlib.file_digest.
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """A short stable hash of JSON-able parts: what a stage's result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@contextlib.contextmanager
def held(folder: Path, holder: str) -> Iterator[None]:
    """Hold a folder for writing, and remove what a killed run left half written. The lock dies with its process.

    Args:
        holder: who else may hold it, for the error's sentence.

    Raises:
        WorkspaceError: another process holds it.
        StorageError: it cannot be written to.
    """
    try:
        file = open(folder / ".lock", "a+b")  # noqa: SIM115 (closed by the with below)
    except OSError as error:
        raise storage_error(error, folder) from error
    with file:
        try:
            _lock_file(file)
        except OSError as error:
            raise WorkspaceError(
                f"{folder} is in use by another {holder}: wait for it, or stop it, and try again."
            ) from error
        for stale in folder.rglob(".*.tmp-*"):  # the lock excludes other writers
            with contextlib.suppress(OSError):
                stale.unlink()
        yield


def _lock_file(file: BinaryIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
