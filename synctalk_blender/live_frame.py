"""Images of the head through shared memory: the backend writes into a file that Blender created and mapped.

The file lies in `/dev/shm` where there is one, so that it is never written to disk. Blender owns it: it is removed when
Blender
ends, and those that a killed Blender left are removed by the next. No `bpy` here.
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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend.protocol import AUTO, PASSES
from ..backend.workspace.camera import Camera
from .client.errors import BackendError
from .client.pending import Pending
from .client.process import BackendProcess
from .scene.directions import Directions

_PREFIX = "synctalk-frame"
_BYTES_A_VALUE = 4
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
        return np.frombuffer(self._memory, np.float32, count, begin * _BYTES_A_VALUE).reshape(height, width, channels)

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


@dataclass(frozen=True)
class Beneath:
    """The footage beneath a head: its frame, a point p of the source frame, in pixels, at (x, y) + scale · p of the image, and
    what is taken from it: a neck that follows the head, the hair."""

    frame: int
    x: float
    y: float
    scale: float
    neck: bool = True
    hair: bool = True


@dataclass(frozen=True)
class Passes:
    """What is asked for besides the colour."""

    names: tuple[str, ...]
    """Of `protocol.PASSES`."""
    beside: tuple[tuple[Camera, Directions], ...] = ()
    """The frame before and the frame after, which motion needs."""

    @property
    def channels(self) -> int:
        return sum(len(PASSES[name]) for name in self.names)

    def params(self) -> dict[str, Any]:
        """As the request `frame` has them."""
        times = [
            [pinhole.focal_px, *pinhole.principal_px, *directions.head_to_camera.ravel(), *directions.blendshapes]
            for pinhole, directions in self.beside
        ]
        params = {"passes": list(self.names)} if self.names else {}
        return params | {
            name: [float(n) for n in numbers] for name, numbers in zip(("before", "after"), times, strict=False)
        }


@dataclass(frozen=True)
class HeadFrame:
    """What to ask for: a subject's head as `directions` have it, seen by `pinhole`; `head` is of `protocol.HEADS`. Without
    `beneath`, the head alone. `watermark`: its pixels are marked, as those that leave Blender are."""

    workspace: str
    pinhole: Camera
    directions: Directions
    head: str = AUTO
    beneath: Beneath | None = None
    watermark: bool = False
    passes: Passes = Passes(())

    def resized(self, factor: float) -> HeadFrame:
        """The same view `factor` times as large."""
        beneath = self.beneath
        if beneath is not None:
            beneath = replace(beneath, x=beneath.x * factor, y=beneath.y * factor, scale=beneath.scale * factor)
        return replace(self, pinhole=self.pinhole.resized(factor), beneath=beneath)

    def is_same_as(self, other: HeadFrame | None) -> bool:
        """Whether both give the same image."""
        return (
            other is not None
            and (self.workspace, self.head, self.pinhole) == (other.workspace, other.head, other.pinhole)
            and (self.beneath, self.watermark) == (other.beneath, other.watermark)
            and np.array_equal(self.directions.head_to_camera, other.directions.head_to_camera)
            and np.array_equal(self.directions.blendshapes, other.directions.blendshapes)
        )


class HeadImage(NamedTuple):
    """An answer: colour (height, width, 4), its time to render in milliseconds, and passes (height, width, channels) by name."""

    pixels: np.ndarray
    ms: float
    passes: dict[str, np.ndarray]


class FrameRequest:
    """One `frame` request: premultiplied scene-linear RGBA, bottom row first. Waits for nothing.

    Raises:
        BackendError: the backend has ended, or there is no memory for the image.
    """

    def __init__(self, backend: BackendProcess, frame: HeadFrame) -> None:
        self.frame = frame
        pinhole = frame.pinhole
        values = pinhole.width * pinhole.height * (4 + frame.passes.channels)
        self._memory = _POOL.borrow(values * _BYTES_A_VALUE)
        params = {
            "workspace": frame.workspace,
            "width": pinhole.width,
            "height": pinhole.height,
            "focal_px": pinhole.focal_px,
            "principal_px": list(pinhole.principal_px),
            "head_to_camera": frame.directions.head_to_camera.ravel().tolist(),
            "blendshapes": frame.directions.blendshapes.tolist(),
            "memory": str(self._memory.path),
            "head": frame.head,
            "watermark": frame.watermark,
            **frame.passes.params(),
        }
        if frame.beneath is not None:
            beneath = frame.beneath
            params |= {"footage_frame": beneath.frame, "footage_px": [beneath.x, beneath.y, beneath.scale]}
            params |= {"fixed_neck": not beneath.neck, "rendered_hair": not beneath.hair}
        try:
            self._pending = backend.submit("frame", params)
        except BackendError:
            _POOL.give_back(self._memory)
            raise

    def poll(self) -> bool:
        """Whether a response or an error has arrived."""
        return self._pending.poll()

    def wait(self, timeout_s: float) -> bool:
        """Wait for that, no longer than the time given."""
        return self._pending.wait(timeout_s)

    @property
    def stage(self) -> str:
        """What the backend does before it can draw, in words; empty while it reports nothing."""
        progress = self._pending.progress
        if progress is None or progress["done"] >= progress["total"]:
            return ""
        return ": ".join(text for text in (progress["stage"], progress["message"]) if text).capitalize()

    def take(self) -> HeadImage:
        """A copy of what `answer` gives."""
        with self.answer() as image:
            passes = {name: values.copy() for name, values in image.passes.items()}
            return HeadImage(image.pixels.copy(), image.ms, passes)

    @contextlib.contextmanager
    def answer(self) -> Iterator[HeadImage]:
        """The image, float32, in the shared memory itself until the `with` ends; once, after `poll` returned True.

        Raises:
            BackendError: the request failed; of kind `cancelled` when a newer one took its place.
        """
        try:
            result = self._pending.result(0.0)
            width, height = result["width"], result["height"]
            if not (0 < width <= self.frame.pinhole.width and 0 < height <= self.frame.pinhole.height):
                raise BackendError(
                    f"The backend sent an image of {width} x {height} pixels instead of "
                    f"{self.frame.pinhole.width} x {self.frame.pinhole.height}: install the backend again "
                    "in the Backend panel.",
                    "nonsense",
                )
            yield HeadImage(
                self._memory.values(height, width, 4), float(result.get("ms", 0.0)), self._passes(height, width)
            )
        finally:
            _POOL.give_back(self._memory)

    def _passes(self, height: int, width: int) -> dict[str, np.ndarray]:
        """What lies in the memory behind the colour."""
        found, begin = {}, height * width * 4
        for name in self.frame.passes.names:
            found[name] = self._memory.values(height, width, len(PASSES[name]), begin)
            begin += found[name].size
        return found

    def abandon(self) -> None:
        """Forget the request. Its memory stays until the backend, which may still be writing to it, has answered.

        It is not cancelled: a backend that does not obey a cancel in time is ended, and with it a training in progress.
        """
        _POOL.give_back_after(self._memory, self._pending)


class _Pool:
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


_POOL = _Pool()


def close() -> None:
    """Remove all shared images of this process, when Blender or the extension ends."""
    _POOL.close()


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
