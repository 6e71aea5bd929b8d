"""Compiled kernels on disk, keyed by the content of their sources and not by their path.

Numba's own cache is beside the source or keyed by its path: every reinstallation of the extension and every other home
would compile again. It also misses changes of functions that were inlined from another file. Here a folder's name is a hash
of all the kernels' sources and of Numba's and Python's versions; a file's name, of the signature and the processor. Files
are written by rename, so processes need no lock; what cannot be read or written is compiled in memory.
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
"""Environment variable with the only folder for compiled kernels; for tests, benchmarks and shared computers."""

_ENVIRONMENT_MARKER = "synctalk-environment.json"  # install/environment.py writes it
_DIGEST_BYTES = 32
_UNUSED_S = 60 * 24 * 3600.0
_BACKEND = Path(__file__).resolve().parents[1]
_RENDERER = _BACKEND / "renderer"
_GAUSSIANS = _RENDERER / "gaussians" / "kernels"
SOURCES = (
    *sorted(
        path
        for path in (_RENDERER / "field" / "kernels").glob("*.py")
        if not path.stem.startswith(("__init__", "torch_", "triton_", "tinycudann_"))  # Numba reads none of theirs
    ),
    _RENDERER / "field" / "triplane.py",
    *sorted(path for path in _GAUSSIANS.glob("numba_*.py") if path.stem != "numba_rasteriser"),  # it only calls them
    _GAUSSIANS / "constants.py",
    _GAUSSIANS / "image_loss.py",
    _RENDERER / "lanes.py",
    _RENDERER / "overlay.py",
    _RENDERER / "scene_linear.py",
    _RENDERER / "underlay.py",
    _BACKEND / "delivery" / "plane_kernels.py",
    _BACKEND / "delivery" / "watermark" / "code_kernels.py",
    _BACKEND / "head_sync" / "patch_flow_kernel.py",
    _BACKEND / "head_sync" / "pose_kernel.py",
    _BACKEND / "portrait_sync" / "exemplar_kernels.py",
    _BACKEND / "portrait_sync" / "fill_kernels.py",
    _BACKEND / "portrait_sync" / "frame_kernels.py",
    _BACKEND / "portrait_sync" / "layer_kernels.py",
    _BACKEND / "portrait_sync" / "region_kernels.py",
    _BACKEND / "portrait_sync" / "resample_kernels.py",
    _BACKEND / "portrait_sync" / "taps.py",
    _BACKEND / "compilation" / "kernel_cache.py",
    _BACKEND / "compilation" / "processor.py",
    _BACKEND / "workspace" / "shapes.py",
)
"""Every file of ours that compiled kernels and their constants come from, or that those files import."""

compiled_now = 0
"""Functions that this process compiled because no file of them was found."""


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` that keeps compiled code in `folders()`."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        dispatcher._cache = KernelCache(function)
        return dispatcher

    return decorate


@cache
def sources_key() -> str:
    """The name of the folder for these sources; it changes with them, with Numba, LLVM and Python."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.implementation.cache_tag}".encode())
    for path in SOURCES:
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def folders() -> list[Path]:
    """Where compiled kernels are read, in this order; the first writable one gets new ones.

    In the environment that `install` made, shared by its users and removed with it; else, and where that is read-only, in
    the user's cache.
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
    """The cache of one function's dispatcher."""

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
        """Remove this function's files."""
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
        """Write what was compiled for `sig`, where a folder is writable."""
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
    """The compiled function in a file; None when there is none, it is damaged, or belongs to another key."""
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
        if not path.exists():  # Windows cannot replace a file that another process is reading, which is as good
            raise
    if new:
        _remove_unused(path.parent)


@cache
def _mark_used(folder: Path) -> None:
    with suppress(OSError):
        os.utime(folder)


def _remove_unused(kept: Path) -> None:
    """Remove the kernels of sources that have not run for two months."""
    for folder in kept.parent.iterdir():
        with suppress(OSError):
            if folder != kept and time.time() - folder.stat().st_mtime > _UNUSED_S:
                for path in folder.glob("*"):
                    path.unlink()
                folder.rmdir()
