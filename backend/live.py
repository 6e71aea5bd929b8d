"""The live head: answers `frame` (docs/protocol.md) from a renderer that stays loaded, into memory that Blender maps."""

from __future__ import annotations

import mmap
import os
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .commands.head import hair_option, head_option, neck_option
from .commands.option import option
from .errors import ProtocolError, WorkspaceError
from .progress import Reporter
from .protocol import BLENDSHAPE_NAMES, HEADS, PASSES, VECTOR
from .workspace.camera import Camera
from .workspace.checkpoint_index import head_paths
from .workspace.store import Workspace

if TYPE_CHECKING:
    from .delivery.from_footage import Beneath, FromFootage
    from .delivery.passes import PassMaker
    from .delivery.place import Place
    from .delivery.watermark import Marker
    from .renderer.head import HeadRenderer, Moment, RenderedHead
    from .workspace.face_mesh import FaceMesh

MAX_SIDE = 16384
_MOMENT_NUMBERS = 3 + 16 + len(BLENDSHAPE_NAMES)

OPTIONAL_KERNEL = "tinycudann"
"""The one that a user may add (docs/install.md)."""


@dataclass(frozen=True)
class FrameOptions:
    """The params of `frame`."""

    workspace: Path = option("folder of the subject")
    width: int = option("of the frame, pixels")
    height: int = option("of the frame, pixels")
    focal_px: float = option("of a pinhole camera, in pixels of that frame")
    principal_px: tuple[float, ...] = option("x and y; the top left corner of the top left pixel is (0, 0)")
    head_to_camera: tuple[float, ...] = option("16 numbers, row-major, OpenCV camera, metres")
    blendshapes: tuple[float, ...] = option("52 numbers in the order of protocol.BLENDSHAPE_NAMES")
    memory: Path = option("a file that Blender made and maps")
    head: str = head_option()
    footage_frame: int | None = option(
        "of the footage beneath, whose hair the head has and whose neck follows it; the head alone without", None
    )
    footage_px: tuple[float, ...] = option(
        "x and y of the source frame's top left corner in this frame, and pixels of this frame for one of its own", ()
    )
    fixed_neck: bool = neck_option()
    rendered_hair: bool = hair_option()
    watermark: bool = option("write the watermark of `render` into the head's pixels, for a final frame", False)
    passes: tuple[str, ...] = option(
        "what the frame has besides its colour, behind it in the memory", (), choices=tuple(PASSES)
    )
    before: tuple[float, ...] = option(
        "the head a frame before: focal_px, principal_px, head_to_camera, blendshapes in a row", ()
    )
    after: tuple[float, ...] = option("the head a frame after, in the same way", ())

    def __post_init__(self) -> None:
        """Check sizes.

        Raises:
            ProtocolError: one is wrong.
        """
        for name in ("width", "height"):
            if not 1 <= getattr(self, name) <= MAX_SIDE:
                raise ProtocolError(f"The parameter {name} of frame must be from 1 to {MAX_SIDE}.")
        for name, count in (("principal_px", 2), ("head_to_camera", 16), ("blendshapes", len(BLENDSHAPE_NAMES))):
            if len(getattr(self, name)) != count:
                raise ProtocolError(f"The parameter {name} of frame must be {count} numbers.")
        if VECTOR in self.passes and not len(self.before) == len(self.after) == _MOMENT_NUMBERS:
            raise ProtocolError(f"The pass {VECTOR} of frame needs before and after, {_MOMENT_NUMBERS} numbers each.")
        if self.footage_frame is not None and (len(self.footage_px) != 3 or not self.footage_px[2] > 0):
            raise ProtocolError("The parameter footage_px of frame must be 3 numbers, the last above zero.")

    @property
    def pass_channels(self) -> int:
        """How many channels the passes have."""
        return sum(len(PASSES[name]) for name in self.passes)

    def moment(self, numbers: tuple[float, ...] = ()) -> Moment:
        """The head in this frame, or what `before` or `after` has of it."""
        from .renderer.head import Moment

        numbers = numbers or (self.focal_px, *self.principal_px, *self.head_to_camera, *self.blendshapes)
        camera = Camera(self.width, self.height, numbers[0], (numbers[1], numbers[2]))
        return Moment(camera, np.array(numbers[3:19]).reshape(4, 4), np.array(numbers[19:], np.float32))


@dataclass(frozen=True)
class FrameResult:
    width: int
    height: int
    ms: float


