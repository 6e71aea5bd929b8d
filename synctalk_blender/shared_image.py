"""Memory that Blender shares with the backend: a file that Blender created and mapped.

It lies in `/dev/shm` where there is one, so that it is never written to disk. Blender owns it: it is removed when Blender ends,
and those that a killed Blender left are removed by the next. No `bpy` here.
"""

from __future__ import annotations

import atexit
import contextlib
import mmap
import os
import re
import secrets
import tempfile
import threading
from pathlib import Path

import numpy as np

from .client.errors import BackendError
from .client.pending import Pending

_PREFIX = "synctalk-frame"
BYTES_A_VALUE = 4
_GRANULARITY = 1 << 20
"""Files grow in steps of a MiB, so that a viewport that is resized does not need a new one for each size."""


class SharedImage:
    """A file of at least `size` bytes, mapped into memory.

    Raises:
        BackendError: of kind `storage`, when there is no space for it.
    """

    def __init__(self, size: int) -> None:
        self.size = -(-size // _GRANULARITY) * _GRANULARITY
        self.path = shared_folder() / f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(4)}.rgba"
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            try:
                # A file with holes would fail only when it is written to, and then with a signal instead of an error.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(descriptor, 0, self.size)
                else:
                    os.truncate(descriptor, self.size)
                self._memory = mmap.mmap(descriptor, self.size)
            finally:
                os.close(descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                self.path.unlink()
            raise BackendError(
                f"No space for an image of {self.size >> 20} MiB in {self.path.parent} ({error.strerror}): "
                "free some space, or render a smaller image.",
                "storage",
            ) from error

    def values(self, height: int, width: int, channels: int, begin: int = 0) -> np.ndarray:
        """(height, width, channels) float32 from number `begin` on: the memory itself, which the next request may write to."""
        count = height * width * channels
        return np.frombuffer(self._memory, np.float32, count, begin * BYTES_A_VALUE).reshape(height, width, channels)

    def close(self) -> None:
        """Unmap and remove the file."""
        with contextlib.suppress(
            BufferError
        ):  # somebody still looks at its pixels: it is unmapped with the last of them
            self._memory.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def shared_folder() -> Path:
    """Where shared images lie: memory where the system offers it as a folder, else the folder for temporary files."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


class Pool:
    """Shared images for reuse: making and mapping one costs more than rendering a small preview into it."""

    _KEPT = 2

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[SharedImage] = []
        self._lent_to_the_backend: list[tuple[SharedImage, Pending]] = []
        self._swept = False

    def borrow(self, size: int) -> SharedImage:
        with self._lock:
            if not self._swept:
                self._swept = True
                remove_leftovers()
            still_lent = []
            for memory, pending in self._lent_to_the_backend:
                if pending.poll():
                    self._keep(memory)
                else:
                    still_lent.append((memory, pending))
            self._lent_to_the_backend = still_lent
            for memory in self._free:
                if memory.size >= size:
                    self._free.remove(memory)
                    return memory
        return SharedImage(size)

    def give_back(self, memory: SharedImage) -> None:
        with self._lock:
            self._keep(memory)

    def give_back_after(self, memory: SharedImage, pending: Pending) -> None:
        with self._lock:
            self._lent_to_the_backend.append((memory, pending))

    def close(self) -> None:
        with self._lock:
            for memory in self._free + [memory for memory, _ in self._lent_to_the_backend]:
                memory.close()
            self._free, self._lent_to_the_backend = [], []

    def _keep(self, memory: SharedImage) -> None:
        self._free.append(memory)
        self._free.sort(key=lambda item: item.size)
        while len(self._free) > self._KEPT:
            self._free.pop(0).close()


POOL = Pool()


def close() -> None:
    """Remove all shared images of this process, when Blender or the extension ends."""
    POOL.close()


atexit.register(close)


def remove_leftovers() -> None:
    """Remove the shared images of processes that have ended."""
    for path in shared_folder().glob(f"{_PREFIX}-*.rgba"):
        match = re.fullmatch(rf"{_PREFIX}-(\d+)-[0-9a-f]+\.rgba", path.name)
        if match and not _is_running(int(match[1])):
            with contextlib.suppress(OSError):
                path.unlink()


def _is_running(pid: int) -> bool:
    if os.name == "nt":
        return pid == os.getpid()  # of other processes', the system refuses to remove files that are mapped
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
