"""Compiled kernels kept on disk, found by what they were compiled from and not by where the source is.

Numba's own cache stands beside the source, or is keyed by its path: every reinstallation of the extension and every other
home would compile again. It also knows only the file of the function itself, so that a change of a function that was
inlined from another file went unseen. Here the folder's name is a hash of all the kernels' sources, of Numba's and
Python's versions; a file's, of the signature and the processor. A file is written once, whole, by rename, so that
processes need no lock; what cannot be read or written is compiled in memory.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import prange
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

__all__ = ["KernelCache", "folders", "njit", "prange", "sources_key"]

FOLDER_VARIABLE = "SYNCTALK_KERNELS"
"""Names the one folder that compiled kernels are then kept in; for tests, benchmarks and shared computers."""

_ENVIRONMENT_MARKER = "synctalk-environment.json"  # install/environment.py writes it
_DIGEST_BYTES = 32
_UNUSED_S = 60 * 24 * 3600.0
_HERE = Path(__file__).resolve().parent
SOURCES = (*sorted(_HERE.glob("*.py")), _HERE.parent / "triplane.py")
"""Every file of ours whose code or constants end up in a compiled kernel."""

compiled_now = 0
"""Functions that this process compiled because no file of them was found."""


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` whose compiled code is kept in `folders()`."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        dispatcher._cache = KernelCache(function)
        return dispatcher

    return decorate


@cache
def sources_key() -> str:
    """The name of the folder of these sources: another for each change of them, of Numba, LLVM or Python."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.implementation.cache_tag}".encode())
    for path in SOURCES:
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def folders() -> list[Path]:
    """Where compiled kernels are looked for, in this order; the first that can be written to gets new ones.

    Beside the environment that `install` made, so that they come and go with it and serve each of its users; else, and
    where that is read-only, in the user's folder for caches.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return [Path(named)]
    user = _user_cache() / "kernels"
    environment = Path(sys.prefix)
    return [environment / "kernels", user] if (environment / _ENVIRONMENT_MARKER).is_file() else [user]


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "SyncTalk"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/SyncTalk"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "SyncTalk"


class KernelCache(_Cache):
    """What a dispatcher of Numba's asks for the compiled code of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(folders()[0] / sources_key())

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Remove what is kept of this function."""
        for folder in folders():
            for path in (folder / sources_key()).glob(f"{self._name}-*.nbc"):
                with suppress(OSError):
                    path.unlink()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The function compiled for `sig`, or None."""
        global compiled_now
        target_context.refresh()
        key = _key(sig, target_context.codegen())
        for folder in folders() if self._enabled else []:
            found = _read(folder / sources_key() / self._file(key), key)
            if found is not None:
                return CompileResult._rebuild(target_context, *found)
        compiled_now += 1
        return None

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep what was compiled for `sig`; where nothing can be written, it serves this process alone."""
        if not self._enabled or any(not lifted.can_cache for lifted in cres.lifted) or cres.library.has_dynamic_globals:
            return
        key = _key(sig, cres.codegen)
        content = dumps((key, cres._reduce()))
        for folder in folders():
            with suppress(OSError):
                _write(folder / sources_key() / self._file(key), content)
                return

    def _file(self, key: tuple[Any, ...]) -> str:
        signature, processor = key
        return f"{self._name}-{hashlib.sha256(f'{signature} {processor}'.encode()).hexdigest()[:16]}.nbc"


def _key(sig: Any, codegen: Any) -> tuple[Any, ...]:
    """Signature, and triple, name and features of the processor."""
    return sig, codegen.magic_tuple()


def _read(path: Path, key: tuple[Any, ...]) -> Any:
    """The compiled function in a file; None when there is none, it is damaged, or its name is another's by chance."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    _mark_used(path.parent)
    kept, reduced = pickle.loads(content)
    return reduced if kept == key else None


def _write(path: Path, content: bytes) -> None:
    new = not path.parent.is_dir()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"new-{secrets.token_hex(6)}")
    try:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        if not path.exists():  # on Windows a file that another process is reading cannot be replaced, and is as good
            raise
    if new:
        _remove_unused(path.parent)


@cache
def _mark_used(folder: Path) -> None:
    with suppress(OSError):
        os.utime(folder)


def _remove_unused(kept: Path) -> None:
    """Remove the kernels of sources that nobody has run for two months."""
    for folder in kept.parent.iterdir():
        with suppress(OSError):
            if folder != kept and time.time() - folder.stat().st_mtime > _UNUSED_S:
                for path in folder.glob("*"):
                    path.unlink()
                folder.rmdir()
