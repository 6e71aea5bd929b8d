"""The live head: answers `frame` (docs/protocol.md) from a renderer that stays loaded, into memory that Blender maps."""

from __future__ import annotations

import mmap
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .commands.option import option
from .errors import ProtocolError, WorkspaceError
from .progress import Reporter
from .protocol import BLENDSHAPE_NAMES
from .workspace.camera import Camera
from .workspace.checkpoint_index import checkpoint_paths
from .workspace.store import Workspace

if TYPE_CHECKING:
    from .renderer.field.renderer import FieldRenderer

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


@dataclass(frozen=True)
class FrameResult:
    width: int
    height: int
    ms: float


class LiveHead:
    """Keeps the head of the last workspace loaded, and loads it again when there is a newer checkpoint."""

    def __init__(self) -> None:
        self._renderer: FieldRenderer | None = None
        self._loaded: tuple[Any, ...] = ()
        """The workspace, its newest checkpoint and that file's stamp when the renderer was made."""
        self._watched: tuple[Any, ...] = ()
        """The workspace, and the stamps of what a saved checkpoint changes, when the checkpoints were last listed."""

    def render(self, frame: FrameOptions, reporter: Reporter) -> FrameResult:
        """Render scene-linear RGBA, premultiplied, bottom row first, into the shared memory.

        Raises:
            WorkspaceError: there is no trained head, or none that blendshapes drive.
            ProtocolError: the memory cannot be written to.
        """
        from .renderer.colour import to_scene_linear

        started = time.perf_counter()
        principal = (frame.principal_px[0], frame.principal_px[1])
        camera = Camera(frame.width, frame.height, frame.focal_px, principal)
        pose = np.array(frame.head_to_camera).reshape(4, 4)
        renderer = self._current(frame.workspace, reporter)
        rgba = to_scene_linear(renderer.render(camera, pose, np.array(frame.blendshapes, np.float32)).rgba)
        _write_shared(frame.memory, np.ascontiguousarray(rgba[::-1], np.float32))
        return FrameResult(frame.width, frame.height, (time.perf_counter() - started) * 1e3)

    def _current(self, root: Path, reporter: Reporter) -> FieldRenderer:
        """The renderer of the newest checkpoint. While that is unchanged this costs two stat calls."""
        folder = root / "checkpoints"
        # Some file systems do not stamp a folder when a file in it is replaced; config.json is written with every checkpoint.
        watched = (root, _stamp(folder), _stamp(folder / "config.json"))
        if self._renderer is not None and watched == self._watched and watched[1] is not None:
            return self._renderer
        workspace = Workspace.open(root)
        newest = next(iter(checkpoint_paths(folder)), None)
        if newest is None:
            raise WorkspaceError(f"{root} has no trained head yet: train it first.")
        found = (root, newest, _stamp(newest))
        if self._renderer is None or found != self._loaded:
            self._renderer = _load(workspace, reporter)
        self._loaded, self._watched = found, watched
        return self._renderer


def prepare(imported: threading.Event) -> None:
    """Import what the first frame needs, then read the kernels, or compile them where the installation did not.

    Args:
        imported: set when nothing more is imported; concurrent imports of the same packages may see a partial one.
    """
    import torch

    from .renderer import precompile
    from .renderer.field.kernels import get_kernel
    from .training import checkpoints  # noqa: F401 (the first frame imports it as well)

    kernel = get_kernel()
    imported.set()
    if not torch.cuda.is_available() and kernel.name == "numba":
        precompile.draw(kernel)


def device() -> dict[str, str]:
    """The device that heads are rendered on, and the kernel that does it."""
    import torch

    from .renderer.field.kernels import get_kernel

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if kind == "cuda" else kind
    return {"device": name, "kernel": get_kernel(device=kind).name}


def _load(workspace: Workspace, reporter: Reporter) -> FieldRenderer:
    from .renderer.field.renderer import FieldRenderer
    from .training.checkpoints import load_for_rendering

    head = load_for_rendering(workspace, reporter)
    if head.lips.inputs:
        raise WorkspaceError(
            "This head's lips follow audio, not sliders: render it with the backend, or train it with "
            "lips=shape to direct it here."
        )
    return FieldRenderer(head.field())


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Changes when the file or the folder's entries are replaced; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


def _write_shared(path: Path, pixels: np.ndarray) -> None:
    try:
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            if len(memory) < pixels.nbytes:
                raise ProtocolError(f"{path} holds {len(memory)} bytes, the frame needs {pixels.nbytes}.")
            memory[: pixels.nbytes] = pixels.tobytes()
    except (OSError, ValueError) as error:
        raise ProtocolError(f"The shared memory {path} cannot be written to ({error}).") from error