class LiveHead:
    """Keeps the heads that were asked of the last workspace loaded, and loads one again when it has a newer checkpoint."""

    def __init__(self) -> None:
        self._renderers: dict[tuple[Any, ...], HeadRenderer] = {}
        """By a checkpoint and its stamp when it was loaded."""
        self._footage: dict[tuple[Any, ...], tuple[Workspace, FromFootage]] = {}
        """By the same keys, of the heads for which it was asked."""
        self._marked: tuple[tuple[Any, ...], Marker] | None = None
        """What marked the last frame that was to be, by the head's key and the frame's size."""
        self._faces: dict[tuple[Any, ...], FaceMesh] = {}
        """By the same keys, of the heads whose passes were asked for."""
        self._newest: dict[str, Path | None] = {}
        """The checkpoint of each of `HEADS` when they were last listed."""
        self._watched: dict[Path, Any] = {}
        """Stamps of what a saved checkpoint changes, and of the newest checkpoints, then."""
        self._memory = _Memory()

    def render(self, frame: FrameOptions, reporter: Reporter) -> FrameResult:
        """Render scene-linear RGBA, premultiplied, bottom row first, into the shared memory.

        Raises:
            WorkspaceError: there is no trained head, or none that blendshapes drive.
            ProtocolError: the memory cannot be written to.
        """
        from .renderer.head import SharedRenderer
        from .renderer.scene_linear import write_scene_linear

        now = frame.moment()
        key, renderer = self._current(frame.workspace, frame.head, reporter)
        beneath = None if frame.footage_frame is None else _beneath(self._from_footage(key, frame), frame)
        started = time.perf_counter()  # of the frame alone: a client chooses the next one's size by it
        values = self._memory.values(frame.memory, frame.height * frame.width * (4 + frame.pass_channels))
        colour = values[: frame.height * frame.width * 4].reshape(frame.height, frame.width, 4)
        alone = not frame.passes and beneath is None and not frame.watermark
        if alone and isinstance(renderer, SharedRenderer) and renderer.write_shared(now, colour):
            return FrameResult(frame.width, frame.height, (time.perf_counter() - started) * 1e3)
        rendered = renderer.render(now.camera, now.head_to_camera, now.blendshapes, passes=bool(frame.passes))
        kept = rendered.copy() if frame.passes else None
        rgba = np.ascontiguousarray(rendered.rgba)
        with nullcontext(rgba) if beneath is None else beneath.put(rgba, now) as shown:
            if frame.watermark:
                shown = self._marker(key, frame).embed_premultiplied(shown)
            write_scene_linear(shown, colour)
        if kept is not None:
            from .delivery.passes import PassMaker

            if key not in self._faces:
                self._faces[key] = Workspace.open(frame.workspace).face_mesh()
            _write_passes(frame, PassMaker(renderer, self._faces[key]), kept, beneath, values)
        return FrameResult(frame.width, frame.height, (time.perf_counter() - started) * 1e3)

    def _from_footage(self, key: tuple[Any, ...], frame: FrameOptions) -> tuple[Workspace, FromFootage]:
        """What a head that is loaded takes from the footage."""
        from .delivery.from_footage import FromFootage

        if key not in self._footage:
            workspace = Workspace.open(frame.workspace)
            track = workspace.head_track(head=frame.head)
            self._footage[key] = workspace, FromFootage.of(workspace, track)
        return self._footage[key]

    def _marker(self, key: tuple[Any, ...], frame: FrameOptions) -> Marker:
        """What marks the frames of this size of a head that is loaded, as `render` does."""
        from .delivery.watermark import Kind, Marker, Message

        wanted = (key, frame.width, frame.height)
        if self._marked is None or self._marked[0] != wanted:
            message = Message.of_clip(Workspace.open(frame.workspace).subject.source_sha256, Kind.FRAMES)
            self._marked = wanted, Marker(frame.width, frame.height, message)
        return self._marked[1]

    def _current(self, root: Path, head: str, reporter: Reporter) -> tuple[tuple[Any, ...], HeadRenderer]:
        """The renderer of a head's newest checkpoint and its key. While those are unchanged this costs a few stat calls."""
        folder = root / "checkpoints"
        if folder not in self._watched or any(_stamp(path) != stamp for path, stamp in self._watched.items()):
            # Some file systems do not stamp a folder when a file in it is replaced; config.json is written with every checkpoint.
            watched = {path: _stamp(path) for path in (folder, folder / "config.json")}
            self._newest = {kind: next(iter(head_paths(folder, kind)), None) for kind in HEADS}
            self._watched = watched | {path: _stamp(path) for path in self._newest.values() if path is not None}
            kept = [(path, self._watched[path]) for path in self._newest.values() if path is not None]
            self._renderers = {key: renderer for key, renderer in self._renderers.items() if key in kept}
            self._footage = {key: taken for key, taken in self._footage.items() if key in kept}
            self._faces = {key: face for key, face in self._faces.items() if key in kept}
        path = self._newest[head]
        key = (path, self._watched[path]) if path is not None else ()
        if key not in self._renderers:
            self._renderers[key] = _load(Workspace.open(root), head, reporter)
        return key, self._renderers[key]


