"""The live head: answers `frame` (docs/protocol.md) from a renderer that stays loaded, into memory that Blender maps."""

from __future__ import annotations

import mmap
import os
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .commands.head import hair_option, head_option, neck_option
from .commands.option import option
from .errors import ProtocolError, WorkspaceError
from .progress import Reporter
from .protocol import BLENDSHAPE_NAMES, HEADS
from .workspace.camera import Camera
from .workspace.checkpoint_index import head_paths
from .workspace.store import Workspace

if TYPE_CHECKING:
    from .delivery.from_footage import FromFootage
    from .delivery.place import Place
    from .delivery.watermark import Marker
    from .renderer.head import HeadRenderer

MAX_SIDE = 16384


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
        if self.footage_frame is not None and (len(self.footage_px) != 3 or not self.footage_px[2] > 0):
            raise ProtocolError("The parameter footage_px of frame must be 3 numbers, the last above zero.")


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
        from .renderer.scene_linear import write_scene_linear

        principal = (frame.principal_px[0], frame.principal_px[1])
        camera = Camera(frame.width, frame.height, frame.focal_px, principal)
        pose = np.array(frame.head_to_camera).reshape(4, 4)
        key, renderer = self._current(frame.workspace, frame.head, reporter)
        blendshapes = np.array(frame.blendshapes, np.float32)
        footage = None if frame.footage_frame is None else self._from_footage(key, frame.workspace, frame.head)
        started = time.perf_counter()  # of the frame alone: a client chooses the next one's size by it
        rgba = renderer.render(camera, pose, blendshapes).rgba
        with _with_footage(footage, frame, np.ascontiguousarray(rgba), camera, pose, blendshapes) as shown:
            shown = _behind_cover(shown, footage, frame)
            if frame.watermark:
                shown = self._marker(key, frame).embed_premultiplied(shown)
            write_scene_linear(shown, self._memory.pixels(frame.memory, frame.height, frame.width))
        return FrameResult(frame.width, frame.height, (time.perf_counter() - started) * 1e3)

    def _from_footage(self, key: tuple[Any, ...], root: Path, head: str) -> tuple[Workspace, FromFootage]:
        """What a head that is loaded takes from the footage."""
        from .delivery.from_footage import FromFootage

        if key not in self._footage:
            workspace = Workspace.open(root)
            track = workspace.head_track(head=head)
            self._footage[key] = workspace, FromFootage.of(workspace, track, rendered_hair=False, fixed_neck=False)
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

    def pixels(self, path: Path, height: int, width: int) -> np.ndarray:
        """The beginning of a file as (height, width, 4) float32.

        Raises:
            ProtocolError: the file is missing or too small.
        """
        count = height * width * 4 * np.dtype(np.float32).itemsize
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
        return mapped[1][:count].view(np.float32).reshape(height, width, 4)


def prepare(imported: threading.Event) -> None:
    """Import what the first frame needs, then read the kernels, or compile them where the installation did not.

    Args:
        imported: set when nothing more is imported; concurrent imports of the same packages may see a partial one.
    """
    import torch

    from .delivery import from_footage  # noqa: F401 (the first frame imports these as well)
    from .renderer import precompile
    from .renderer.field.kernels import get_kernel
    from .training import checkpoints  # noqa: F401

    kernel = get_kernel()
    imported.set()
    precompile.show()
    precompile.draw_gaussians()
    if not torch.cuda.is_available() and kernel.name == "numba":
        precompile.draw(kernel)


def device() -> dict[str, str]:
    """The device that heads are rendered on, and the kernel that does it."""
    import torch

    from .renderer.field.kernels import get_kernel

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if kind == "cuda" else kind
    return {"device": name, "kernel": get_kernel(device=kind).name}


def _with_footage(
    footage: tuple[Workspace, FromFootage] | None,
    frame: FrameOptions,
    rgba: np.ndarray,
    camera: Camera,
    pose: np.ndarray,
    blendshapes: np.ndarray,
) -> AbstractContextManager[np.ndarray]:
    """The head with what it takes from the footage, where that was asked for."""
    if footage is None or frame.footage_frame is None:
        return nullcontext(rgba)
    taken = footage[1].without(frame.rendered_hair, frame.fixed_neck)
    return taken.put(rgba, frame.footage_frame, camera, pose, blendshapes, _place(footage[0], frame))


def _behind_cover(rgba: np.ndarray, footage: tuple[Workspace, FromFootage] | None, frame: FrameOptions) -> np.ndarray:
    """The head without what is behind a cover in the footage's frame, where one is known."""
    if footage is None or frame.footage_frame is None:
        return rgba
    from .delivery.covers import cover_in
    from .portrait_sync.blend import behind_cover

    cover = cover_in(footage[0], frame.footage_frame, _place(footage[0], frame), rgba.shape[:2])
    return behind_cover(rgba, cover)


def _place(workspace: Workspace, frame: FrameOptions) -> Place:
    """Of the working frame in the image."""
    from .delivery.place import Place

    x, y, scale = frame.footage_px
    return Place.in_source(workspace.subject, scale * workspace.subject.source_size[0], x, y)


def _load(workspace: Workspace, head: str, reporter: Reporter) -> HeadRenderer:
    from .training.checkpoints import load_for_rendering

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
