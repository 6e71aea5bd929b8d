"""Images of the head, which the backend writes into memory that it shares with Blender. No `bpy` here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..backend.protocol import AUTO, PASSES
from ..backend.workspace.camera import Camera
from .client.errors import BackendError
from .client.process import BackendProcess
from .scene.directions import Directions
from .shared_image import BYTES_A_VALUE, POOL


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
        self._memory = POOL.borrow(values * BYTES_A_VALUE)
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
            POOL.give_back(self._memory)
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
            POOL.give_back(self._memory)

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
        POOL.give_back_after(self._memory, self._pending)