class _Memory:
    """The files that Blender maps, kept mapped: to map one of 512² costs more than to fill it."""

    _KEPT = 0 if os.name == "nt" else 2
    """As many as Blender keeps; on Windows none, where a file that is mapped cannot be removed."""

    def __init__(self) -> None:
        self._mapped: dict[Path, tuple[tuple[int, int], np.ndarray]] = {}
        """Each with the number and the size of the file that is mapped, the last used at the end."""

    def values(self, path: Path, numbers: int) -> np.ndarray:
        """The beginning of a file as so many float32.

        Raises:
            ProtocolError: the file is missing or too small.
        """
        count = numbers * np.dtype(np.float32).itemsize
        try:
            status = path.stat()
            found = (status.st_ino, status.st_size)
            mapped = self._mapped.pop(path, None)
            if mapped is None or mapped[0] != found:
                with open(path, "r+b") as file:
                    mapped = found, np.frombuffer(mmap.mmap(file.fileno(), 0), np.uint8)
        except (OSError, ValueError) as error:
            raise ProtocolError(f"The shared memory {path} cannot be written to ({error}).") from error
        if len(mapped[1]) < count:
            raise ProtocolError(f"{path} holds {len(mapped[1])} bytes, the frame needs {count}.")
        self._mapped[path] = mapped
        while len(self._mapped) > self._KEPT:
            del self._mapped[next(iter(self._mapped))]
        return mapped[1][:count].view(np.float32)


def prepare(imported: threading.Event) -> None:
    """Import what the first frame needs, then read the kernels, or compile them where the installation did not.

    Args:
        imported: set when nothing more is imported; concurrent imports of the same packages may see a partial one.
    """
    from .delivery import from_footage  # noqa: F401 (the first frame imports these as well)
    from .renderer import devices, precompile
    from .renderer.field.kernels import get_kernel
    from .training import checkpoints  # noqa: F401

    kernel = get_kernel(device=devices.current())
    imported.set()
    precompile.show()
    precompile.draw_gaussians()
    if kernel.name == "numba":
        precompile.draw(kernel)


def device() -> dict[str, str]:
    """The device that fields are rendered on, the kernel that does it, and why the optional one does not: a sentence."""
    import torch  # noqa: F401 (one that is missing is reported here)

    from .renderer import devices
    from .renderer.field.kernels import get_kernel, why_not

    used = devices.current()
    reason = why_not(OPTIONAL_KERNEL, used)
    note = f"{OPTIONAL_KERNEL} {reason}" if reason else ""
    return {"device": devices.name_of(used), "kernel": get_kernel(device=used).name, "note": note}


def _beneath(footage: tuple[Workspace, FromFootage], frame: FrameOptions) -> Beneath:
    """The footage beneath the frame."""
    from .delivery.from_footage import Beneath, Taking

    assert frame.footage_frame is not None
    workspace, taken = footage
    taken = taken.only(Taking(not frame.rendered_hair, not frame.fixed_neck))
    return Beneath(workspace, taken, frame.footage_frame, _place(workspace, frame))


def _write_passes(
    frame: FrameOptions, maker: PassMaker, head: RenderedHead, beneath: Beneath | None, values: np.ndarray
) -> None:
    """Write the passes behind the colour that is in `values`, in the order asked for, bottom row first."""
    from .delivery.passes import Times, blank

    times = Times(frame.moment(), frame.moment(frame.before), frame.moment(frame.after))
    pixels = frame.height * frame.width
    shown_alpha = values[: 4 * pixels].reshape(frame.height, frame.width, 4)[::-1, :, 3]
    found = maker.passes(frame.passes, head, shown_alpha, times, beneath)
    begin = 4 * pixels
    for name in frame.passes:
        channels = len(PASSES[name])
        drawn = found[name] if name in found else blank(name, times.now.camera, channels)
        values[begin : begin + channels * pixels] = drawn[::-1].ravel()
        begin += channels * pixels


def _place(workspace: Workspace, frame: FrameOptions) -> Place:
    """Of the working frame in the image."""
    from .delivery.place import Place

    x, y, scale = frame.footage_px
    return Place.in_source(workspace.subject, scale * workspace.subject.source_size[0], x, y)


def _load(workspace: Workspace, head: str, reporter: Reporter) -> HeadRenderer:
    from .renderer import devices
    from .training.checkpoints import load_for_rendering

    devices.current(reporter)
    found = load_for_rendering(workspace, reporter, head)
    if found.lips.inputs:
        raise WorkspaceError(
            "This head's lips follow audio, not sliders: render it with the backend, or train it with "
            "lips=shape to direct it here."
        )
    return found.renderer()


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Changes when the file or the folder's entries are replaced; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
